"""Capture of our own: line for line and name for name as SageMaker writes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.capture import (
    Captured,
    CaptureInvalid,
    Exchange,
    by_file,
    captured,
    file_body,
    file_key,
    message_of,
    read_message,
)
from perennial.domain.captured import read_answer

from local.sagemaker.endpoints import capture as sagemaker

EVENTS = Path(__file__).resolve().parents[3] / "events"
AT_MS = 1_795_000_000_042
ID = "11111111-2222-3333-4444-555555555555"
EXCHANGE = Exchange(
    model="census",
    endpoint="t-next-census",
    variant="main",
    request_id=ID,
    at_ms=AT_MS,
    sent=b'{"instances":[{"age":39}]}',
    sent_type="application/json",
    answered=b'{"predictions":[{"prediction":">50K"}]}',
    answered_type="application/json",
)
PLAN = sagemaker.CapturePlan(
    {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://artifacts/capture/census",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    }
)
TYPES = st.sampled_from(
    ["application/json", "Application/JSON; charset=utf-8", "text/csv", "image/png", ""]
)


@given(st.binary(max_size=40), TYPES, st.text(max_size=40).map(lambda text: text.encode()), TYPES)
def test_a_line_is_what_an_endpoint_would_have_written(
    sent: bytes, sent_type: str, answered: bytes, answered_type: str
) -> None:
    """The same document, whatever is in it; only the event's own id is another."""
    exchange = replace(
        EXCHANGE, sent=sent, sent_type=sent_type, answered=answered, answered_type=answered_type
    )
    theirs = PLAN.line(
        sagemaker.Exchange(sent, sent_type, answered, answered_type, ID, ""), AT_MS / 1000
    )
    expected = json.loads(theirs)
    expected["eventMetadata"]["eventId"] = ID
    assert json.loads(captured(exchange).line) == expected


def test_a_line_is_read_back() -> None:
    """By what reads the capture of an endpoint."""
    answer = read_answer(captured(EXCHANGE).line)
    assert (answer.event, answer.predictions) == (ID, (">50K",))
    assert answer.at_ms == AT_MS // 1000 * 1000


@given(st.integers(0, 4_000_000_000_000), st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_a_file_is_called_as_an_endpoint_would_call_it(at_ms: int, marks: list[str]) -> None:
    """Folder by UTC hour, name by minute, second and millisecond of its first line."""
    line = captured(replace(EXCHANGE, at_ms=at_ms))
    key = file_key([(mark, line) for mark in marks])
    theirs = sagemaker.file_key("capture/census", "t-next-census", "main", at_ms // 1000)
    mark = re.compile(r"-\d{3}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl$")
    assert mark.sub("", key) == mark.sub("", theirs)
    assert f"-{at_ms % 1000:03d}-" in key


def test_the_same_lines_have_the_same_name_in_any_order() -> None:
    """What is written again replaces the file; other lines are another file."""
    lines = {mark: captured(replace(EXCHANGE, at_ms=AT_MS + n)) for n, mark in enumerate("abc")}
    (one,) = by_file(lines.items()).values()
    (again,) = by_file(reversed(lines.items())).values()
    assert (file_key(one), file_body(one)) == (file_key(again), file_body(again))
    assert file_body(one).decode().splitlines() == [line.line for line in lines.values()]
    assert file_key(one[:2]) != file_key(one)


def test_lines_are_parted_by_hour_variant_and_endpoint() -> None:
    """No file holds what belongs into another folder."""
    parts = [
        captured(EXCHANGE),
        captured(replace(EXCHANGE, at_ms=AT_MS + 3_600_000)),
        captured(replace(EXCHANGE, variant="other")),
        captured(replace(EXCHANGE, endpoint="t-live-census")),
        captured(replace(EXCHANGE, model="abalone")),
    ]
    found = by_file((str(number), part) for number, part in enumerate(parts))
    assert [len(lines) for lines in found.values()] == [1] * 5
    assert all(file_key(lines).startswith(f"{folder}/") for folder, lines in found.items())


@given(st.binary(max_size=60), st.sampled_from(["census", "a"]), st.integers(0, 2**50))
def test_a_message_brings_what_was_put_in(sent: bytes, model: str, at_ms: int) -> None:
    """In plain ASCII, whatever the bytes of the request."""
    found = captured(replace(EXCHANGE, model=model, sent=sent, at_ms=at_ms))
    message = message_of(found)
    assert all(" " <= character <= "\x7f" for character in message)
    assert read_message(message) == found


def test_a_message_is_the_golden_one() -> None:
    """Messages that wait in the queue are read after an update too: their form stays."""
    golden = json.loads((EVENTS / "captured_prediction.json").read_text("utf-8"))
    assert json.loads(message_of(captured(EXCHANGE))) == golden
    assert read_message(json.dumps(golden)) == captured(EXCHANGE)


GOOD = vars(captured(EXCHANGE))


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", "{", '{"capture": 1}', '{"capture": {}}', "[" * 10_000,
        *(json.dumps({"capture": {**GOOD, name: value}}) for name, value in (
            ("model", "../x"), ("model", ""), ("model", 3), ("endpoint", "a/b"), ("variant", ""),
            ("variant", "a/../b"), ("at_ms", -1), ("at_ms", True), ("at_ms", "1"), ("line", "x"),
            ("line", "[]"), ("line", '{\n"a": 1}'), ("line", None),
        )),
    ],
)  # fmt: skip
def test_a_message_that_is_none_is_refused(body: str) -> None:
    """It ends in the dead-letter queue, and writes nowhere; its content is not repeated."""
    with pytest.raises(CaptureInvalid, match="of the capture queue"):
        read_message(body)


def test_an_empty_variant_is_refused_as_a_place() -> None:
    """An endpoint that names no variant has no folder for its capture."""
    with pytest.raises(CaptureInvalid):
        read_message(message_of(Captured("census", "e", "", 1, "{}")))
