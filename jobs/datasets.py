"""Rows that are no capture: files of CSV, JSON lines or Parquet, as a batch transform leaves them.

Every column is read by its name, also one that the settings do not have: which columns there are
is one of the things that a monitor looks at. Files without times of their own are the window's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from perennial.domain.schema import text_of
from perennial.domain.settings import DataSettings
from perennial.domain.text import parse_json

from jobs.captures import BLOCK, SLOW_ROWS, Captures, blocks_of
from jobs.places import objects
from jobs.profile import BATCH_ROWS
from jobs.readers import shown
from jobs.watched import table_of


def tables_of(captures: Captures, data: DataSettings) -> Iterator[pa.Table]:
    """The rows of the window's files; a damaged file is told, and its rows until there count."""
    config = captures.config
    read = {"csv": _csv, "jsonlines": _json_lines, "parquet": _parquet}[config.format]
    for found in objects(config.capture, config.start_ms, config.end_ms, captures.folder):
        try:
            yield from read(found.path, captures, data)
        except (pa.ArrowException, EOFError, OSError, ValueError) as error:
            captures.tally.break_line(f"{found.name}: {shown(str(error))}")


def _parquet(path: Path, _captures: Captures, _data: DataSettings) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as plain:
        texts = [f.name for f in plain.schema_arrow if f.type in (pa.string(), pa.large_string())]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _csv(path: Path, captures: Captures, data: DataSettings) -> Iterator[pa.Table]:
    """A header's names in any order, or without one the features in theirs."""
    if not path.stat().st_size:
        return

    def refuse(row: pa_csv.InvalidRow) -> str:
        captures.tally.narrow += row.actual_columns < row.expected_columns
        captures.tally.wide += row.actual_columns > row.expected_columns
        captures.tally.break_line(
            f"{path.name}: a row has {row.actual_columns} fields; expected {row.expected_columns}"
        )
        return "skip"

    source = pa.input_stream(path, compression="detect")
    parse = pa_csv.ParseOptions(delimiter=data.delimiter, invalid_row_handler=refuse)
    names = None if data.header else captures.features
    options = pa_csv.ReadOptions(block_size=BLOCK, column_names=names)
    head = _first_line(path)
    columns = [name.strip() for name in head.split(data.delimiter)] if data.header else names or []
    with pa_csv.open_csv(
        source,
        read_options=options,
        parse_options=parse,
        convert_options=pa_csv.ConvertOptions(
            column_types={name.strip('"'): pa.string() for name in columns},
            strings_can_be_null=False,
        ),
    ) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _first_line(path: Path) -> str:
    with pa.input_stream(path, compression="detect") as stream:
        first, *_ = itertools.chain(stream.read(1 << 16).splitlines(), [b""])
    return str(first.decode("utf-8-sig"))


def _json_lines(path: Path, captures: Captures, _data: DataSettings) -> Iterator[pa.Table]:
    rows: list[dict[str, str]] = []
    for block in blocks_of(path):
        for line in filter(bytes.strip, block.splitlines()):
            try:
                document = parse_json(line.decode("utf-8-sig"))
                row = {str(name): text_of(value) for name, value in document.items()}
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                captures.tally.break_line(f"{path.name}: {shown(str(error))}")
                continue
            captures.tally.absent.update(n for n in captures.features if n not in row)
            captures.tally.foreign.update(n for n in row if n not in captures.features)
            rows.append(row)
            if len(rows) >= SLOW_ROWS:
                yield table_of(rows, captures.features)
                rows = []
    if rows:
        yield table_of(rows, captures.features)
