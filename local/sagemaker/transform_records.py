"""From an input object to requests, and from their answers to the output object.

Rules of the CreateTransformJob reference and of the developer guide's "Associate Prediction
Results with Input Records".
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local.sagemaker.transform_filter import Filter, FilterError

CSV, LINES, JSON = "text/csv", "application/jsonlines", "application/json"
FORMATS = (CSV, LINES, JSON)
WHOLE = Filter("$")
MEGABYTE = 1024 * 1024
TOO_LARGE = "Too much data for max payload size"


class RecordError(Exception):
    """An input object that cannot be transformed, or an answer that does not fit it."""


def kind_of(content_type: str | None) -> str:
    """The format that DataProcessing reads a content type as; empty: it cannot."""
    found = (content_type or "").partition(";")[0].strip().lower()
    return found if found in FORMATS else ""


@dataclass(frozen=True)
class Batch:
    """One request: the records as they came, and what is sent of them."""

    records: tuple[bytes, ...]
    body: bytes


@dataclass(frozen=True)
class Recipe:
    """How objects become requests and answers become objects.

    `limit` is the largest body in bytes, 0 for none. `kind` is the format that the filters and
    the join read; it is only looked at when there is one of them.
    """

    split: bool
    several: bool
    limit: int
    assemble: bool
    kind: str = ""
    input_filter: Filter = WHOLE
    output_filter: Filter = WHOLE
    join: bool = False

    def batches(self, pieces: Iterable[bytes]) -> Iterator[Batch]:
        """The requests of one object; RecordError for a record that no request can hold."""
        records = _lines(pieces) if self.split else _whole(pieces, self.limit)
        held: list[bytes] = []
        sent: list[bytes] = []
        size = 0
        for record in records:
            body = self._filtered(record)
            if self.limit and len(body) > self.limit:
                raise RecordError(TOO_LARGE)
            full = self.limit and size + len(body) + len(sent) > self.limit
            if sent and (full or not self.several):
                yield Batch(tuple(held), b"\n".join(sent))
                held, sent, size = [], [], 0
            held.append(record)
            sent.append(body)
            size += len(body)
        if sent:
            yield Batch(tuple(held), b"\n".join(sent))

    def output(self, batch: Batch, answer: bytes) -> bytes:
        """What one answer adds to the output object; RecordError when it does not fit."""
        if not self.join and self.output_filter.is_whole:
            return _ended(answer) if self.assemble else answer
        answers = list(_lines([answer])) if self.split and self.several else [answer.strip()]
        if len(answers) != len(batch.records):
            raise RecordError(
                f"Unable to join or filter: {len(batch.records)} records were sent, and the "
                f"answer has {len(answers)}"
            )
        made = [self._made(*pair) for pair in zip(batch.records, answers, strict=True)]
        text = b"\n".join(made)
        return _ended(text) if self.assemble else text

    def _made(self, record: bytes, answer: bytes) -> bytes:
        found = self._read(answer)
        if self.join:
            found = _joined(self.kind, self._read(record), found)
        return self._written(self._picked(self.output_filter, found))

    def _filtered(self, record: bytes) -> bytes:
        if self.input_filter.is_whole:
            return record
        return self._written(self._picked(self.input_filter, self._read(record)))

    def _picked(self, wanted: Filter, record: Any) -> Any:
        try:
            return wanted(record)
        except FilterError as error:
            raise RecordError(str(error)) from error

    def _read(self, record: bytes) -> Any:
        try:
            text = record.decode("utf-8")
            if self.kind != CSV:
                return json.loads(text)
            rows = list(csv.reader([text.rstrip("\r\n")], strict=True))
        except (ValueError, csv.Error) as error:
            raise RecordError(f"a record is not {self.kind}: {error}") from error
        return rows[0] if rows else []

    def _written(self, value: Any) -> bytes:
        if self.kind != CSV:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        text = io.StringIO()
        cells = value if isinstance(value, list) else [value]
        csv.writer(text, lineterminator="").writerow(cells)
        return text.getvalue().encode()


def _joined(kind: str, record: Any, answer: Any) -> Any:
    if kind == CSV:
        return [*record, *answer]
    if isinstance(record, dict):
        return {**record, "SageMakerOutput": answer}
    return {"SageMakerInput": record, "SageMakerOutput": answer}


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") or not text else text + b"\n"


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; empty ones are no records."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.removesuffix(b"\r")
    if rest.strip():
        yield rest.removesuffix(b"\r")


def _whole(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The object as one record, given up as soon as it is too large for a request."""
    found: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if limit and size > limit:
            raise RecordError(TOO_LARGE)
        found.append(piece)
    if size:
        yield b"".join(found)
