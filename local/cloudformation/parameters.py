"""Template parameters: defaults, previous values, types and constraints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.cloudformation.errors import TemplateError, unsupported

_KEYS = frozenset(
    [
        "Type",
        "Default",
        "NoEcho",
        "AllowedValues",
        "AllowedPattern",
        "MaxLength",
        "MinLength",
        "MaxValue",
        "MinValue",
        "Description",
        "ConstraintDescription",
    ]
)
_PLAIN = frozenset(
    {"String", "Number", "List<Number>", "List<String>", "CommaDelimitedList"}
    | {"AWS::SSM::Parameter::Name"}
)
_SSM_VALUE = re.compile(r"AWS::SSM::Parameter::Value<(String|List<String>|CommaDelimitedList)>")
_LISTS = ("CommaDelimitedList", "List<")


@dataclass(frozen=True)
class ParameterValue:
    """One parameter of a stack: the text that was given, and what it stands for."""

    key: str
    text: str
    value: Any
    no_echo: bool = False
    from_store: bool = False


def check_declarations(declared: Mapping[str, Any]) -> None:
    """Refuse parameter declarations that CloudFormation refuses or that we cannot carry out."""
    for name, body in declared.items():
        if not isinstance(body, dict) or "Type" not in body:
            raise TemplateError(
                "Template format error: Every Parameters object must contain a Type member. "
                f"({name})"
            )
        unknown = sorted(set(body) - _KEYS)
        if unknown:
            raise TemplateError(f"Invalid template parameter property '{unknown[0]}'")
        kind = body["Type"]
        if kind in _PLAIN or _SSM_VALUE.fullmatch(str(kind)):
            continue
        if str(kind).startswith(("AWS::", "List<AWS::")):
            raise unsupported(f"Parameter '{name}': type {kind}")
        raise TemplateError(
            f"Template format error: Unrecognized parameter type: {kind} (parameter {name})"
        )


def resolve_parameters(
    declared: Mapping[str, Any],
    given: list[dict[str, Any]],
    previous: Mapping[str, str],
    read_store: Callable[[str], str],
) -> dict[str, ParameterValue]:
    """Return every declared parameter's value.

    `previous` are the texts of the stack that is updated; `read_store` reads an SSM parameter.
    Raises TemplateError for values that are missing, unknown or outside their constraints.
    """
    check_declarations(declared)
    texts: dict[str, str] = {}
    unknown = [item["ParameterKey"] for item in given if item["ParameterKey"] not in declared]
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    for item in given:
        key = item["ParameterKey"]
        if not item.get("UsePreviousValue"):
            texts[key] = item.get("ParameterValue") or ""
        elif key in previous:
            texts[key] = previous[key]
        else:
            raise TemplateError(
                f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true "
                "for a parameter key not in the previous template"
            )
    for key, body in declared.items():
        if key not in texts and "Default" in body:
            default = body["Default"]
            texts[key] = str(default).lower() if isinstance(default, bool) else str(default)
    missing = [key for key in declared if key not in texts]
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    return {key: _value(key, body, texts[key], read_store) for key, body in declared.items()}


def _value(
    key: str, body: Mapping[str, Any], text: str, read_store: Callable[[str], str]
) -> ParameterValue:
    kind = str(body["Type"])
    stored = _SSM_VALUE.fullmatch(kind)
    items = _items(text) if kind.startswith(_LISTS) else [text]
    for item in items:
        _check(key, body, item, number="Number" in kind)
    value: Any = items if kind.startswith(_LISTS) else text
    if stored:
        content = read_store(text)
        value = content if stored.group(1) == "String" else _items(content)
    no_echo = str(body.get("NoEcho", False)).lower() == "true"
    return ParameterValue(key, text, value, no_echo, bool(stored))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _check(key: str, body: Mapping[str, Any], text: str, *, number: bool) -> None:
    for problem in _problems(body, text, number=number):
        described = body.get("ConstraintDescription")
        if described:
            raise TemplateError(f"Parameter {key} failed to satisfy constraint: {described}")
        raise TemplateError(f"Parameter '{key}' {problem}")


def _problems(body: Mapping[str, Any], text: str, *, number: bool) -> list[str]:
    found = []
    if number:
        try:
            size = float(text)
        except ValueError:
            return [f"must be a number, found '{text}'"]
        if "MinValue" in body and size < float(body["MinValue"]):
            found.append(f"must be a number not less than {body['MinValue']}")
        if "MaxValue" in body and size > float(body["MaxValue"]):
            found.append(f"must be a number not greater than {body['MaxValue']}")
    allowed = body.get("AllowedValues")
    if allowed is not None and text not in [_plain(value) for value in allowed]:
        found.append(f"must be one of AllowedValues [{', '.join(map(_plain, allowed))}]")
    pattern = body.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(str(pattern), text):
        found.append(f"must match pattern {pattern}")
    if "MinLength" in body and len(text) < int(body["MinLength"]):
        found.append(f"must contain at least {body['MinLength']} characters")
    if "MaxLength" in body and len(text) > int(body["MaxLength"]):
        found.append(f"must contain at most {body['MaxLength']} characters")
    return found


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
