"""Casts a request's row to the values that its columns hold, without a frame.

What a value becomes depends on its column alone, as in a frame: a required int stays one, an
optional one is a float (not-a-number when missing), so is an optional bool; a missing text or
level is None, and so is a level of an open column that the model never saw. Values that arrive
in the column's own type pass by short ways; everything else goes through `Column.accept`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perennial.domain.schema import INT64, NUMBER_TEXT, BadValue, Column, number_text

MOST_LISTED = 12
NAN = math.nan

Cast = Callable[[Any], Any]


class BadCell(BadValue):
    """A value that its column does not accept: the row's number from 1, the column, why not."""

    def __init__(self, row: int, column: Column, why: str) -> None:
        super().__init__(f"row {row}, {column.name}: {why}")
        self.row = row
        self.column = column.name
        self.expected = expected(column)


class RowCaster:
    """Casts rows to some columns; built once a model, used for each request."""

    def __init__(self, columns: Sequence[Column], missing: Sequence[str]) -> None:
        self._columns = {column.name: column for column in columns}
        texts = frozenset(missing) | {""}
        self._casts = [(column.name, _cast_of(column, texts)) for column in columns]

    def cast(self, row: Mapping[str, Any], number: int = 1) -> dict[str, Any]:
        """The row's values by column; raises `BadCell`. Other columns of the row do not count."""
        get = row.get
        cast: dict[str, Any] = {}
        name = ""
        try:
            for name, of_column in self._casts:
                cast[name] = of_column(get(name))
        except BadValue as error:
            raise BadCell(number, self._columns[name], str(error)) from None
        return cast


def expected(column: Column) -> str:
    """What a column accepts, in words."""
    words = column.wanted
    if column.type == "category":
        few = ", ".join(column.levels[:MOST_LISTED])
        more = f", … ({len(column.levels)} in all)" if len(column.levels) > MOST_LISTED else ""
        words = f"a level, such as {few}{more}" if column.open else f"one of {few}{more}"
    low, high = column.minimum, column.maximum
    if low is not None and high is not None:
        words += f" from {number_text(low)} to {number_text(high)}"
    elif low is not None:
        words += f" of at least {number_text(low)}"
    elif high is not None:
        words += f" of at most {number_text(high)}"
    return words if column.required else f"{words}, or nothing"


def _cast_of(column: Column, missing: frozenset[str]) -> Cast:
    """The shortest way from a value to the column's."""
    slow = _slow(column, missing)
    if column.type == "category":
        return _category(column, missing, slow)
    # A text that means "no value" may look like a number or a truth value.
    ambiguous = any(NUMBER_TEXT.fullmatch(text) or text in ("true", "false") for text in missing)
    if ambiguous or column.type not in ("int", "float", "bool"):
        return slow
    return {"int": _int, "float": _float, "bool": _bool}[column.type](column, slow)


def _slow(column: Column, missing: frozenset[str]) -> Cast:
    as_float = column.type in ("int", "bool") and not column.required
    nothing = NAN if column.type in ("int", "float", "bool") else None

    def cast(value: Any) -> Any:
        found = column.accept(value, missing)
        if found is None:
            return nothing
        return float(found) if as_float else found  # type: ignore[arg-type]

    return cast


def _category(column: Column, missing: frozenset[str], slow: Cast) -> Cast:
    levels = set(column.levels)
    known = {level: level for level in levels}
    known |= {text: level for text, level in column.aliases if level in levels}
    # What the slow way would read otherwise: blanks around a text do not count.
    known = {t: v for t, v in known.items() if t not in missing and t == t.strip()}
    find = known.get

    def cast(value: Any) -> Any:
        if type(value) is str:
            level = find(value)
            if level is not None:
                return level
        found = slow(value)
        return found if found in levels else None

    return cast


def _int(column: Column, slow: Cast) -> Cast:
    low, high = _bounds(column, -INT64, INT64 - 1)
    required = column.required

    def cast(value: Any) -> Any:
        if type(value) is int and low <= value <= high:
            return value if required else float(value)
        return slow(value)

    return cast


def _float(column: Column, slow: Cast) -> Cast:
    low, high = _bounds(column, -sys.float_info.max, sys.float_info.max)

    def cast(value: Any) -> Any:
        if type(value) is float and low <= value <= high:
            return value + 0.0  # zero has one sign
        if type(value) is int and low <= value <= high and -INT64 <= value < INT64:
            return float(value)
        return slow(value)

    return cast


def _bool(column: Column, slow: Cast) -> Cast:
    required = column.required

    def cast(value: Any) -> Any:
        if type(value) is bool:
            return value if required else float(value)
        return slow(value)

    return cast


def _bounds(column: Column, least: float, most: float) -> tuple[float, float]:
    low = least if column.minimum is None else max(column.minimum, least)
    high = most if column.maximum is None else min(column.maximum, most)
    return low, high
