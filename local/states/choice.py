"""Rules of a Choice state."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from local.states.errors import PathError
from local.states.paths import Scope, read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda a, b: bool(a == b),
    "LessThan": lambda a, b: bool(a < b),
    "GreaterThan": lambda a, b: bool(a > b),
    "LessThanEquals": lambda a, b: bool(a <= b),
    "GreaterThanEquals": lambda a, b: bool(a >= b),
}
_KINDS = ("String", "Numeric", "Timestamp")
COMPARISONS = (
    {f"{kind}{order}" for kind in _KINDS for order in _ORDER} | {"BooleanEquals", "StringMatches"}
)  # fmt: skip
PATH_COMPARISONS = {f"{name}Path" for name in COMPARISONS - {"StringMatches"}}
TESTS = {"IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp"}


def holds(rule: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a rule is true; PathError when its variable is not there."""
    if "And" in rule:
        return all(holds(part, scope) for part in rule["And"])
    if "Or" in rule:
        return any(holds(part, scope) for part in rule["Or"])
    if "Not" in rule:
        return not holds(rule["Not"], scope)
    operator = next(name for name in rule if name in COMPARISONS | PATH_COMPARISONS | TESTS)
    wanted = rule[operator]
    if operator == "IsPresent":
        return _is_present(rule["Variable"], scope) is wanted
    value = read(rule["Variable"], scope)
    if operator in TESTS:
        return _has_type(operator, value) is wanted
    if operator in PATH_COMPARISONS:
        operator, wanted = operator[: -len("Path")], read(wanted, scope)
    return _compare(operator, value, wanted)


def _is_present(path: str, scope: Scope) -> bool:
    try:
        read(path, scope)
    except PathError:
        return False
    return True


def _has_type(operator: str, value: Any) -> bool:
    tests: dict[str, bool] = {
        "IsNull": value is None,
        "IsNumeric": _is_number(value),
        "IsString": isinstance(value, str),
        "IsBoolean": isinstance(value, bool),
        "IsTimestamp": _moment(value) is not None,
    }
    return tests[operator]


def _compare(operator: str, value: Any, wanted: Any) -> bool:
    """Values of another type are simply not equal, less or greater."""
    if operator == "BooleanEquals":
        return isinstance(value, bool) and isinstance(wanted, bool) and value == wanted
    if operator == "StringMatches":
        return isinstance(value, str) and _wildcard(wanted).fullmatch(value) is not None
    kind = next(kind for kind in _KINDS if operator.startswith(kind))
    order = _ORDER[operator[len(kind) :]]
    if kind == "Timestamp":
        first, second = _moment(value), _moment(wanted)
        return first is not None and second is not None and order(first, second)
    fits = _is_number if kind == "Numeric" else lambda item: isinstance(item, str)
    return fits(value) and fits(wanted) and order(value, wanted)


def _wildcard(pattern: str) -> "re.Pattern[str]":
    parts = re.split(r"(\\\\|\\\*|\*)", pattern)
    special = {"*": ".*", "\\*": re.escape("*"), "\\\\": re.escape("\\")}
    return re.compile("".join(special.get(part, re.escape(part)) for part in parts), re.DOTALL)
