"""Schedule expressions and event patterns, checked as EventBridge checks them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# Field, smallest, largest, names: https://docs.aws.amazon.com/scheduler/latest/UserGuide/
# schedule-types.html#cron-based
_FIELDS: list[tuple[str, int, int, list[str]]] = [
    ("minutes", 0, 59, []),
    ("hours", 0, 23, []),
    ("day-of-month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day-of-week", 1, 7, _DAYS),
    ("year", 1970, 2199, []),
]
_MATCHERS = frozenset(
    [
        "prefix",
        "suffix",
        "anything-but",
        "numeric",
        "exists",
        "equals-ignore-case",
        "wildcard",
        "cidr",
    ]
)


def schedule_problem(expression: str, *, at: bool) -> str | None:
    """Return why a schedule expression is not valid, or None. `at(…)` is for the Scheduler only."""
    rate = _RATE.fullmatch(expression)
    if rate:
        value, unit = int(rate.group(1)), rate.group(2)
        if value < 1 or (value == 1) == unit.endswith("s"):
            return (
                f"{expression}: the value must be positive, the unit singular for 1 and plural "
                "otherwise"
            )
        return None
    moment = _AT.fullmatch(expression)
    if moment and at:
        try:
            datetime.fromisoformat(moment.group(1))
        except ValueError:
            return f"{expression}: no such time"
        return None
    cron = _CRON.fullmatch(expression)
    if cron:
        return _cron_problem(expression, cron.group(1).split())
    forms = "rate(…), cron(…) or at(…)" if at else "rate(…) or cron(…)"
    return f"{expression} is not of the form {forms}"


def _cron_problem(expression: str, fields: list[str]) -> str | None:
    if len(fields) != 6:
        return f"{expression}: {len(fields)} fields, six are needed"
    if (fields[2] == "?") == (fields[4] == "?"):
        return f"{expression}: exactly one of day-of-month and day-of-week must be '?'"
    for (name, low, high, names), text in zip(_FIELDS, fields, strict=True):
        if text == "?" and name not in ("day-of-month", "day-of-week"):
            return f"{expression}: '?' is not allowed in {name}"
        if not all(_cron_part(part, low, high, names, name) for part in text.split(",")):
            return f"{expression}: {name} '{text}' is not valid"
    return None


def _cron_part(part: str, low: int, high: int, names: list[str], field: str) -> bool:
    if part in ("*", "?"):
        return True
    if field == "day-of-month" and re.fullmatch(r"L|LW|L-\d{1,2}|\d{1,2}W", part):
        return True
    if field == "day-of-week" and re.fullmatch(r"L|[1-7]L|[1-7]#[1-5]|[A-Z]{3}#[1-5]", part):
        return True
    base, _, step = part.partition("/")
    if step and not (step.isdigit() and int(step) > 0):
        return False
    if base == "*":
        return True
    numbers = [_cron_number(item, names, low) for item in base.split("-")]
    known = [number for number in numbers if number is not None and low <= number <= high]
    return len(known) == len(numbers) <= 2 and known == sorted(known)


def _cron_number(text: str, names: list[str], low: int) -> int | None:
    if text.upper() in names:
        return names.index(text.upper()) + low
    return int(text) if text.isdigit() else None


def pattern_problem(pattern: Any, path: str = "") -> str | None:
    """Return why an event pattern is not valid, or None.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    if not isinstance(pattern, dict) or not pattern:
        return f"Event pattern is not valid. Reason: '{path or 'pattern'}' must be an object"
    for key, value in pattern.items():
        where = f"{path}.{key}" if path else str(key)
        if key == "$or":
            branches = value if isinstance(value, list) else []
            problems = [pattern_problem(branch, where) for branch in branches]
            if len(branches) < 2:
                return f"Event pattern is not valid. Reason: '{where}' needs at least two patterns"
        elif isinstance(value, dict):
            problems = [pattern_problem(value, where)]
        elif isinstance(value, list) and value:
            problems = [_matcher_problem(item, where) for item in value]
        else:
            return f"Event pattern is not valid. Reason: '{where}' must be an object or an array"
        for problem in problems:
            if problem:
                return problem
    return None


def _matcher_problem(item: Any, where: str) -> str | None:
    if isinstance(item, list):
        return f"Event pattern is not valid. Reason: '{where}' holds an array in an array"
    if isinstance(item, dict):
        unknown = [name for name in item if name not in _MATCHERS]
        if unknown or len(item) != 1:
            named = unknown[0] if unknown else ", ".join(item)
            return f"Event pattern is not valid. Reason: Unrecognized match type {named} ({where})"
        if "numeric" in item and not _numeric(item["numeric"]):
            return f"Event pattern is not valid. Reason: invalid numeric range ({where})"
        if "exists" in item and not isinstance(item["exists"], bool):
            return f"Event pattern is not valid. Reason: exists needs true or false ({where})"
    return None


def _numeric(terms: Any) -> bool:
    if not isinstance(terms, list) or len(terms) not in (2, 4):
        return False
    operators, numbers = terms[::2], terms[1::2]
    return all(op in ("<", "<=", "=", ">", ">=") for op in operators) and all(
        isinstance(number, (int, float)) for number in numbers
    )
