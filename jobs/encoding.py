"""Prepared features as a table of numbers: what a container that reads CSV or libsvm is given.

The rule is part of the schema, so training and scoring cannot differ. A number stays, a truth
value is 0 or 1, and a category becomes one column of 0 and 1 for each of its levels (none is 1
where the value is missing or unknown). A missing number stays missing, which XGBoost understands;
for a linear model it becomes the mean of the training rows, and a column of 0 and 1 beside it says
where that was. Numbers are what a 32-bit float holds, for the containers know no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jobs.failures import ModelError

Array = np.ndarray[Any, Any]
Prepared = Sequence[tuple[str, str, tuple[str, ...]]]
#: A category of ten thousand levels would be as many columns.
MOST_COLUMNS = 1_000
_NUMBERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)) | {
    "float16",
    "float32",
    "float64",
    "bool",
}


@dataclass(frozen=True)
class EncodedColumn:
    """One column of numbers, made of the prepared `column`.

    With a `level` it is 1 where the value is that level; with `is_gap` it is 1 where there is no
    value; else it is the value, and `fill` where there is none (None: not a number).
    """

    name: str
    column: str
    level: str | None = None
    fill: float | None = None
    is_gap: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its entry in schema.json."""
        found: dict[str, Any] = {"name": self.name, "column": self.column}
        if self.level is not None:
            found["level"] = self.level
        if self.fill is not None:
            found["fill"] = self.fill
        return {**found, "is_gap": True} if self.is_gap else found

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EncodedColumn:
        """Read its entry; raises KeyError."""
        return cls(
            document["name"],
            document["column"],
            document.get("level"),
            document.get("fill"),
            bool(document.get("is_gap", False)),
        )


class Means:
    """The mean of each prepared number, and which of them have gaps, batch by batch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self.gaps: set[str] = set()

    def add(self, frame: pd.DataFrame, names: Iterable[str]) -> None:
        """Count some rows in."""
        for name in names:
            values = frame[name].to_numpy(dtype=np.float64)
            known = values[~np.isnan(values)]
            self._sums[name] = self._sums.get(name, 0.0) + float(known.sum())
            self._counts[name] = self._counts.get(name, 0) + len(known)
            if len(known) < len(values):
                self.gaps.add(name)

    def of(self, name: str) -> float:
        """The mean of a column; 0 for one without any value."""
        return self._sums[name] / self._counts[name] if self._counts.get(name) else 0.0


def numbers_of(prepared: Prepared, project: str) -> list[str]:
    """The prepared columns that are numbers.

    Raises `ModelError` for text or times, of which no container could make anything.
    """
    for name, dtype, _levels in prepared:
        if dtype != "category" and dtype not in _NUMBERS:
            raise ModelError(
                f"column {name} of {project} is of type {dtype} after prepare(); the container "
                "that trains reads numbers and categories only. Let prepare() in model.py turn it "
                "into them, or leave it out."
            )
    return [name for name, dtype, _levels in prepared if dtype != "category"]


def encode_columns(
    prepared: Prepared, project: str, means: Means | None = None
) -> tuple[EncodedColumn, ...]:
    """The columns of the table; with `means` no value of it will be missing.

    Raises `ModelError` for columns that cannot be encoded, or too many of them.
    """
    numbers_of(prepared, project)
    columns: list[EncodedColumn] = []
    for name, dtype, levels in prepared:
        if dtype == "category":
            columns += [EncodedColumn(f"{name}={level}", name, level) for level in levels]
        elif means is None:
            columns.append(EncodedColumn(name, name))
        else:
            columns.append(EncodedColumn(name, name, fill=means.of(name)))
            if name in means.gaps:
                columns.append(EncodedColumn(f"{name} is missing", name, is_gap=True))
    if not columns:
        raise ModelError(f"prepare() of {project} leaves no column that a container could learn")
    if len(columns) > MOST_COLUMNS:
        widest = max(prepared, key=lambda entry: len(entry[2]))
        raise ModelError(
            f"the prepared columns of {project} make {len(columns):,} columns of numbers, at most "
            f"{MOST_COLUMNS:,}; {widest[0]} alone has {len(widest[2]):,} levels. Let prepare() in "
            "model.py join rare levels, or leave the column out."
        )
    return tuple(columns)


def encode(frame: pd.DataFrame, columns: Sequence[EncodedColumn]) -> Array:
    """The table of some prepared rows, as 32-bit floats; not a number where a value is missing.

    Raises `ModelError` for an infinite number, or one beyond 32 bits.
    """
    table = np.empty((len(frame), len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        values = frame[column.column]
        if column.level is not None:
            table[:, place] = (values == column.level).to_numpy(dtype=bool, na_value=False)
        elif column.is_gap:
            table[:, place] = values.isna().to_numpy(dtype=bool)
        else:
            numbers = values.to_numpy(dtype=np.float64)
            if column.fill is not None:
                numbers = np.where(np.isnan(numbers), column.fill, numbers)
            with np.errstate(over="ignore"):
                table[:, place] = numbers
            if np.isinf(table[:, place]).any():
                raise ModelError(
                    f"column {column.column} has an infinite number, or one beyond 3.4e38, after "
                    "prepare(); no container reads such numbers"
                )
    return table


def by_feature(values: Array, columns: Sequence[EncodedColumn], features: Sequence[str]) -> Array:
    """Attributions of encoded columns (the last axis), summed up for the prepared features.

    Shapley values of columns that stand for one feature sum to that feature's share.
    """
    places = {name: place for place, name in enumerate(features)}
    found = np.zeros((*values.shape[:-1], len(features)))
    for place, column in enumerate(columns[: values.shape[-1]]):
        found[..., places[column.column]] += values[..., place]
    return found
