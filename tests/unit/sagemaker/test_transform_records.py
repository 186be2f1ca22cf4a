"""Batches, filters and joins of batch transform, without a server."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sagemaker.transform_filter import Filter, FilterError
from local.sagemaker.transform_records import CSV, LINES, Batch, Recipe, RecordError

LINE = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("path", "record", "found"),
    [
        ("$", [1, 2], [1, 2]),
        ("$[0]", ["a", "b"], "a"),
        ("$[-1]", ["a", "b"], "b"),
        ("$[0, 2]", ["a", "b", "c"], ["a", "c"]),
        ("$[1:]", ["a", "b", "c"], ["b", "c"]),
        ("$[-2:]", ["a", "b", "c"], ["b", "c"]),
        ("$[:1]", ["a", "b", "c"], ["a"]),
        ("$.a.b", {"a": {"b": 1}}, 1),
        ("$['a']['b c']", {"a": {"b c": 1}}, 1),
        ("$['a','b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        ("$.a.['x','y']", {"a": {"x": 1, "y": 2}}, {"x": 1, "y": 2}),
        ("$.rows[*].v", {"rows": [{"v": 1}, {"v": 2}]}, [1, 2]),
        ("$.*", {"a": 1, "b": 2}, [1, 2]),
    ],
)
def test_paths_of_the_guide_select_what_they_name(path: str, record: Any, found: Any) -> None:
    """Each documented operator, alone and together."""
    assert Filter(path)(record) == found


@pytest.mark.parametrize("path", ["", "a", "$..a", "$[?(@.a)]", "$[a]", "$[", "$.a b", "$[1:2:3]"])
def test_other_paths_are_refused_with_their_text(path: str) -> None:
    """Recursive descent, filters, steps and what is no path at all."""
    with pytest.raises(FilterError, match="'"):
        Filter(path)


@pytest.mark.parametrize(
    ("path", "record"), [("$.a", {"b": 1}), ("$[3]", ["a"]), ("$.a", ["a"]), ("$[0]", {"a": 1})]
)
def test_a_record_without_the_part_is_an_error(path: str, record: Any) -> None:
    """Nothing is sent or written in the place of what is not there."""
    with pytest.raises(FilterError, match="finds nothing"):
        Filter(path)(record)


def pieces(body: bytes, size: int) -> list[bytes]:
    """A body as S3 hands it out."""
    return [body[start : start + size] for start in range(0, len(body), size)]


@given(st.lists(LINE, max_size=30), st.integers(1, 7), st.integers(10, 40), st.booleans())
def test_batches_hold_every_line_once_in_order_and_within_the_limit(
    lines: list[str], size: int, limit: int, several: bool
) -> None:
    """However the object arrives; and no request could have held the next record too."""
    recipe = Recipe(split=True, several=several, limit=limit, assemble=True)
    body = "".join(f"{line}\n" for line in lines).encode()
    found = list(recipe.batches(pieces(body, size)))
    assert [r.decode() for batch in found for r in batch.records] == lines
    assert all(0 < len(batch.body) <= limit for batch in found)
    for batch, following in itertools.pairwise(found):
        if several:
            assert len(batch.body) + 1 + len(following.records[0]) > limit
        else:
            assert len(batch.records) == 1


@given(st.lists(st.lists(st.text('ab",; \\é', max_size=5), min_size=2, max_size=2), min_size=1))
def test_a_join_of_csv_keeps_every_cell(table: list[list[str]]) -> None:
    """Whatever the cells hold, quotes and commas too, the joined row is row and answer."""
    recipe = Recipe(True, True, 0, True, kind=CSV, join=True)
    records = tuple(recipe._written(row) for row in table)
    answer = b"\n".join(b'"x,y",1' for _ in table)
    made = recipe.output(Batch(records, b""), answer)
    assert [recipe._read(line) for line in made.split(b"\n")[:-1]] == [
        [*row, "x,y", "1"] for row in table
    ]


@given(st.one_of(st.integers(), st.text(), st.lists(st.integers()), st.dictionaries(LINE, LINE)))
def test_a_join_of_json_lines_keeps_the_record(record: Any) -> None:
    """An object keeps its keys, anything else stands under SageMakerInput."""
    recipe = Recipe(True, True, 0, True, kind=LINES, join=True)
    made = json.loads(recipe.output(Batch((json.dumps(record).encode(),), b""), b'{"p":1}\n'))
    assert made.pop("SageMakerOutput") == {"p": 1}
    assert made == (record if isinstance(record, dict) else {"SageMakerInput": record})


def test_a_whole_object_above_the_limit_is_given_up_early() -> None:
    """Without a split nothing more is read than a request could hold."""
    read = []

    def source() -> Any:
        for number in range(10):
            read.append(number)
            yield b"x" * 100

    recipe = Recipe(split=False, several=False, limit=150, assemble=False)
    with pytest.raises(RecordError, match="Too much data for max payload size"):
        list(recipe.batches(source()))
    assert read == [0, 1]


@pytest.mark.parametrize(
    ("assemble", "answer", "written"),
    [(True, b"1", b"1\n"), (True, b"1\n", b"1\n"), (False, b"1", b"1"), (True, b"", b"")],
)
def test_assembling_by_lines_ends_each_answer_once(
    assemble: bool, answer: bytes, written: bytes
) -> None:
    """AssembleWith Line adds the line's end that is missing; None adds nothing."""
    recipe = Recipe(split=True, several=False, limit=0, assemble=assemble)
    assert recipe.output(Batch((b"r",), b"r"), answer) == written
