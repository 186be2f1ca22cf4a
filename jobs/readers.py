"""Reads one data object of any format, in chunks of cells as text, in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.schema import (
    LONGEST_TEXT,
    BadHeader,
    Header,
    ignored_words,
    match_header,
    match_width,
    text_of,
)
from perennial.domain.settings import DataSettings
from perennial.domain.text import parse_json, printable

CHUNK_ROWS = 20_000
# A chunk ends with the row that brings it to so many characters, however few rows it has.
CHUNK_TEXT = 16 << 20
LONGEST_LINE = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
SHOWN = 200
NO_ROWS = "the file holds no rows: it is empty, or has only blank lines"


class BadObject(ValueError):
    """An object that cannot be read as a whole; the message is the reason."""


@dataclass(frozen=True)
class BadRow:
    """A row that is left out: its line, the column if one is to blame, why, and its text."""

    line: int
    column: str | None
    why: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """The row as check/report.json holds it."""
        return {"line": self.line, "column": self.column, "why": self.why, "text": self.text}


@dataclass
class Chunk:
    """Some rows: `cells[c][r]` is the text of column c (in the settings' order) of row r.

    `text(r)` is row r as it stands in the file, for reports. `landed` and `order` (milliseconds)
    are given where they differ from row to row: when its label landed, and which of two rows of
    one identity is the later.
    """

    lines: list[int]
    cells: list[Sequence[str]]
    text: Callable[[int], str]
    bad: list[BadRow] = field(default_factory=list)
    landed: Sequence[int] = ()
    order: Sequence[int] = ()


@dataclass
class Reading:
    """An object being read: its notices, then its chunks."""

    chunks: Iterator[Chunk]
    notices: tuple[str, ...] = ()


def shown(text: str) -> str:
    """Text of a data file as reports quote it: printable, at most 200 characters."""
    return printable(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")


def open_object(path: Path, settings: DataSettings) -> Reading:
    """Begin reading an object; raises `BadObject` or `BadHeader`, also while chunks are read."""
    if path.stat().st_size == 0:
        raise BadObject("the file is empty")
    with path.open("rb") as file:
        magic = file.read(4)
    if (magic == PARQUET_MAGIC) != (settings.format == "parquet"):
        what = "a" if magic == PARQUET_MAGIC else "no"
        raise BadObject(f"it is {what} Parquet file; data.format says {settings.format}")
    if settings.format == "parquet":
        return _open_parquet(path, settings)
    lines = _lines(path, zipped=magic.startswith(GZIP_MAGIC))
    if settings.format == "jsonlines":
        return _open_json_lines(lines, settings)
    return _open_csv(lines, settings)


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file (gzip or plain) that are not blank, with their numbers.

    Raises `BadObject`, also when there is none.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
    found = False
    for number, line in enumerate(_lines(path, zipped=zipped), 1):
        if line.strip():
            found = True
            yield number, line.strip()
    if not found:
        raise BadObject(NO_ROWS)


def _lines(path: Path, *, zipped: bool) -> Iterator[str]:
    """The lines of a text file, each with its end; raises `BadObject`."""
    number = 0
    with contextlib.ExitStack() as stack:
        source: IO[bytes] = stack.enter_context(path.open("rb", buffering=1 << 18))
        if zipped:
            source = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=source)))
        while True:
            try:
                line = source.readline(LONGEST_LINE)
            except EOFError:
                raise BadObject("the gzip file ends too early; it was cut off") from None
            except (OSError, zlib.error) as error:
                raise BadObject(f"the gzip file is damaged: {error}") from None
            if not line:
                return
            number += 1
            if len(line) >= LONGEST_LINE:
                raise BadObject(f"line {number} is longer than {LONGEST_LINE >> 20} MiB")
            yield _decoded(line, number)


def _decoded(line: bytes, number: int) -> str:
    if b"\0" in line:
        raise BadObject(f"line {number} holds binary data, not text")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise BadObject(
            f"line {number} is not UTF-8 text (byte {error.start + 1} of the line)"
        ) from None


def _open_csv(lines: Iterator[str], settings: DataSettings) -> Reading:
    csv.field_size_limit(LONGEST_TEXT)
    budget = Budget()
    reader = csv.reader(
        budget.watch(lines),
        delimiter=settings.delimiter,
        skipinitialspace=settings.delimiter != " ",
        strict=True,
    )
    records = _records(reader)
    unreadable: list[tuple[int, BadRow]] = []
    line, row = _first_row(records, unreadable, settings)
    if settings.header:
        header = match_header(settings.columns, row)
    else:
        header = match_width(settings.columns, len(row))
        records = _chain([*unreadable, (line, row)], records)
    return Reading(_csv_chunks(records, header, settings, budget), header.notices)


class Budget:
    """The characters of the chunk that is being read: what bounds a row and a chunk."""

    def __init__(self) -> None:
        self.spent = 0

    def watch(self, lines: Iterator[str]) -> Iterator[str]:
        """Hand the lines on; a row of ever more quoted lines raises `BadObject`."""
        for line in lines:
            self.spent += len(line)
            if self.spent > CHUNK_TEXT + LONGEST_LINE:
                raise BadObject(f"a row is longer than {LONGEST_LINE >> 20} MiB")
            yield line

    def used_up(self, rows: int) -> bool:
        """Whether a chunk of so many rows ends here; then the next one begins."""
        ends = rows >= CHUNK_ROWS or self.spent >= CHUNK_TEXT
        if ends:
            self.spent = 0
        return ends


def _first_row(
    records: Iterator[tuple[int, list[str] | BadRow]],
    unreadable: list[tuple[int, BadRow]],
    settings: DataSettings,
) -> tuple[int, list[str]]:
    """The first row that can be parsed; a header must be the very first."""
    for line, row in records:
        if not isinstance(row, BadRow):
            return line, row
        if settings.header:
            raise BadObject(f"line {line}, the header: {row.why}")
        unreadable.append((line, row))
    if unreadable:
        line, bad = unreadable[0]
        raise BadObject(f"no row can be read; line {line}: {bad.why}")
    raise BadObject(NO_ROWS)


def _chain(first: Iterable[Any], rest: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from rest


def _records(reader: Any) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Each record with the line that it begins on; what cannot be parsed is a bad row."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = str(error)
            if "field limit" in why:
                why = f"a field has more than {LONGEST_TEXT:,} characters"
            yield line, BadRow(line, None, why, "")
            continue
        if row:
            yield line, row


def _csv_chunks(
    records: Iterable[tuple[int, list[str] | BadRow]],
    header: Header,
    settings: DataSettings,
    budget: Budget,
) -> Iterator[Chunk]:
    lines: list[int] = []
    rows: list[list[str]] = []
    bad: list[BadRow] = []
    for line, row in records:
        if isinstance(row, BadRow):
            bad.append(row)
        elif len(row) != header.width:
            why = f"{len(row)} fields; the {'header' if settings.header else 'first line'} has "
            text = shown(settings.delimiter.join(row))
            bad.append(BadRow(line, None, f"{why}{header.width}", text))
        else:
            lines.append(line)
            rows.append(row)
        if budget.used_up(len(rows) + len(bad)):
            yield _csv_chunk(lines, rows, bad, (header, settings.delimiter))
            lines, rows, bad = [], [], []
    if rows or bad:
        yield _csv_chunk(lines, rows, bad, (header, settings.delimiter))


def _csv_chunk(
    lines: list[int], rows: list[list[str]], bad: list[BadRow], form: tuple[Header, str]
) -> Chunk:
    header, delimiter = form
    columns = _transposed(rows, header.width)
    cells = [columns[position] for position in header.positions]
    return Chunk(lines, cells, lambda row: delimiter.join(rows[row]), bad)


def _open_json_lines(lines: Iterator[str], settings: DataSettings) -> Reading:
    notices: set[str] = set()
    chunks = _json_chunks(lines, settings, notices)
    # The first chunk is read now, so that a file without any row is refused at once.
    first = next(chunks, None)
    if first is None:
        raise BadObject(NO_ROWS)
    return Reading(_chain([first], chunks), tuple(sorted(notices)))


def _json_chunks(
    lines: Iterator[str], settings: DataSettings, notices: set[str]
) -> Iterator[Chunk]:
    names = [column.name for column in settings.columns]
    good: list[tuple[int, str, list[str]]] = []
    bad: list[BadRow] = []
    budget = Budget()
    for number, line in enumerate(budget.watch(lines), 1):
        if not line.strip():
            continue
        row = _json_row(line, number, names)
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            good.append((number, line.rstrip(), row[0]))
            if row[1] and not notices:
                notices.add(ignored_words(row[1]))
        if budget.used_up(len(good) + len(bad)):
            yield _json_chunk(good, bad, len(names))
            good, bad = [], []
    if good or bad:
        yield _json_chunk(good, bad, len(names))


def _json_chunk(good: list[tuple[int, str, list[str]]], bad: list[BadRow], width: int) -> Chunk:
    cells = _transposed([texts for _, _, texts in good], width)
    return Chunk([number for number, _, _ in good], cells, lambda row: good[row][1], bad)


def _transposed(rows: list[list[str]], width: int) -> list[Sequence[str]]:
    return list(zip(*rows, strict=True)) if rows else [() for _ in range(width)]


def _json_row(line: str, number: int, names: list[str]) -> tuple[list[str], list[str]] | BadRow:
    """The texts of a JSON object in the columns' order, and its keys that are no columns."""
    try:
        document = parse_json(line)
    except (ValueError, RecursionError) as error:
        return BadRow(number, None, f"no JSON: {error}", shown(line))
    if not isinstance(document, dict):
        return BadRow(number, None, "no JSON object", shown(line))
    texts = []
    for name in names:
        try:
            texts.append(text_of(document.get(name)))
        except TypeError as error:
            return BadRow(number, name, f"{error} is no single value", shown(line))
    return texts, sorted(set(document) - set(names))


def _open_parquet(path: Path, settings: DataSettings) -> Reading:
    try:
        with pq.ParquetFile(path) as plain:
            header = match_header(settings.columns, plain.schema_arrow.names)
            texts = _text_columns(plain, {column.name for column in settings.columns})
        # Each text once: a file of some bytes can repeat one of a megabyte ever so often.
        file = pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError) as error:
        raise BadObject(f"the Parquet file is damaged: {error}") from None
    if file.metadata.num_rows == 0:
        raise BadObject("the file holds no rows")
    return Reading(_parquet_chunks(file, settings), header.notices)


def _text_columns(file: pq.ParquetFile, wanted: set[str]) -> list[str]:
    """The wanted columns that hold texts; one of bytes, lists or objects raises `BadHeader`."""
    texts = []
    for column in file.schema_arrow:
        if column.name not in wanted:
            continue
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts.append(column.name)
        elif not _is_plain(kind):
            raise _no_plain_values(column.type)
    return texts


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _no_plain_values(kind: pa.DataType, error: Exception | str = "") -> BadHeader:
    words = printable(f"a Parquet column of type {kind} holds no plain values")
    return BadHeader(f"{words}: {error}" if error else words)


def _batch_rows(file: pq.ParquetFile) -> int:
    """How many rows to read at once: few, where the file says that they are long."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return max(1, min(CHUNK_ROWS, CHUNK_TEXT // max(longest, 1)))


def _parquet_chunks(file: pq.ParquetFile, settings: DataSettings) -> Iterator[Chunk]:
    names = [column.name for column in settings.columns]
    seen = 0
    try:
        for batch in file.iter_batches(_batch_rows(file), columns=names):
            cells: list[Sequence[str]] = [_texts(batch.column(name)) for name in names]
            numbers = list(range(seen + 1, seen + 1 + batch.num_rows))
            yield Chunk(numbers, cells, partial(_joined, cells))
            seen += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise BadObject(f"the Parquet file is damaged: {error}") from None


def _joined(cells: list[Sequence[str]], row: int) -> str:
    return ",".join(texts[row][: SHOWN + 1] for texts in cells)  # no more of it is shown


def _texts(column: pa.Array) -> list[str]:
    """The texts of a column; a value is turned into text once, however often it occurs."""
    try:
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        texts = [text_of(value) for value in encoded.dictionary.to_pylist()]
        return ["" if i is None else texts[i] for i in encoded.indices.to_pylist()]
    except (TypeError, pa.ArrowNotImplementedError) as error:
        raise _no_plain_values(column.type, error) from None
