"""Features that give the label away: they equal it, or each of their values has one label only.

A model that learns from such a feature scores perfectly on the holdout and fails in production,
where the feature is made before the label is known. Bounded memory: a feature is dropped at the
first value that comes with two labels, or when it has too many values to be a code for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEWEST_ROWS = 100
#: A label that comes less often says nothing about what determines it.
FEWEST_OF_LABEL = 10
#: A feature with more values than one in so many rows is an identifier, which determines anything.
ROWS_A_VALUE = 10
MOST_VALUES = 2_000
FIRST_LOOK = 1_000


@dataclass(frozen=True)
class Leak:
    """A feature that gives the label away; `rule` is `equals` or `determines`."""

    feature: str
    rule: str
    rows: int
    values: int
    words: str

    def to_json(self) -> dict[str, Any]:
        """The leak as report.json holds it."""
        return {
            "feature": self.feature,
            "rule": self.rule,
            "rows": self.rows,
            "values": self.values,
            "words": self.words,
        }


class LeakWatch:
    """Sees all rows, table by table, and then tells which features leak."""

    def __init__(self, features: Sequence[str], label: str) -> None:
        self.label = label
        self.rows = 0
        self.labels: Counter[Any] = Counter()
        self._features = tuple(features)
        self._equal = set(features)
        # Of each feature that may determine the label: the one label of each value.
        self._meaning: dict[str, dict[Any, Any]] = {name: {} for name in features}
        self._countable = True

    def add(self, table: pa.Table) -> None:
        """Look at some rows; most features are out of question after the first thousand."""
        for part in (table.slice(0, FIRST_LOOK), table.slice(FIRST_LOOK)):
            if len(part):
                self._look(part)

    def _look(self, table: pa.Table) -> None:
        self.rows += len(table)
        labels = table.column(self.label)
        if self._countable:
            for entry in pc.value_counts(labels).to_pylist():
                self.labels[entry["values"]] += entry["counts"]
        if self._countable and len(self.labels) > MOST_VALUES:
            # So many labels are numbers of their own; the labels of a code are few.
            self._countable, self._meaning = False, {}
        for name in sorted(self._equal):
            if not _is_equal(table.column(name), labels):
                self._equal.discard(name)
        for name in list(self._meaning):
            if not self._goes_on(name, table):
                del self._meaning[name]

    def _goes_on(self, name: str, table: pa.Table) -> bool:
        """Whether each value of the feature still has one label."""
        pairs = table.select([name, self.label]).group_by([name, self.label]).aggregate([])
        meaning = self._meaning[name]
        columns = (pairs.column(each).to_pylist() for each in (name, self.label))
        for value, label in zip(*columns, strict=True):
            if meaning.setdefault(value, label) != label or len(meaning) > MOST_VALUES:
                return False
        return True

    def find(self) -> list[Leak]:
        """The features that leak, in the order of the columns."""
        enough = [label for label, rows in self.labels.items() if rows >= FEWEST_OF_LABEL]
        if self.rows < FEWEST_ROWS or (self._countable and len(self.labels) < 2):
            return []
        return [leak for name in self._features for leak in self._leak(name, len(enough))]

    def _leak(self, name: str, enough: int) -> Iterator[Leak]:
        meaning = self._meaning.get(name)
        values = len(meaning) if meaning is not None else 0
        if name in self._equal:
            words = f"{name} equals {self.label} in each of {self.rows:,} rows"
            yield Leak(name, "equals", self.rows, values, words)
        elif meaning is not None and enough >= 2 and values * ROWS_A_VALUE <= self.rows:
            words = (
                f"{name} determines {self.label}: in {self.rows:,} rows each of its {values:,} "
                f"values comes with one {self.label} only"
            )
            yield Leak(name, "determines", self.rows, values, words)


def _is_equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    kinds = (one.type, other.type)
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
    common = pa.float64() if numbers else pa.string()
    if not numbers and any(map(pa.types.is_temporal, kinds)) and kinds[0] != kinds[1]:
        return False
    found = pc.equal(pc.cast(one, common, safe=False), pc.cast(other, common, safe=False))
    return bool(pc.all(pc.fill_null(found, False)).as_py())
