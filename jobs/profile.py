"""Statistics of raw rows in one pass over Arrow batches, in bounded memory.

What is profiled are the features as a request has them, before `prepare`: a monitor sees the same
columns in captured requests. Numbers are numeric features; categories, texts, truth values, dates
and times are string features, in the form that a request has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from perennial.domain.schema import Column

from jobs.engine.statistics import NumericSummary, Summary, TextSummary
from jobs.failures import SettingsError

BATCH_ROWS = 50_000
NUMERIC = ("int", "float")
# Free text is listed from so many rows with the same on.
FEWEST_TEXTS = 10


class Profile:
    """The summaries of some columns after the batches seen so far, and how many rows those had."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.rows = 0
        self.features: dict[str, Summary] = {
            column.name: NumericSummary(integral=column.type == "int")
            if column.type in NUMERIC
            else TextSummary(listed_from=FEWEST_TEXTS if column.type == "string" else 1)
            for column in columns
        }

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it must have every column, and may have others."""
        self.rows += batch.num_rows
        for name, summary in self.features.items():
            values = batch.column(batch.schema.get_field_index(name))
            missing = values.null_count
            present = values.drop_null() if missing else values
            if isinstance(summary, NumericSummary):
                numbers = pc.cast(present, pa.float64(), safe=False)
                summary.add(numbers.to_numpy(zero_copy_only=False), missing)
            else:
                found = pc.value_counts(pc.cast(present, pa.string()))
                texts, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
                summary.add(dict(zip(texts, counts, strict=True)), missing)


def profile(files: Iterable[Path], columns: Sequence[Column]) -> Profile:
    """The profile of some Parquet files; raises `SettingsError` for one that cannot be read."""
    found = Profile(columns)
    names = [column.name for column in columns]
    for path in files:
        try:
            for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=names):
                found.add(batch)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise SettingsError(f"cannot read the rows in {path.name}: {error}") from None
    return found
