"""Turns texts into typed columns and frames: one way for training, evaluation and requests.

A frame's types follow from the settings alone, never from the rows that happen to be in it: a
required int is int64, an optional one float64 with NaN (so is an optional bool), a category has
all its levels, dates are datetime64. So preparing one row and preparing a million agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from perennial.domain.holdout import canonical, row_identity
from perennial.domain.schema import BadValue, Column, Value
from perennial.domain.settings import Settings

from jobs.encoding import EncodedColumn
from jobs.failures import SettingsError
from jobs.readers import BadObject, BadRow, Chunk, shown
from jobs.rows import RowCaster

ROW = "__row"
LANDED = "__landed"
SOURCE = "__source"
PRODUCER = "__producer"
#: Only between the two passes of a check: which of two rows of one identity is the later, and
#: the number of the object that a row came with.
ORDER = "__order"
OBJECT = "__object"
VERSION = 1
MOST_LEVELS = 10_000
ARROW_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "category": pa.string(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class CastColumn:
    """A column's cells: their values, and the cells that have none, by row."""

    values: list[Value]
    parts: list[str]
    bad: dict[int, str]


class Caster:
    """Checks and converts the texts of the settings' columns; remembers what it has seen."""

    def __init__(self, settings: Settings) -> None:
        self.columns = settings.data.columns
        self.missing = frozenset(settings.data.missing)
        names = settings.data.identity or [column.name for column in settings.features]
        self.identity = [i for i, column in enumerate(self.columns) if column.name in names]
        # Only open columns can bring new levels; those of an object count once it is good.
        self.levels: list[set[str]] = [set() for _ in self.columns]
        self._pending: list[set[str]] = [set() for _ in self.columns]
        self._open = [i for i, c in enumerate(self.columns) if c.type == "category" and c.open]
        self.schema = pa.schema(
            [(column.name, ARROW_TYPES[column.type]) for column in self.columns]
            + [(ROW, pa.string())]
        )

    def cast(self, chunk: Chunk) -> tuple[pa.Table, list[BadRow]]:
        """The good rows as a table with their identities, and the bad ones in line order.

        The object's end must be told by `keep` or `drop`.
        """
        cast = [self._column(i, texts) for i, texts in enumerate(chunk.cells)]
        wrong: dict[int, tuple[str, str]] = {}
        for column, result in zip(self.columns, cast, strict=True):
            for row, why in result.bad.items():
                wrong.setdefault(row, (column.name, why))
        bad = chunk.bad + [
            BadRow(chunk.lines[row], name, why, shown(chunk.text(row)))
            for row, (name, why) in wrong.items()
        ]
        keep = [row for row in range(len(chunk.lines)) if row not in wrong] if wrong else None
        table = self._table(cast, keep)
        for name, times in ((LANDED, chunk.landed), (ORDER, chunk.order)):
            if times:
                kept = times if keep is None else [times[row] for row in keep]
                table = table.append_column(name, pa.array(kept, pa.int64()))
        for i in self._open:
            self._remember(i, pc.unique(table.column(i)).to_pylist())
        return table, sorted(bad, key=lambda row: row.line)

    def keep(self) -> None:
        """The current object is good: its levels count."""
        for i in self._open:
            self.levels[i] |= self._pending[i]
        self.drop()

    def drop(self) -> None:
        """The current object is refused: forget its levels."""
        for i in self._open:
            self._pending[i] = set()

    def _column(self, index: int, texts: Sequence[str]) -> CastColumn:
        """Check each distinct text once; a column of a million rows has few of them."""
        column = self.columns[index]
        values: dict[str, Value] = {}
        parts: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for text in set(texts):
            try:
                values[text] = column.parse(text, self.missing)
                parts[text] = canonical(values[text])
            except BadValue as error:
                reasons[text] = str(error)
                parts[text] = ""  # its row is left out, whatever its identity
        bad = {i: reasons[t] for i, t in enumerate(texts) if t in reasons} if reasons else {}
        return CastColumn(
            list(map(values.get, texts)),
            list(map(parts.__getitem__, texts)) if index in self.identity else [],
            bad,
        )

    def _remember(self, index: int, values: Iterable[Value]) -> None:
        new = self._pending[index]
        new.update(str(value) for value in values if value is not None)
        if len(new | self.levels[index]) > MOST_LEVELS:
            raise BadObject(
                f"column {self.columns[index].name} has more than {MOST_LEVELS:,} levels; "
                "give it type string in model.yaml, or list its levels and let others be bad rows"
            )

    def _table(self, cast: Sequence[CastColumn], keep: list[int] | None) -> pa.Table:
        identities = [
            row_identity(parts)
            for parts in zip(*(cast[i].parts for i in self.identity), strict=True)
        ]
        columns: list[Sequence[Any]] = [*(result.values for result in cast), identities]
        if keep is not None:
            columns = [[values[row] for row in keep] for values in columns]
        arrays = [
            pa.array(values, type=kind)
            for values, kind in zip(columns, self.schema.types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


@dataclass(frozen=True)
class TrainingSchema:
    """What a model was trained on: columns with every level that was seen, and what `prepare`
    made of them. It travels in the model's archive, and the server casts requests to it.

    `encoding` is the table of numbers that a container of its own was given; empty without one.
    """

    problem: str
    label: str
    positive: str
    columns: tuple[Column, ...]
    missing: tuple[str, ...]
    prepared: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    encoding: tuple[EncodedColumn, ...] = ()

    @classmethod
    def of(cls, settings: Settings, levels: Sequence[set[str]]) -> TrainingSchema:
        """The schema of some settings with the levels that a check has seen."""
        columns = tuple(
            replace(column, levels=(*column.levels, *sorted(seen - set(column.levels))))
            if column.type == "category"
            else column
            for column, seen in zip(settings.data.columns, levels, strict=True)
        )
        return cls(
            settings.problem, settings.label, settings.positive, columns, settings.data.missing
        )

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns without the label."""
        return tuple(column for column in self.columns if column.name != self.label)

    @property
    def classes(self) -> tuple[str, ...]:
        """The label's levels in the order of their codes: for binary, the positive one is 1."""
        label = next(column for column in self.columns if column.name == self.label)
        if self.problem == "binary":
            return (*(level for level in label.levels if level != self.positive), self.positive)
        return label.levels

    def to_json(self) -> dict[str, Any]:
        """The content of schema.json."""
        return {
            "version": VERSION,
            "problem": self.problem,
            "label": self.label,
            "positive": self.positive,
            "classes": [] if self.problem == "regression" else list(self.classes),
            "missing": list(self.missing),
            "columns": [{"name": c.name, **c.to_json()} for c in self.columns],
            "prepared": [
                {"name": name, "dtype": dtype, "levels": list(levels)}
                for name, dtype, levels in self.prepared
            ],
            **({"encoding": [c.to_json() for c in self.encoding]} if self.encoding else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingSchema:
        """Read schema.json; raises `SettingsError` for one that this version cannot read."""
        if document.get("version") != VERSION:
            raise SettingsError(f"schema.json has version {document.get('version')}, not {VERSION}")
        columns = tuple(
            Column(
                name=entry["name"],
                type=entry["type"],
                required=entry.get("required", True),
                minimum=entry.get("min"),
                maximum=entry.get("max"),
                levels=tuple(entry.get("levels", ())),
                open=entry.get("open", False),
                aliases=tuple(entry.get("aliases", {}).items()),
            )
            for entry in document["columns"]
        )
        return cls(
            document["problem"],
            document["label"],
            document["positive"],
            columns,
            tuple(document["missing"]),
            tuple((p["name"], p["dtype"], tuple(p["levels"])) for p in document["prepared"]),
            tuple(EncodedColumn.from_json(entry) for entry in document.get("encoding", ())),
        )

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """The features of a checked table as the project's code sees them."""
        return pd.DataFrame(
            {c.name: _series(c, table.column(c.name).to_pandas()) for c in self.features},
            index=pd.RangeIndex(table.num_rows),
        )

    def labels(self, table: pa.Table) -> np.ndarray[Any, Any]:
        """The labels as numbers: codes of the classes, or the values of a regression."""
        values = table.column(self.label).to_pandas()
        if self.problem == "regression":
            return np.asarray(values, dtype=np.float64)
        codes = {level: code for code, level in enumerate(self.classes)}
        return np.asarray(values.map(codes), dtype=np.int64)

    def cast_request(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """The features of some requests, checked as training data are.

        An unknown level of an open category is a missing value, for the model never saw it.
        Raises `BadCell` naming the row and the column.
        """
        caster = self.caster()
        return self.frame_of([caster.cast(row, number) for number, row in enumerate(rows, 1)])

    def caster(self) -> RowCaster:
        """What casts a request's rows."""
        return RowCaster(self.features, self.missing)

    def frame_of(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """The frame of rows that the caster made."""
        return pd.DataFrame(
            {
                c.name: _series(c, pd.Series([row[c.name] for row in rows], dtype=object))
                for c in self.features
            },
            index=pd.RangeIndex(len(rows)),
        )


def _series(column: Column, values: pd.Series[Any]) -> pd.Series[Any]:
    """A column's values with the one dtype that its settings give it."""
    if column.type == "category":
        return pd.Series(pd.Categorical(values, categories=list(column.levels)))
    if column.type in ("date", "timestamp"):
        moments = pd.to_datetime(pd.Series(values), utc=column.type == "timestamp")
        unit = "datetime64[us, UTC]" if column.type == "timestamp" else "datetime64[us]"
        return moments.astype(unit)
    if column.type == "string":
        return pd.Series(values, dtype=object)
    if column.required and column.type in ("int", "bool"):
        return pd.Series(values).astype("int64" if column.type == "int" else "bool")
    return pd.Series(values).astype("float64")


def describe_prepared(frame: pd.DataFrame) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """The columns that `prepare` makes: name, dtype, and levels of categories."""
    described = []
    for name in frame.columns:
        dtype = frame[name].dtype
        levels: tuple[str, ...] = ()
        if isinstance(dtype, pd.CategoricalDtype):
            levels = tuple(str(level) for level in dtype.categories)
        described.append((str(name), str(dtype), levels))
    return tuple(described)


def restore_prepared(table: pa.Table, schema: TrainingSchema) -> pd.DataFrame:
    """The prepared features as `prepare` made them, read back from Parquet."""
    columns = {}
    for name, dtype, levels in schema.prepared:
        values = table.column(name).to_pandas()
        if dtype == "category":
            columns[name] = pd.Series(pd.Categorical(values, categories=list(levels)))
        else:
            columns[name] = values.astype(dtype)
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def read_schema(path: Path) -> TrainingSchema:
    """The training schema in a file; raises `SettingsError` when it is missing or damaged."""
    try:
        return TrainingSchema.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"cannot read {path.name}: {type(error).__name__}: {error}") from None
