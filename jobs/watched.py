"""What a window holds of each feature, gathered batch by batch in bounded memory.

Values come as texts, as requests have them, or typed, as Parquet has them. They are judged by the
settings' types alone: a value outside `min` and `max`, or an unknown level, is a value still.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from perennial.domain.schema import BadValue, Column, text_of

from jobs.engine.checks import Observed
from jobs.engine.distances import Texts
from jobs.engine.statistics import NumericSummary, Summary, TextSummary
from jobs.profile import FEWEST_TEXTS, NUMERIC

Array = np.ndarray[Any, Any]

# Names of columns that are no features are counted for so many.
MOST_FOREIGN = 100
MOST_KNOWN = 50_000
# Columns have nothing in common; sorting and casting leave Python's lock.
POOL = ThreadPoolExecutor(os.cpu_count() or 1)


class Watch:
    """All features of a window, and what its rows had beside them."""

    def __init__(self, columns: Sequence[Column], missing: Sequence[str], label: str) -> None:
        self.rows = 0
        self.label = label
        self.features = {column.name: Watched(column, missing) for column in columns}
        self.foreign: dict[str, int] = {}

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Take some rows. A feature without a column is absent from all of them; a null is a row
        that has no value, or does not name the feature: `absent` below tells those."""
        self.rows += table.num_rows
        names = set(table.schema.names)
        for name, feature in self.features.items():
            if name not in names:
                feature.skip(table.num_rows)
        there = [name for name in self.features if name in names]
        list(POOL.map(lambda name: self._add_column(name, table.column(name)), there))
        for name in table.schema.names:
            if name not in self.features:
                self.note_foreign(name, table.num_rows)

    def _add_column(self, name: str, column: Any) -> None:
        parts = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        for part in parts:
            self.features[name].add(part)

    def note_foreign(self, name: str, rows: int) -> None:
        """Count rows with a column that is no feature; the label and our own columns are none."""
        if name == self.label or name.startswith("__"):
            return
        if name in self.foreign or len(self.foreign) < MOST_FOREIGN:
            self.foreign[name] = self.foreign.get(name, 0) + rows

    def observed(self) -> dict[str, Observed]:
        """What the checks need of each feature."""
        return {name: feature.observed() for name, feature in self.features.items()}

    @property
    def summaries(self) -> dict[str, Summary]:
        """The summaries for statistics.json."""
        return {name: feature.summary for name, feature in self.features.items()}


class Watched:
    """One feature's values so far.

    `wrong` values are of another type; numbers that should be whole are counted as wrong and as
    numbers, all other wrong ones have no place in the distribution.
    """

    def __init__(self, column: Column, missing: Sequence[str]) -> None:
        self.column = column
        self.summary: Summary = (
            NumericSummary(integral=column.type == "int")
            if column.type in NUMERIC
            else TextSummary(listed_from=FEWEST_TEXTS if column.type == "string" else 1)
        )
        self.rows = self.missing = self.wrong = self.absent = 0
        self._empty = pa.array(sorted({*missing, ""}), pa.string())
        self._missing = frozenset(missing) | {""}
        # A type's own check, without what a person allows of its values.
        self._plain = replace(column, required=False, minimum=None, maximum=None, open=True)
        # The text of each value that was seen; the same ones come again and again.
        self._known: dict[Any, str | None] = {}
        self._as_float = replace(self._plain, type="float")

    def skip(self, rows: int) -> None:
        """Take rows that do not name the feature."""
        self.rows += rows
        self.missing += rows
        self.absent += rows
        self.summary.missing += rows

    def add(self, values: pa.Array) -> None:
        """Take some rows' values."""
        self.rows += len(values)
        if pa.types.is_null(values.type):
            values = values.cast(pa.string())
        if isinstance(self.summary, NumericSummary):
            if pa.types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            self._add_numbers(values, self.summary)
        else:
            self._add_texts(values, self.summary)

    def observed(self) -> Observed:
        """The feature as the checks see it."""
        summary = self.summary
        values = (
            summary.sketch
            if isinstance(summary, NumericSummary)
            else Texts(summary.counts, summary.present, summary.lost, summary.lost)
        )
        return Observed(self.rows, self.rows - self.missing, self.wrong, self.absent, values)

    def _add_numbers(self, values: pa.Array, summary: NumericSummary) -> None:
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            present = self._present(values)
            numbers = self._numbers(present)
        elif _is_number(values.type):
            present = values.drop_null() if values.null_count else values
            numbers = pc.cast(present, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            absent = np.isnan(numbers)
            if absent.any():
                numbers = numbers[~absent]
        else:
            # A truth value, a date or bytes where numbers are expected.
            numbers = np.full(len(values) - values.null_count, np.inf)
        missing = len(values) - len(numbers)
        finite = np.isfinite(numbers)
        kept = numbers if finite.all() else numbers[finite]
        self.wrong += len(numbers) - len(kept)
        if self.column.type == "int":
            self.wrong += int((kept != np.floor(kept)).sum())
        self.missing += missing
        summary.add(kept, missing)

    def _present(self, texts: pa.Array) -> pa.Array:
        """The texts that are a value, without blanks around them."""
        trimmed = pc.utf8_trim_whitespace(texts)
        empty = pc.fill_null(pc.is_in(trimmed, self._empty), True)  # a null is none
        if pc.any(empty).as_py():
            return trimmed.filter(pc.invert(empty))
        return trimmed

    def _numbers(self, texts: pa.Array) -> Array:
        """Texts as numbers; infinite where a text is none."""
        try:
            numbers = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
            return np.where(np.isnan(numbers), np.inf, numbers)  # the text "nan" is no number
        except pa.ArrowInvalid:
            encoded = texts.dictionary_encode()
            found = np.array([self._number(text) for text in encoded.dictionary.to_pylist()])
            return np.asarray(found[encoded.indices.to_numpy(zero_copy_only=False)])

    def _number(self, text: str) -> float:
        try:
            return float(cast(float, self._as_float.parse(text)))
        except BadValue:
            return np.inf

    def _add_texts(self, values: pa.Array, summary: TextSummary) -> None:
        missing = int(values.null_count)
        counts: dict[str, int] = {}
        known = self._known
        if len(known) > MOST_KNOWN:
            known.clear()
        for value, count in _counted(values):
            try:
                text = known[value]
            except KeyError:
                text = known[value] = self._text(value)
            if text is None:
                self.wrong += count
            elif text == "":
                missing += count
            else:
                counts[text] = counts.get(text, 0) + count
        self.missing += missing
        summary.add(counts, missing)

    def _text(self, value: Any) -> str | None:
        """A value in the form that the baseline has it; "" for a missing one, None for a wrong."""
        try:
            text = text_of(value).strip()
            if text in self._missing:
                return ""
            parsed = self._plain.parse(text)
        except (TypeError, BadValue):
            return None
        if self.column.type == "timestamp":
            return f"{parsed:%Y-%m-%d %H:%M:%S.%f}Z"
        return text_of(parsed)


def _counted(values: pa.Array) -> Iterator[tuple[Any, int]]:
    """Each different value that is not null, and how often it occurs."""
    if pa.types.is_dictionary(values.type):
        indices = values.indices.drop_null() if values.null_count else values.indices
        numbers = np.bincount(indices.to_numpy(zero_copy_only=False))
        seen = np.flatnonzero(numbers)
        texts = values.dictionary.take(pa.array(seen)).to_pylist()
        yield from zip(texts, numbers[seen].tolist(), strict=True)
        return
    found = pc.value_counts(values.drop_null() if values.null_count else values)
    yield from zip(
        found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def table_of(rows: Sequence[Mapping[str, str]], features: Sequence[str]) -> pa.Table:
    """Rows of texts as a table; what a row does not name is null."""
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], pa.string()) for name in features}
    )
