"""Label sets of reviewers: JSON lines of a row, its label, and when it was reviewed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perennial.domain.schema import text_of
from perennial.domain.settings import Settings

from jobs.entries import Entry
from jobs.readers import CHUNK_ROWS, CHUNK_TEXT, BadRow, Chunk, Reading, shown, text_lines


@dataclass
class Gathered:
    """Rows of texts until they make a chunk."""

    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    landed: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    characters: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to hand the rows on."""
        return len(self.lines) + len(self.bad) >= CHUNK_ROWS or self.characters >= CHUNK_TEXT

    def chunk(self, width: int) -> Chunk:
        """The rows as a chunk of so many columns."""
        cells: list[Sequence[str]] = (
            list(zip(*self.rows, strict=True)) if self.rows else [() for _ in range(width)]
        )
        return Chunk(self.lines, cells, self.texts.__getitem__, self.bad, self.landed, self.order)


def read_reviews(path: Path, settings: Settings, entry: Entry) -> Reading:
    """The rows of one label set; raises `BadObject`, also while chunks are read."""
    return Reading(_chunks(path, settings, entry))


def _chunks(path: Path, settings: Settings, entry: Entry) -> Iterator[Chunk]:
    width = len(settings.data.columns)
    part = Gathered()
    for number, line in text_lines(path):
        part.characters += len(line)
        found = _row(line, number, settings)
        if isinstance(found, BadRow):
            part.bad.append(found)
        else:
            texts, reviewed_ms = found
            part.lines.append(number)
            part.texts.append(line)
            part.rows.append(texts)
            # A clock that runs ahead must not outdo every later review.
            at = entry.last_modified_ms if reviewed_ms is None else reviewed_ms
            part.order.append(min(at, entry.last_modified_ms))
        if part.is_full:
            yield part.chunk(width)
            part = Gathered()
    if part.lines or part.bad:
        yield part.chunk(width)


def _row(line: str, number: int, settings: Settings) -> tuple[list[str], int | None] | BadRow:
    """The texts of the settings' columns and the moment of the review."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(number, None, f"no JSON: {error}", shown(line))
    row = document.get("row") if isinstance(document, dict) else None
    if not isinstance(row, dict) or "label" not in document:
        return BadRow(number, None, "no review: it takes row (an object) and label", shown(line))
    reviewed_ms = document.get("reviewed_ms")
    if reviewed_ms is not None and not _is_moment(reviewed_ms):
        why = "it is no time in whole milliseconds since 1970"
        return BadRow(number, "reviewed_ms", why, shown(line))
    values = {**row, settings.label: document["label"]}
    texts = []
    for column in settings.data.columns:
        try:
            texts.append(text_of(values.get(column.name)))
        except TypeError as error:
            return BadRow(number, column.name, f"{error} is no single value", shown(line))
    return texts, reviewed_ms


def _is_moment(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
