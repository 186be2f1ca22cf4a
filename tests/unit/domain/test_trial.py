"""The trial of a challenger: which captured requests count, and what is a wrong answer."""

from __future__ import annotations

import base64
import json

import pytest
from perennial.domain.trial import Tried, tried_requests, wrong_answer


def line(data: str, answer: str = '{"predictions": [1, 2]}', encoding: str = "JSON") -> str:
    """A line of capture."""
    kind = "application/json"
    sent = {"data": data, "encoding": encoding, "observedContentType": kind}
    said = {"data": answer, "encoding": "JSON", "observedContentType": kind}
    about = {"eventId": "e", "inferenceTime": "2026-11-21T08:00:00Z"}
    both = {"endpointInput": sent, "endpointOutput": said}
    return json.dumps({"captureData": both, "eventMetadata": about})


def test_captured_requests_come_back_as_they_were_sent() -> None:
    """The newest first, packed ones unpacked, with how many predictions main gave."""
    packed = base64.b64encode("ü".encode()).decode()
    found = tried_requests([line("a"), line(packed, '{"predictions": [1]}', "BASE64")])
    kind = "application/json"
    assert found == [Tried("ü".encode(), kind, 1), Tried(b"a", kind, 2)]


@pytest.mark.parametrize(
    "bad",
    [
        "", "no json", "[]", "{}", '{"captureData": 1}', '{"captureData": {"endpointInput": {}}}',
        line("%", encoding="BASE64"), line("a", answer="no json"),
        json.dumps({"captureData": {"endpointInput": json.loads(line("a"))["captureData"][
            "endpointInput"]}}),
    ],
)  # fmt: skip
def test_what_main_did_not_answer_is_left_out(bad: str) -> None:
    """Nor does a line count that cannot be read."""
    assert [each.body for each in tried_requests([line("a"), bad, line("b")])] == [b"b", b"a"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"predictions": [1, 2], "version": 8}', ""),
        ('{"predictions": [1, 2]}', ""),
        ('{"predictions": [1, 2], "version": 7}', "version 7 answered in its place"),
        ('{"predictions": [1]}', "it gave 1 predictions where main gave 2"),
        ('{"predictions": 3}', "it gave 0 predictions where main gave 2"),
        ("[]", "its answer holds no predictions"),
        ("{}", "its answer holds no predictions"),
        ("no json", "its answer holds no predictions"),
        ("[" * 100_000, "its answer holds no predictions"),
    ],
)
def test_an_answer_that_is_none_is_told(body: str, words: str) -> None:
    """As many predictions as main gave, of the version that is tried."""
    assert wrong_answer(body.encode(), 8, Tried(b"", "application/json", 2)) == words
