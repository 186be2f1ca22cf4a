"""The labelled rows of a window, kept so that earlier versions can be scored on them.

The form is that of a run's holdout (docs/storage.md), as `evaluate` reads it: raw features and
label, and the row's identity. Beside them the loss of the live version's own answer, so that what
another version loses on a row is held against what the live one lost on the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.holdout import row_identity
from perennial.domain.schema import BadValue, Value
from perennial.domain.settings import Settings

from jobs.casting import ARROW_TYPES, ROW, TrainingSchema
from jobs.model_quality import THRESHOLD
from jobs.truth import Row
from jobs.window_outcomes import outcome_of

Array = np.ndarray[Any, Any]

#: The live version's loss: 0 or 1 for classes, the squared error of numbers.
LOSS = "__loss"
FILE = "rows.parquet"
# Of more labelled rows, an even sample of so many: enough to tell versions apart by a percent.
MOST_ROWS = 20_000


@dataclass
class WindowRows:
    """The labelled rows of a window that the model's columns accept, at most `most` of them."""

    settings: Settings
    schema: TrainingSchema
    most: int = MOST_ROWS
    total: int = 0
    refused: int = 0
    kept: list[tuple[Value, ...]] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows as they come; those with an outcome are kept."""
        codes = {name: code for code, name in enumerate(self._classes)}
        for row in rows:
            outcome = outcome_of(self.schema.problem, row, codes)
            if outcome is not None:
                self._keep(row, loss_of(self.schema.problem, outcome[0], outcome[1]))
            yield row

    def write(self, folder: Path) -> int:
        """Write the file and answer how many rows it has; no file without any."""
        if not self.kept:
            return 0
        names = [column.name for column in self.settings.data.columns]
        kinds = [ARROW_TYPES[column.type] for column in self.settings.data.columns]
        schema = pa.schema(
            [*zip(names, kinds, strict=True), (ROW, pa.string()), (LOSS, pa.float64())]
        )
        arrays = [
            pa.array(values, kind)
            for values, kind in zip(zip(*self.kept, strict=True), schema.types, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / FILE)
        return len(self.kept)

    @property
    def notes(self) -> list[str]:
        """What the report tells of rows that no other version can be scored on."""
        if not self.refused:
            return []
        words = f"labelled rows that do not fit the model's columns: {self.refused:,}"
        return [f"{words}; earlier versions are scored without them"]

    @property
    def _classes(self) -> tuple[str, ...]:
        return () if self.schema.problem == "regression" else self.schema.classes

    def _keep(self, row: Row, loss: float) -> None:
        try:
            values = self._cast(row.values, row.label)
        except BadValue:
            self.refused += 1
            return
        self.total += 1
        kept = (*values, row_identity((row.event, "#", str(row.place))), loss)
        if len(self.kept) < self.most:
            self.kept.append(kept)
            return
        place = self._random.randrange(self.total)
        if place < self.most:
            self.kept[place] = kept

    def _cast(self, texts: Mapping[str, str], label: str) -> list[Value]:
        """The values of a row; what it does not name is missing."""
        cells = {**texts, self.settings.label: label}
        missing = frozenset({*self.settings.data.missing, ""})
        return [
            column.parse(cells.get(column.name, ""), missing)
            for column in self.settings.data.columns
        ]


def loss_of(problem: str, label: Any, score: Any) -> float:
    """A row's loss by its label and score: 0 or 1 for classes, the squared error of numbers.

    A binary score is the positive class's probability, one of several classes the predicted code.
    """
    if problem == "regression":
        return float((score - label) ** 2)
    predicted = score >= THRESHOLD if problem == "binary" else score
    return float(predicted != label)


def losses_of(problem: str, labels: Array, scores: Array) -> Array:
    """The same for the rows of an evaluation, whose scores of several classes are columns."""
    if problem == "regression":
        found: Array = (scores - labels) ** 2
        return found
    predicted = scores >= THRESHOLD if problem == "binary" else scores.argmax(axis=1)
    return np.asarray(predicted != labels, dtype=np.float64)
