"""Writes the training rows as the tables that AWS's algorithms and own images read.

One file each for `train` and `validation`, without a header, the label first: CSV, or libsvm where
the settings say so. With unequal weights of sources each row's weight follows its label, as
XGBoost's container reads both formats.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from perennial.domain.holdout import in_validation
from perennial.domain.settings import Settings
from perennial.domain.training_job import TRAIN, VALIDATION, weighs

from jobs.casting import ROW, SOURCE, TrainingSchema, restore_prepared
from jobs.encoding import Array, Means, encode, encode_columns, numbers_of

BATCH_ROWS = 20_000


def count_validation(rows: list[str], share: float) -> int:
    """How many of some rows, by their identities, are kept for validation."""
    return sum(in_validation(row, share) for row in rows)


def write_tables(
    settings: Settings, schema: TrainingSchema, rows: Path, folder: Path
) -> TrainingSchema:
    """Write the tables of the prepared `rows`; answer the schema with their encoding.

    Raises `ModelError` for columns or numbers that no container reads.
    """
    project = settings.project
    means = None
    if settings.train.algorithm == "linear-learner":
        means = Means()
        numbers = numbers_of(schema.prepared, project)
        for table in _batches(rows):
            means.add(restore_prepared(table, schema), numbers)
    schema = replace(schema, encoding=encode_columns(schema.prepared, project, means))
    weights = dict(settings.data.sources) if weighs(settings) else {}
    share = settings.train.validation
    with contextlib.ExitStack() as files:
        sinks = {
            part: files.enter_context(_open(folder / part, settings.train.input))
            for part in ((TRAIN, VALIDATION) if share else (TRAIN,))
        }
        for table in _batches(rows):
            kept = [in_validation(row, share) for row in table.column(ROW).to_pylist()]
            watch = np.array(kept, dtype=bool)
            values = encode(restore_prepared(table, schema), schema.encoding)
            labels = table.column(schema.label).to_numpy()
            counted = _weights(table, weights)
            for part, wanted in ((TRAIN, ~watch), (VALIDATION, watch)):
                if wanted.any():
                    chosen = None if counted is None else counted[wanted]
                    _write(sinks[part], settings, labels[wanted], values[wanted], chosen)
    return schema


def _batches(rows: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(rows) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _open(folder: Path, kind: str) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"rows.{kind}").open("wb")


def _weights(table: pa.Table, weights: dict[str, float]) -> Array | None:
    if not weights:
        return None
    return np.array([weights[source] for source in table.column(SOURCE).to_pylist()])


def _write(
    sink: IO[bytes], settings: Settings, labels: Array, values: Array, weights: Array | None
) -> None:
    if settings.train.input == "libsvm":
        sink.writelines(_libsvm(labels, values, weights))
        return
    columns = [labels] if weights is None else [labels, weights]
    arrays = [pa.array(column) for column in columns]
    # What is no number is written as nothing, which the containers take for a missing value.
    arrays += [pa.array(values[:, i], from_pandas=True) for i in range(values.shape[1])]
    table = pa.Table.from_arrays(arrays, names=[str(i) for i in range(len(arrays))])
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    pa_csv.write_csv(table, sink, options)


def _libsvm(labels: Array, values: Array, weights: Array | None) -> Iterator[bytes]:
    """A line a row; zeros are written too, for a column that is not there is a missing value."""
    for number, row in enumerate(values):
        head = (
            _text(labels[number])
            if weights is None
            else (f"{_text(labels[number])}:{_text(weights[number])}")
        )
        known = np.flatnonzero(~np.isnan(row))
        yield " ".join([head, *(f"{i}:{_text(row[i])}" for i in known)]).encode() + b"\n"


def _text(value: Any) -> str:
    """The shortest text that is the same number."""
    number = value.item()
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return str(value)
