"""Lines of capture and ground truth, in every encoding that SageMaker and our server use."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from perennial.domain.captured import Answer, BadLine, read_answer, read_labels

MOMENT = 1_794_996_800_000


def capture(data: str, kind: str = "application/json", encoding: str = "JSON", **more: Any) -> str:
    """A line of a capture file."""
    output = {"observedContentType": kind, "mode": "OUTPUT", "data": data, "encoding": encoding}
    metadata = {"eventId": "e1", "inferenceId": "i1", "inferenceTime": "2026-11-18T10:13:20Z"}
    document = {
        "captureData": {"endpointInput": {}, "endpointOutput": output},
        "eventMetadata": {**metadata, **more},
        "eventVersion": "0",
    }
    return json.dumps(document)


def encoded(text: str) -> str:
    """As SageMaker writes what it does not know."""
    return base64.b64encode(text.encode()).decode()


SEVERAL = '{"predictions": [{"prediction": "a", "score": 0.5}, {"prediction": "b"}]}'


@pytest.mark.parametrize(
    ("line", "predictions"),
    [
        (capture(SEVERAL), ("a", "b")),
        (capture('{"prediction": 3.0}'), ("3",)),
        (  # U+2028 ends no line, although str.splitlines cuts there
            capture('{"prediction": "a\u2028b"}\r\n{"prediction": "c"}\n', "application/jsonlines"),
            ("a\u2028b", "c"),
        ),
        (capture("[1.5, 2]"), ("1.5", "2")),
        (capture("a,0.9\nb,0.2", "text/csv; charset=utf-8", "CSV"), ("a", "b")),
        (capture(encoded("a,0.9"), "text/csv", "BASE64"), ("a",)),
        (capture(encoded(SEVERAL), "application/json", "BASE64"), ("a", "b")),
        (
            capture(
                encoded('{"prediction": "a"}\n\n{"prediction": true}'),
                "application/jsonlines",
                "BASE64",
            ),
            ("a", "true"),
        ),
    ],
)
def test_answers(line: str, predictions: tuple[str, ...]) -> None:
    """The prediction of each row, when it was asked, and what its label names."""
    assert read_answer(line) == Answer("i1", MOMENT, predictions)


def test_what_joins_a_request_with_its_label() -> None:
    """The caller's own id if there is one; a time without a zone is UTC."""
    line = capture("[1]", inferenceId=None, inferenceTime="2026-11-18T10:13:20")
    assert read_answer(line) == Answer("e1", MOMENT, ("1",))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("3", "no JSON object"),
        ("{}", "endpointOutput is missing"),
        (capture("{"), "the answer is no JSON"),
        (capture('{"score": 1}'), "names no prediction"),
        (capture('{"prediction": [1]}'), "a prediction is a list"),
        (capture("x", encoding="XML"), "encoding XML is none of CSV, JSON, BASE64"),
        (capture("%", encoding="BASE64"), "no BASE64"),
        (capture('"a', "text/csv", "CSV"), "no CSV"),
        (capture("[1]", inferenceTime="noon"), "inferenceTime is noon, no time"),
        (capture("[1]", inferenceId="", eventId="x" * 1001), "neither an inferenceId"),
    ],
)
def test_bad_captures(line: str, words: str) -> None:
    """Each says what is wrong with it."""
    with pytest.raises(BadLine, match=words):
        read_answer(line)


def truth(data: Any, encoding: str = "CSV") -> str:
    """A line of ground truth."""
    return json.dumps(
        {
            "groundTruthData": {"data": data, "encoding": encoding},
            "eventMetadata": {"eventId": "e1"},
        }
    )


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        (truth(">50K"), (">50K",)),
        (truth("a\nb\n"), ("a", "b")),
        (truth('["a", 2.0]', "JSON"), ("a", "2")),
        (truth("7", "JSON"), ("7",)),
        (truth(encoded("a\nb"), "BASE64"), ("a", "b")),
    ],
)
def test_labels(line: str, labels: tuple[str, ...]) -> None:
    """A label a row."""
    assert read_labels(line) == ("e1", labels)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}", "groundTruthData is missing"),
        (truth(""), "holds no label"),
        (truth("a,b"), "more than one value a line"),
        (truth("[[1]]", "JSON"), "the label is a list"),
        (truth("[", "JSON"), "the ground truth is no JSON"),
        (truth(5), "data is no text"),
    ],
)
def test_bad_labels(line: str, words: str) -> None:
    """Each says what is wrong with it."""
    with pytest.raises(BadLine, match=words):
        read_labels(line)
