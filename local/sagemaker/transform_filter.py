"""The part of JSONPath that batch transform knows: InputFilter and OutputFilter.

The operators are those of the developer guide's "Supported JSONPath Operators": `$`, `.name`,
`['name', 'name']`, `[0, -1]`, `[1:]` and `*`. Filters, recursive descent and functions are not.
"""

import re
from collections.abc import Callable
from typing import Any

STEP = re.compile(r"\.?\[\s*(?P<inside>[^\]]+?)\s*\]|\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*|\*)")
NAME = r"'[^']*'|\"[^\"]*\""
NAMES = re.compile(rf"({NAME})(\s*,\s*({NAME}))*")
INDEXES = re.compile(r"-?\d+(\s*,\s*-?\d+)*")
SLICE = re.compile(r"(-?\d+)?\s*:\s*(-?\d+)?")
_Pick = Callable[[Any], Any]


class FilterError(ValueError):
    """A filter that cannot be read, or that a record does not fit."""


class Filter:
    """A JSONPath, applied to one record after another."""

    def __init__(self, text: str) -> None:
        """Raises `FilterError` for what is no path, or more than batch transform takes."""
        self.text = text
        self._steps = _parse(text)

    @property
    def is_whole(self) -> bool:
        """Whether it leaves every record as it is."""
        return not self._steps

    def __call__(self, record: Any) -> Any:
        """The selected part; `FilterError` when the record does not have it."""
        found, many = record, False
        try:
            for pick, spreads in self._steps:
                found = [pick(each) for each in found] if many else pick(found)
                many = many or spreads
        except (KeyError, IndexError, TypeError) as error:
            words = f"the filter {self.text} finds nothing in a record ({error})"
            raise FilterError(words) from error
        return found


def _parse(text: str) -> list[tuple[_Pick, bool]]:
    if not text.startswith("$"):
        raise FilterError(f"{text!r} does not begin with $")
    steps, place = [], 1
    while place < len(text):
        match = STEP.match(text, place)
        if match is None:
            raise FilterError(f"{text!r} has at {place + 1} what batch transform does not know")
        steps.append(_step(match["inside"] or "", match["name"] or "", text))
        place = match.end()
    return steps


def _step(inside: str, name: str, text: str) -> tuple[_Pick, bool]:
    """What one step takes out of a value, and whether later steps apply to each part of it."""
    if name == "*" or inside == "*":
        return _all, True
    if name:
        return (lambda value: _named(value, name)), False
    if NAMES.fullmatch(inside):
        names = [found[1:-1] for found in re.findall(NAME, inside)]
        if len(names) == 1:
            return (lambda value: _named(value, names[0])), False
        return (lambda value: {each: _named(value, each) for each in names}), False
    if INDEXES.fullmatch(inside):
        return _at([int(found) for found in inside.split(",")])
    match = SLICE.fullmatch(inside)
    if match is None:
        raise FilterError(f"{text!r} has [{inside}], which batch transform does not know")
    bounds = slice(*(None if found is None else int(found) for found in match.groups()))
    return (lambda value: _listed(value)[bounds]), True


def _at(places: list[int]) -> tuple[_Pick, bool]:
    if len(places) == 1:
        return (lambda value: _listed(value)[places[0]]), False
    return (lambda value: [_listed(value)[each] for each in places]), True


def _named(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"it is no object with {name!r}")
    return value[name]


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("it is no list")
    return value


def _all(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(_listed(value))
