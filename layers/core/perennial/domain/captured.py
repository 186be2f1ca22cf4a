"""What an endpoint answered, and what was right: lines of capture and of ground truth.

Formats are SageMaker's (docs/storage.md); answers are those of our model server (docs/serving.md).
`jobs/traffic.py` reads the same files for training, where the requests count, not the answers.
A bad line raises `BadLine` in each of these functions.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from perennial.domain.schema import text_of
from perennial.domain.text import lines_of, parse_json, printable

LONGEST_ID = 1000
VERSION_AT_END = re.compile(r'"version": ?([0-9]{1,9})\}\s*$')


class BadLine(ValueError):
    """A line that is no capture, or no ground truth; the message says why."""


@dataclass(frozen=True)
class Answer:
    """One request as it was answered: `event` joins it with its label, `predictions` by row."""

    event: str
    at_ms: int
    predictions: tuple[str, ...]


def read_answer(line: str) -> Answer:
    """A line of a capture file; raises `BadLine`."""
    document = document_of(line)
    output = side_of(document, "endpointOutput")
    return Answer(event_of(document), moment_of(document), _predictions(output))


def read_labels(line: str) -> tuple[str, tuple[str, ...]]:
    """The event that a line of ground truth is for, and its labels by row; raises `BadLine`."""
    document = document_of(line)
    truth = document.get("groundTruthData")
    if not isinstance(truth, Mapping):
        raise BadLine("no ground truth: groundTruthData is missing")
    labels = label_texts(truth)
    if not labels:
        raise BadLine("groundTruthData holds no label")
    return event_of(document), labels


def document_of(line: str) -> Mapping[str, Any]:
    """The JSON object of a line."""
    try:
        document = parse_json(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"no JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise BadLine("no JSON object")
    return document


def side_of(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One side of a captured exchange: `endpointInput` or `endpointOutput`."""
    captured = document.get("captureData")
    side = captured.get(name) if isinstance(captured, Mapping) else None
    if not isinstance(side, Mapping):
        raise BadLine(f"no capture: captureData.{name} is missing")
    return side


def event_of(document: Mapping[str, Any]) -> str:
    """What joins a request and its label: the caller's id if there is one."""
    metadata = document.get("eventMetadata")
    if isinstance(metadata, Mapping):
        for name in ("inferenceId", "eventId"):
            event = metadata.get(name)
            if isinstance(event, str) and 0 < len(event) <= LONGEST_ID:
                return event
    raise BadLine("eventMetadata has neither an inferenceId nor an eventId")


def plain_text(part: Mapping[str, Any]) -> str:
    """The text of one side of a capture, or of ground truth, whatever its encoding."""
    data = part.get("data")
    encoding = part.get("encoding")
    if not isinstance(data, str):
        raise BadLine("data is no text")
    if encoding in ("CSV", "JSON"):
        return data
    if encoding != "BASE64":
        raise BadLine(f"encoding {printable(str(encoding)[:200])} is none of CSV, JSON, BASE64")
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise BadLine("data is no BASE64 of UTF-8 text") from None


def label_texts(truth: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of one request: a line each, or the values of a JSON list."""
    text = plain_text(truth)
    if truth.get("encoding") == "JSON":
        try:
            document = parse_json(text)
            values = document if isinstance(document, list) else [document]
            return tuple(text_of(value) for value in values)
        except (ValueError, RecursionError) as error:
            raise BadLine(f"the ground truth is no JSON: {error}") from None
        except TypeError as error:
            raise BadLine(f"the label is {error}, no single value") from None
    rows = csv_rows(text)
    if any(len(row) != 1 for row in rows):
        raise BadLine("the ground truth has more than one value a line")
    return tuple(row[0] for row in rows)


def csv_rows(text: str) -> list[list[str]]:
    """The rows of a text; empty lines are none."""
    try:
        return [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise BadLine(f"no CSV: {error}") from None


def moment_of(document: Mapping[str, Any]) -> int:
    """When a captured request was answered, in milliseconds since 1970; raises `BadLine`."""
    metadata = document.get("eventMetadata")
    text = metadata.get("inferenceTime") if isinstance(metadata, Mapping) else None
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise BadLine(f"inferenceTime is {printable(str(text)[:200])}, no time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() * 1000)


def served_version(document: Mapping[str, Any]) -> int | None:
    """The version that our model server names at its answer's end; None for other answers."""
    captured = document.get("captureData")
    output = captured.get("endpointOutput") if isinstance(captured, Mapping) else None
    if not isinstance(output, Mapping) or output.get("encoding") != "JSON":
        return None
    match = VERSION_AT_END.search(str(output.get("data")))
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Scored:
    """One prediction: what was predicted, and, where the answer tells it, how sure the model was.

    `score` is the probability of the positive class, `scores` those of all classes.
    """

    prediction: str
    score: float | None = None
    scores: Mapping[str, float] | None = None


def read_scored(document: Mapping[str, Any]) -> list[Scored]:
    """The predictions of a captured answer, row by row; raises `BadLine`."""
    return [_scored(row) for row in _answer_rows(side_of(document, "endpointOutput"))]


def _scored(row: Any) -> Scored:
    if isinstance(row, list):  # a line of CSV
        texts = [str(cell).strip() for cell in row]
        return Scored(texts[0], _finite(texts[1]) if len(texts) > 1 else None)
    prediction = _prediction(row)
    if not isinstance(row, Mapping):
        return Scored(prediction)
    given = row.get("scores")
    scores = None
    if isinstance(given, Mapping):
        scores = {
            str(name): found for name, v in given.items() if (found := _finite(v)) is not None
        }
    return Scored(prediction, _finite(row.get("score")), scores or None)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _predictions(output: Mapping[str, Any]) -> tuple[str, ...]:
    """The predictions of an answer: labels, or numbers, as texts."""
    return tuple(
        str(row[0]).strip() if isinstance(row, list) else _prediction(row)
        for row in _answer_rows(output)
    )


def _answer_rows(output: Mapping[str, Any]) -> list[Any]:
    """The rows of an answer: lists of texts from CSV, what JSON holds from JSON."""
    text = plain_text(output)
    kind = str(output.get("observedContentType") or "").partition(";")[0].strip().lower()
    if output.get("encoding") == "CSV" or "csv" in kind:
        return list(csv_rows(text))
    try:
        if "jsonl" in kind:
            found: Any = [parse_json(each) for each in lines_of(text) if each.strip()]
        else:
            found = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"the answer is no JSON: {error}") from None
    if isinstance(found, Mapping) and isinstance(found.get("predictions"), list):
        found = found["predictions"]
    # A list of lists is no answer of ours, and would be mistaken for lines of CSV.
    rows = found if isinstance(found, list) else [found]
    if any(isinstance(row, list) for row in rows):
        raise BadLine("a prediction is a list, no single value")
    return rows


def _prediction(row: Any) -> str:
    if isinstance(row, Mapping):
        if "prediction" not in row:
            raise BadLine("an answer names no prediction")
        row = row["prediction"]
    try:
        return text_of(row)
    except TypeError as error:
        raise BadLine(f"a prediction is {error}, no single value") from None
