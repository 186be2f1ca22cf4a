"""Rows of a local file, checked and written as the objects that a batch is made of.

A batch cuts objects into requests at the ends of lines, so there is no header, the columns stand
in the order of the settings, and no value holds a line's end.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from perennial.domain.batch import CSV, PART_ROWS, BadInput, Content, content_of, header_of
from perennial.domain.prediction_request import Inputs, expected_of
from perennial.domain.schema import BadValue, Header


@dataclass(frozen=True)
class Part:
    """One object to be: a file, and how many rows it holds."""

    path: Path
    rows: int


@dataclass(frozen=True)
class Parts:
    """What a local file became; `notices` say what was accepted all the same."""

    content: Content
    parts: tuple[Part, ...]
    notices: tuple[str, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(part.rows for part in self.parts)


def write_parts(
    source: Path, inputs: Inputs, delimiter: str, folder: Path, part_rows: int = PART_ROWS
) -> Parts:
    """Check every row of a file and write them as parts into a folder.

    Raises `BadInput` with file and line for the first row that the version does not take.
    """
    content = content_of(source.name)
    notices: list[str] = []
    with _opened(source, gzipped=content.gzip) as file:
        if content.kind == CSV:
            lines = _table(source, file, inputs, delimiter, notices)
        else:
            lines = _documents(source, file, inputs)
        try:
            parts = _written(source, lines, content, folder, part_rows)
        except UnicodeDecodeError as error:
            raise BadInput(f"{source} is not UTF-8: {error.reason}") from error
        except (gzip.BadGzipFile, EOFError) as error:
            raise BadInput(f"{source} is not gzip, although its name says so: {error}") from error
    if not parts:
        raise BadInput(f"{source} holds no row")
    return Parts(Content(content.kind, gzip=False), parts, tuple(notices))


def _opened(source: Path, *, gzipped: bool) -> IO[str]:
    if gzipped:
        return io.TextIOWrapper(gzip.open(source, "rb"), encoding="utf-8-sig", newline="")
    return source.open(encoding="utf-8-sig", newline="")


def _written(
    source: Path, lines: Iterator[str], content: Content, folder: Path, part_rows: int
) -> tuple[Part, ...]:
    """The lines in files of at most so many; a single one keeps the source's own name."""
    suffix = ".csv" if content.kind == CSV else ".jsonl"
    stem = source.name.removesuffix(".gz").rpartition(".")[0] or "rows"
    found: list[Part] = []
    rows = 0
    file: IO[str] | None = None
    try:
        for line in lines:
            if file is None:
                path = folder / f"{stem}-{len(found) + 1:05d}{suffix}"
                file = path.open("w", encoding="utf-8", newline="")
            file.write(line + "\n")
            rows += 1
            if rows == part_rows:
                file.close()
                found.append(Part(path, rows))
                file, rows = None, 0
    finally:
        if file is not None:
            file.close()
    if rows:
        found.append(Part(path, rows))
    if len(found) == 1:
        found = [Part(found[0].path.rename(folder / f"{stem}{suffix}"), found[0].rows)]
    return tuple(found)


def _table(
    source: Path, file: IO[str], inputs: Inputs, delimiter: str, notices: list[str]
) -> Iterator[str]:
    """The rows of a table, checked; a header is read by name and not passed on."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    features = inputs.features
    header = Header(tuple(range(len(features))), len(features))
    is_first = True
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if is_first:
                is_first = False
                named = _header(source, inputs, cells)
                if named is not None:
                    header = named
                    notices += named.notices
                    continue
            yield _line(source, reader.line_num, cells, header, inputs)
    except csv.Error as error:
        raise BadInput(f"{source}, line {reader.line_num} is not CSV: {error}") from error


def _header(source: Path, inputs: Inputs, cells: Sequence[str]) -> Header | None:
    try:
        return header_of(inputs.features, cells)
    except BadInput as error:
        raise BadInput(f"{source}, line 1 is a header, but {error}") from error


def _line(source: Path, number: int, cells: Sequence[str], header: Header, inputs: Inputs) -> str:
    """One row as the server reads it; `BadInput` names line and column."""
    if len(cells) != header.width:
        raise BadInput(
            f"{source}, line {number} has {len(cells)} values; expected {header.width}: "
            f"{inputs.features[0].name} to {inputs.features[-1].name}"
        )
    row = [cells[place] if place >= 0 else "" for place in header.positions]
    for column, cell in zip(inputs.features, row, strict=True):
        try:
            column.parse(cell, inputs.missing)
        except BadValue as error:
            raise BadInput(
                f"{source}, line {number}, {column.name}: {error}; expected {expected_of(column)}"
            ) from None
        if "\n" in cell or "\r" in cell:
            raise BadInput(
                f"{source}, line {number}, {column.name}: a value with a line's end; a batch "
                "reads a row a line. Give such rows as .jsonl"
            )
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _documents(source: Path, file: IO[str], inputs: Inputs) -> Iterator[str]:
    """An object a line, checked by column; other keys are left out, as the server would."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{source}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadInput(f"{source}, line {number} is no JSON object by column name")
        yield json.dumps(_checked(source, number, row, inputs))


def _checked(
    source: Path, number: int, row: Mapping[str, Any], inputs: Inputs
) -> Mapping[str, Any]:
    for column in inputs.features:
        try:
            column.accept(row.get(column.name), inputs.missing)
        except BadValue as error:
            raise BadInput(
                f"{source}, line {number}, {column.name}: {error}; expected {expected_of(column)}"
            ) from None
    return {name: value for name, value in row.items() if inputs.knows(name)}
