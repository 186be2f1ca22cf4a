"""The trial of a challenger: requests that main has answered, and what is wrong with an answer.

A challenger gets them at no weight, before anybody's request of today reaches it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass

from perennial.domain.captured import BadLine, document_of, read_answer


@dataclass(frozen=True)
class Tried:
    """A captured request as it was sent, and how many predictions main gave to it."""

    body: bytes
    content_type: str
    predictions: int


def tried_requests(lines: Iterable[str]) -> list[Tried]:
    """The requests of a capture file that main answered, the newest first.

    What cannot be read is left out: it says nothing of the challenger.
    """
    found = []
    for line in lines:
        try:
            found.append(_request(line))
        except (BadLine, KeyError, TypeError, binascii.Error):
            continue
    return found[::-1]


def _request(line: str) -> Tried:
    part = document_of(line)["captureData"]["endpointInput"]
    data, kind = part["data"], part["observedContentType"]
    if not isinstance(data, str) or not isinstance(kind, str):
        raise BadLine("the request is no text")
    is_packed = part.get("encoding") == "BASE64"
    body = base64.b64decode(data, validate=True) if is_packed else data.encode()
    return Tried(body, kind, len(read_answer(line).predictions))


def wrong_answer(body: bytes, version: int, request: Tried) -> str:
    """What is wrong with the challenger's answer, in words; empty: nothing."""
    try:
        said = json.loads(body)
        predictions = said["predictions"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "its answer holds no predictions"
    given = len(predictions) if isinstance(predictions, list) else 0
    if given != request.predictions:
        return f"it gave {given} predictions where main gave {request.predictions}"
    told = said.get("version")
    if told is not None and told != version:
        return f"version {told} answered in its place"
    return ""
