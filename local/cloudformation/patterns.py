"""Event patterns, checked as EventBridge checks them."""

from __future__ import annotations

from typing import Any

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
