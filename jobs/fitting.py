"""Whether a model can score rows that were checked by other settings: a champion's old schema.

The server would refuse a request that lacks a required value, or has a level that a closed column
does not know; so there is no honest score for such a row, and the evaluation ends, with the rows
counted. A level that an open column never saw is a missing value, as for a request. A number
outside the schema's range is counted and scored all the same: ranges guard against faulty data,
which the newer settings have judged already, and trees and lines go on beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from perennial.domain.schema import Column

from jobs.casting import ARROW_TYPES, TrainingSchema
from jobs.failures import JobError
from jobs.readers import shown

MOST_NAMED = 5


class OtherSchema(JobError):
    """The model was trained on another schema than the rows it is to score."""


def fit(
    schema: TrainingSchema, table: pa.Table, checked: TrainingSchema | None = None
) -> tuple[pa.Table, dict[str, Any]]:
    """The rows with the types that the model's schema has, and what of them is foreign to it.

    `checked` is the schema of the run that the rows belong to, if it is known. The second answer
    maps columns to `unseen` (rows with a level taken as missing) and `outside` (rows beyond the
    range). Raises `OtherSchema` when the rows cannot be scored or their labels not compared.
    """
    words = [*_task_words(schema, checked), *_column_words(schema, table)]
    if words:
        raise _other(words)
    foreign: dict[str, Any] = {}
    for column in schema.columns:
        values = table.column(column.name)
        if values.type != ARROW_TYPES[column.type]:
            values = pc.cast(values, ARROW_TYPES[column.type])
            place = table.column_names.index(column.name)
            table = table.set_column(place, column.name, values)
        words += _value_words(column, values)
        found = _foreign(column, values)
        if found and column.name != schema.label:
            foreign[column.name] = found
    words += _label_words(schema, table)
    if words:
        raise _other(words)
    return table, foreign


def _other(words: list[str]) -> OtherSchema:
    more = f"; and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return OtherSchema(
        f"the champion was trained on another schema: {'; '.join(words[:MOST_NAMED])}{more}."
    )


def _task_words(schema: TrainingSchema, checked: TrainingSchema | None) -> list[str]:
    """How the question itself differs: then no figures can be compared."""
    if checked is None:
        return []
    words = []
    for name in ("problem", "label", "positive"):
        before, now = getattr(schema, name), getattr(checked, name)
        if before != now:
            words.append(f"its {name} is {shown(before) or '(none)'}, now {shown(now) or '(none)'}")
    return words


def _column_words(schema: TrainingSchema, table: pa.Table) -> list[str]:
    words = []
    missing = [column.name for column in schema.columns if column.name not in table.column_names]
    if missing:
        named = ", ".join(missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        words.append(f"it needs column {named}{more}, which these rows do not have")
    for column in schema.columns:
        if column.name in table.column_names:
            kind = table.column(column.name).type
            if not _is_castable(kind, column, table):
                words.append(f"it needs {column.name} as {column.type}, which is now {kind}")
    return words


def _is_castable(kind: pa.DataType, column: Column, table: pa.Table) -> bool:
    """Whether a column's values mean the same in the model's type."""
    wanted = ARROW_TYPES[column.type]
    if kind == wanted:
        return True
    if pa.types.is_integer(kind) and pa.types.is_floating(wanted):
        return True
    if pa.types.is_floating(kind) and pa.types.is_integer(wanted):
        values = pc.drop_null(table.column(column.name))
        return bool(pc.all(pc.equal(pc.floor(values), values), min_count=0).as_py())
    return False


def _value_words(column: Column, values: pa.ChunkedArray) -> list[str]:
    """Values that the model's server would refuse, counted."""
    words = []
    if column.required and values.null_count:
        words.append(f"{column.name} has no value in {values.null_count:,} rows, but needs one")
    if column.type == "category" and not column.open:
        unknown = _unknown(column, values)
        if len(unknown):
            named = ", ".join(map(shown, sorted(set(unknown.to_pylist()))[:3]))
            words.append(f"{column.name} has levels it does not know in {len(unknown):,} rows")
            words[-1] += f" ({named})"
    return words


def _label_words(schema: TrainingSchema, table: pa.Table) -> list[str]:
    """Classes that the model has no code for, also of an open label."""
    label = next(column for column in schema.columns if column.name == schema.label)
    if schema.problem == "regression" or not label.open:
        return []  # a closed one is told with the columns
    unknown = _unknown(label, table.column(label.name))
    if not len(unknown):
        return []
    named = ", ".join(map(shown, sorted(set(unknown.to_pylist()))[:3]))
    return [f"{len(unknown):,} rows are labelled as it cannot predict ({named})"]


def _foreign(column: Column, values: pa.ChunkedArray) -> Mapping[str, int]:
    """What is scored all the same, counted."""
    found = {}
    if column.type == "category" and column.open:
        found["unseen"] = len(_unknown(column, values))
    if column.type in ("int", "float"):
        outside = 0
        if column.minimum is not None:
            outside += pc.sum(pc.less(values, column.minimum)).as_py() or 0
        if column.maximum is not None:
            outside += pc.sum(pc.greater(values, column.maximum)).as_py() or 0
        found["outside"] = outside
    return {name: count for name, count in found.items() if count}


def _unknown(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    present = pc.drop_null(values)
    known = pc.is_in(present, pa.array(list(column.levels), pa.string()))
    return present.filter(pc.invert(known))
