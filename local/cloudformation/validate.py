"""Properties against a resource schema, with CloudFormation's leniency and wording.

CloudFormation accepts "true" for a boolean, "5" for an integer and 5 for a string; so does this,
and it returns the properties with those values converted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import regex  # type: ignore[import-untyped]  # cfn-lint brings it, without types

_NAMES = {
    "string": "String",
    "integer": "Integer",
    "number": "Number",
    "boolean": "Boolean",
    "object": "JSONObject",
    "array": "JSONArray",
}
_Errors = list[str]


def validate(
    properties: Mapping[str, Any], schema: Mapping[str, Any], *more: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the properties with converted types, and every violation in AWS's words.

    `more` are further schemas that the converted properties must satisfy as well.
    """
    checker = _Checker(schema)
    errors: _Errors = []
    top = {key: value for key, value in schema.items() if key != "type"}
    converted = checker.walk(dict(properties), top, "#", errors)
    for extra in more:
        _Checker(extra).walk(converted, extra, "#", errors)
    return converted, list(dict.fromkeys(errors))


class _Checker:
    """Walks one value along one schema document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._keywords: dict[str, Callable[[Any, Any, Any, str, _Errors], Any]] = {
            "enum": self._enum,
            "const": self._const,
            "pattern": self._pattern,
            "minLength": lambda v, n, _s, p, e: _least(v, n, p, e, str),
            "maxLength": lambda v, n, _s, p, e: _most(v, n, p, e, str),
            "minItems": lambda v, n, _s, p, e: _least(v, n, p, e, list),
            "maxItems": lambda v, n, _s, p, e: _most(v, n, p, e, list),
            "minProperties": lambda v, n, _s, p, e: _least(v, n, p, e, dict),
            "minimum": self._minimum,
            "maximum": self._maximum,
            "multipleOf": self._multiple_of,
            "uniqueItems": self._unique_items,
            "uniqueKeys": self._unique_keys,
            "required": self._required,
            "requiredOr": self._required_or,
            "requiredXor": self._required_xor,
            "dependentExcluded": self._dependent_excluded,
            "dependentRequired": self._dependent_required,
            "dependencies": self._dependent_required,
            "propertyNames": self._property_names,
            "anyOf": self._any_of,
            "oneOf": self._one_of,
            "allOf": self._all_of,
            "not": self._not,
            "if": self._if,
        }

    def walk(self, value: Any, schema: Any, path: str, errors: _Errors) -> Any:
        """Return the converted value; append what is wrong with it."""
        if isinstance(schema, bool):
            if not schema:
                errors.append(f"{path}: is not permitted here")
            return value
        if "$ref" in schema:
            return self.walk(value, self._resolve(schema["$ref"]), path, errors)
        if "type" in schema:
            value, fits = _convert(value, schema["type"])
            if not fits:
                wanted = schema["type"]
                names = [wanted] if isinstance(wanted, str) else wanted
                expected = " or ".join(_NAMES.get(name, name) for name in names)
                errors.append(f"{path}: expected type: {expected}, found: {_type_name(value)}")
                return value
        for keyword, check in self._keywords.items():
            if keyword in schema:
                check(value, schema[keyword], schema, path, errors)
        if isinstance(value, dict):
            return self._members(value, schema, path, errors)
        return self._items(value, schema, path, errors) if isinstance(value, list) else value

    def _resolve(self, reference: str) -> Any:
        node: Any = self._root
        for step in reference.lstrip("#/").split("/"):
            node = node[step.replace("~1", "/").replace("~0", "~")]
        return node

    def _members(
        self, value: dict[str, Any], schema: Mapping[str, Any], path: str, errors: _Errors
    ) -> dict[str, Any]:
        known = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        converted = {}
        for key, inner in value.items():
            below = f"{path}/{key}"
            matching = [
                rule for pattern, rule in patterns.items() if regex.search(pattern, str(key))
            ]
            if key in known:
                inner = self.walk(inner, known[key], below, errors)  # noqa: PLW2901 - converted
            elif matching:
                inner = self.walk(inner, matching[0], below, errors)  # noqa: PLW2901 - converted
            elif schema.get("additionalProperties") is False:
                errors.append(f"{path}: extraneous key [{key}] is not permitted")
            converted[key] = inner
        return converted

    def _items(
        self, value: list[Any], schema: Mapping[str, Any], path: str, errors: _Errors
    ) -> list[Any]:
        prefix = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        return [
            self.walk(item, prefix[i] if i < len(prefix) else rest, f"{path}/{i}", errors)
            for i, item in enumerate(value)
        ]

    def _fits(self, value: Any, schema: Any) -> bool:
        errors: _Errors = []
        self.walk(value, schema, "#", errors)
        return not errors

    def _enum(self, value: Any, allowed: Any, _s: Any, path: str, errors: _Errors) -> None:
        if value not in allowed:
            errors.append(
                f"{path}: {value} is not a valid enum value, one of: "
                f"{', '.join(str(item) for item in allowed)}"
            )

    def _const(self, value: Any, wanted: Any, _s: Any, path: str, errors: _Errors) -> None:
        if value != wanted:
            errors.append(f"{path}: {json.dumps(value)} is not {json.dumps(wanted)}")

    def _pattern(self, value: Any, pattern: str, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, str) and not regex.search(pattern, value):
            errors.append(
                f"{path}: failed validation constraint for keyword [pattern]: "
                f"'{value}' does not match {pattern}"
            )

    def _minimum(self, value: Any, bound: float, _s: Any, path: str, errors: _Errors) -> None:
        if _is_number(value) and value < bound:
            errors.append(f"{path}: {value} is not greater or equal to {bound}")

    def _maximum(self, value: Any, bound: float, _s: Any, path: str, errors: _Errors) -> None:
        if _is_number(value) and value > bound:
            errors.append(f"{path}: {value} is not less or equal to {bound}")

    def _multiple_of(self, value: Any, step: float, _s: Any, path: str, errors: _Errors) -> None:
        if _is_number(value) and value % step:
            errors.append(f"{path}: {value} is not a multiple of {step}")

    def _unique_items(self, value: Any, wanted: Any, _s: Any, path: str, errors: _Errors) -> None:
        if wanted and isinstance(value, list):
            texts = [json.dumps(item, sort_keys=True) for item in value]
            if len(set(texts)) < len(texts):
                errors.append(f"{path}: array items are not unique")

    def _unique_keys(self, value: Any, keys: Any, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, list):
            texts = [json.dumps([item.get(key) for key in keys]) for item in value]
            if len(set(texts)) < len(texts):
                errors.append(f"{path}: array items are not unique for {', '.join(keys)}")

    def _required(self, value: Any, keys: Any, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, dict) and isinstance(keys, list):
            errors += [
                f"{path}: required key [{key}] not found" for key in keys if key not in value
            ]

    def _required_or(self, value: Any, keys: Any, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, dict) and not any(key in value for key in keys):
            errors.append(f"{path}: one of the keys [{', '.join(keys)}] is required")

    def _required_xor(self, value: Any, keys: Any, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, dict) and sum(key in value for key in keys) != 1:
            errors.append(f"{path}: exactly one of the keys [{', '.join(keys)}] is required")

    def _dependent_excluded(
        self, value: Any, rules: Any, _s: Any, path: str, errors: _Errors
    ) -> None:
        if isinstance(value, dict):
            for key, others in rules.items():
                for other in others:
                    if key in value and other in value:
                        errors.append(f"{path}: [{other}] is not permitted together with [{key}]")

    def _dependent_required(
        self, value: Any, rules: Any, _s: Any, path: str, errors: _Errors
    ) -> None:
        if isinstance(value, dict):
            for key, others in rules.items():
                if key in value:
                    self._required(value, others, None, path, errors)

    def _property_names(self, value: Any, rule: Any, _s: Any, path: str, errors: _Errors) -> None:
        if isinstance(value, dict):
            wrong = [str(key) for key in value if not self._fits(key, rule)]
            errors += [f"{path}: key [{key}] is not permitted (reserved)" for key in wrong]

    def _any_of(self, value: Any, rules: Any, _s: Any, path: str, errors: _Errors) -> None:
        if not any(self._fits(value, rule) for rule in rules):
            errors.append(
                f"{path}: no subschema matched out of the total {len(rules)} subschemas"
                f"{self._hint(value, rules)}"
            )

    def _one_of(self, value: Any, rules: Any, _s: Any, path: str, errors: _Errors) -> None:
        matching = sum(self._fits(value, rule) for rule in rules)
        if matching != 1:
            errors.append(
                f"{path}: {matching} subschemas matched instead of one"
                f"{self._hint(value, rules) if not matching else ''}"
            )

    def _hint(self, value: Any, rules: Any) -> str:
        problems: _Errors = []
        for rule in rules:
            self.walk(value, rule, "#", problems)
        return f" ({'; '.join(dict.fromkeys(problems))})"

    def _all_of(self, value: Any, rules: Any, _s: Any, path: str, errors: _Errors) -> None:
        for rule in rules:
            self.walk(value, rule, path, errors)

    def _not(self, value: Any, rule: Any, _s: Any, path: str, errors: _Errors) -> None:
        if self._fits(value, rule):
            errors.append(f"{path}: {json.dumps(value)} is not permitted")

    def _if(self, value: Any, rule: Any, schema: Any, path: str, errors: _Errors) -> None:
        branch = "then" if self._fits(value, rule) else "else"
        self.walk(value, schema.get(branch, True), path, errors)


_COUNTED: dict[type[Any], str] = {str: "length", list: "item count", dict: "size"}


def _least(value: Any, bound: int, path: str, errors: _Errors, kind: type[Any]) -> None:
    if isinstance(value, kind) and len(value) < bound:
        errors.append(f"{path}: expected minimum {_COUNTED[kind]}: {bound}, found: {len(value)}")


def _most(value: Any, bound: int, path: str, errors: _Errors, kind: type[Any]) -> None:
    if isinstance(value, kind) and len(value) > bound:
        errors.append(f"{path}: expected maximum {_COUNTED[kind]}: {bound}, found: {len(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _type_name(value: Any) -> str:
    for kind, name in (
        (bool, "Boolean"),
        (int, "Integer"),
        (float, "Number"),
        (str, "String"),
        (list, "JSONArray"),
        (dict, "JSONObject"),
    ):
        if isinstance(value, kind):
            return name
    return "null"


def _has_type(value: Any, name: str) -> bool:
    return {
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": _is_number(value),
        "boolean": isinstance(value, bool),
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
    }.get(name, False)


def _convert(value: Any, wanted: str | list[str]) -> tuple[Any, bool]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if any(_has_type(value, name) for name in names):
        return value, True
    for name in names:
        converted = _scalar(value, name)
        if converted is not None:
            return converted, True
    return value, False


def _scalar(value: Any, name: str) -> Any:
    if name == "string" and isinstance(value, bool):
        return "true" if value else "false"
    if name == "string" and isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        whole = isinstance(value, float) and value.is_integer()
        return int(value) if name == "integer" and whole else None
    if name == "boolean":
        return {"true": True, "false": False}.get(value.lower())
    try:
        return {"integer": int, "number": float}[name](value)
    except (KeyError, ValueError):
        return None
