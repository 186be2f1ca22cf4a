"""Delayed labels: read from a person's file, written in AWS's form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.captured import read_labels
from perennial.domain.ground_truth import (
    LabelsInvalid,
    ground_truth_lines,
    labels_key,
    read_label_file,
)

LEVELS = ("<=50K", ">50K")


def test_a_file_of_ids_and_labels() -> None:
    """With and without a header; several rows of one id are its labels in order."""
    for head in ("", "id,label\n", "ID, Label\n"):
        found = read_label_file(f"{head}a,>50K\nb,<=50K\n\na,<=50K\n", allowed=LEVELS)
        assert found == [("a", (">50K", "<=50K")), ("b", ("<=50K",))]


def test_ground_truth_of_aws_is_taken_as_it_is() -> None:
    """JSON lines in Model Monitor's form; of two for one request the later counts."""
    line = (
        '{"groundTruthData":{"data":"%s","encoding":"CSV"},'
        '"eventMetadata":{"eventId":"a"},"eventVersion":"0"}'
    )
    text = f"{line % '>50K'}\n{line % '<=50K'}\n"
    assert read_label_file(text, allowed=LEVELS) == [("a", ("<=50K",))]


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\x1c"])
def test_only_a_line_feed_ends_a_line(mark: str) -> None:
    """An id may hold what Python's own splitlines takes for a line's end."""
    lines = ground_truth_lines([(f"a{mark}b", [">50K"]), ("c", ["<=50K"])])
    read = [(f"a{mark}b", (">50K",)), ("c", ("<=50K",))]
    assert read_label_file(lines) == read
    assert read_label_file(lines.replace("\n", "\r\n")) == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no label in it"),
        ("id,label\n", "no label in it"),
        ("a\n", "line 1: expected an id and a label"),
        ("a,\n", "line 1: expected an id and a label"),
        ("a,1,2\n", "line 1"),
        ("a,maybe\n", "'maybe' is none of <=50K, >50K"),
        ('"a\n', "no CSV"),
        ("x" * 1001 + ",>50K\n", "line 1"),
        ('{"groundTruthData": 1}\n', "line 1: no ground truth"),
        ('{"a"\n', "line 1: no JSON"),
    ],
)
def test_mistakes_are_named(text: str, words: str) -> None:
    """Nothing is sent of a file with a mistake in it; the message says where it is."""
    with pytest.raises(LabelsInvalid, match=words.replace(">", "[>]")):
        read_label_file(text, allowed=LEVELS)


def test_many_mistakes_are_counted() -> None:
    """Five are named, the others counted."""
    with pytest.raises(LabelsInvalid, match="and 5 more"):
        read_label_file("\n".join("a" for _ in range(10)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=30),
            st.lists(st.text("ab,\"' >\n", min_size=1, max_size=6), min_size=1, max_size=4),
        ),
        max_size=5,
    )
)
def test_what_is_written_reads_back(labels: list[tuple[str, list[str]]]) -> None:
    """Whatever ids and labels hold, monitors and training read what was sent."""
    lines = [line for line in ground_truth_lines(labels).split("\n") if line]
    read = [read_labels(line) for line in lines]
    assert [event for event, _ in read] == [event for event, _ in labels]
    for (_, found), (_, given_labels) in zip(read, labels, strict=True):
        assert list(found) == given_labels
    assert all(json.loads(line)["eventVersion"] == "0" for line in lines)


def test_labels_lie_by_the_hour_of_their_collection() -> None:
    """In UTC, as Model Monitor looks for them."""
    key = labels_key("labels/census/", 1_795_183_200_000, "x")
    assert key == "labels/census/2026/11/20/14/x.jsonl"
