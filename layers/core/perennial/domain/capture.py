"""Capture that we write ourselves, where SageMaker writes none: lines, messages and file names.

Format and layout are those of SageMaker's data capture, so that whoever reads the one reads the
other: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain.errors import Terminal
from perennial.domain.naming import is_model_name

#: Bytes of a message. SQS took 256 KiB for years, and takes more where nobody says so.
LARGEST_MESSAGE = 200_000
#: Content types and how capture writes them, as the release's own DataCaptureConfig asks for.
ENCODINGS = {"text/csv": "CSV", "application/json": "JSON"}


class CaptureInvalid(Terminal):
    """A message on the capture queue that is none: it belongs in the dead-letter queue."""


@dataclass(frozen=True)
class Exchange:
    """One answered request: what `variant` of an endpoint was sent at `at_ms`, and answered."""

    model: str
    endpoint: str
    variant: str
    request_id: str
    at_ms: int
    sent: bytes
    sent_type: str
    answered: bytes
    answered_type: str


@dataclass(frozen=True)
class Captured:
    """A line of capture, without its end, and which file it belongs into."""

    model: str
    endpoint: str
    variant: str
    at_ms: int
    line: str

    @property
    def folder(self) -> str:
        """The key of its file up to the hour (UTC)."""
        hour = time.strftime("%Y/%m/%d/%H", time.gmtime(self.at_ms // 1000))
        return f"capture/{self.model}/{self.endpoint}/{self.variant}/{hour}"


def captured(exchange: Exchange) -> Captured:
    """The exchange as SageMaker would have captured it; its event's id is the request's."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(exchange.at_ms // 1000))
    record = {
        "captureData": {
            "endpointInput": _side("INPUT", exchange.sent, exchange.sent_type),
            "endpointOutput": _side("OUTPUT", exchange.answered, exchange.answered_type),
        },
        "eventMetadata": {
            "eventId": exchange.request_id,
            "inferenceId": exchange.request_id,
            "inferenceTime": moment,
        },
        "eventVersion": "0",
    }
    line = json.dumps(record, separators=(",", ":"))
    return Captured(exchange.model, exchange.endpoint, exchange.variant, exchange.at_ms, line)


def _side(mode: str, body: bytes, content_type: str) -> dict[str, str]:
    encoding = ENCODINGS.get(content_type.partition(";")[0].strip().lower(), "BASE64")
    try:
        text = body.decode("utf-8") if encoding != "BASE64" else ""
    except UnicodeDecodeError:
        encoding = "BASE64"  # not what its type says, and kept all the same
    if encoding == "BASE64":
        text = base64.b64encode(body).decode()
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}


def message_of(found: Captured) -> str:
    """The message that `read_message` reads; plain ASCII, which every queue takes."""
    return json.dumps({"capture": vars(found)}, separators=(",", ":"))


def read_message(body: str) -> Captured:
    """What a message of the capture queue brings; raises `CaptureInvalid`."""
    try:
        given: Any = json.loads(body)["capture"]
        found = Captured(
            model=given["model"],
            endpoint=given["endpoint"],
            variant=given["variant"],
            at_ms=given["at_ms"],
            line=given["line"],
        )
        texts = (found.model, found.endpoint, found.variant, found.line)
        if not all(isinstance(text, str) and text for text in texts):
            raise CaptureInvalid("a message of the capture queue has a part that is no text")
        if type(found.at_ms) is not int or found.at_ms < 0:
            raise CaptureInvalid("a message of the capture queue has a time that is none")
        _check_places(found)
        if not isinstance(json.loads(found.line), Mapping) or "\n" in found.line:
            raise CaptureInvalid("a message of the capture queue holds no line of capture")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        words = f"a message of the capture queue cannot be read: {type(error).__name__}"
        raise CaptureInvalid(words) from None
    return found


def _check_places(found: Captured) -> None:
    """A name that were more than a name could lead into another model's folder."""
    if not is_model_name(found.model) or "/" in found.endpoint + found.variant:
        raise CaptureInvalid("a message of the capture queue names a place that is none")


def by_file(lines: Iterable[tuple[str, Captured]]) -> dict[str, list[tuple[str, Captured]]]:
    """Lines by the folder that they belong into, each with its mark, oldest first."""
    found: dict[str, list[tuple[str, Captured]]] = {}
    for mark, line in sorted(lines, key=lambda each: (each[1].at_ms, each[0])):
        found.setdefault(line.folder, []).append((mark, line))
    return found


def file_key(lines: list[tuple[str, Captured]]) -> str:
    """`<folder>/mm-ss-mmm-<id>.jsonl`: by its first line and its lines' marks, so that the same
    lines written again replace the file instead of being there twice."""
    first = lines[0][1]
    at = time.strftime("%M-%S", time.gmtime(first.at_ms // 1000))
    text = hashlib.sha256("\n".join(mark for mark, _ in lines).encode()).hexdigest()
    mark = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))
    return f"{first.folder}/{at}-{first.at_ms % 1000:03d}-{mark}.jsonl"


def file_body(lines: list[tuple[str, Captured]]) -> bytes:
    """The file's content: a line each."""
    return b"".join(line.line.encode() + b"\n" for _, line in lines)
