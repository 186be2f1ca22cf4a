"""The intrinsic functions of a template, evaluated against a scope.

The scope knows what names stand for: parameters, resources, mappings, exports. One evaluator
serves resource properties, conditions and outputs; a change set uses it with a scope in which
values that only the update will bring are `KNOWN_AFTER_APPLY`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from local.cloudformation.errors import TemplateError, unsupported

# What DescribeChangeSet shows for a value that only execution will bring.
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"

_SUB_VARIABLE = re.compile(r"\$\{([^!${}][^${}]*)\}")
_SUB_LITERAL = re.compile(r"\$\{!([^${}]+)\}")
FUNCTIONS = frozenset(
    [
        "Ref",
        "Condition",
        "Fn::Base64",
        "Fn::FindInMap",
        "Fn::GetAtt",
        "Fn::GetAZs",
        "Fn::If",
        "Fn::ImportValue",
        "Fn::Join",
        "Fn::Select",
        "Fn::Split",
        "Fn::Sub",
        "Fn::And",
        "Fn::Equals",
        "Fn::Not",
        "Fn::Or",
    ]
)


class _Absent:
    """The value of AWS::NoValue: the property is left out."""


ABSENT = _Absent()


class Scope(Protocol):
    """What the names in a template stand for."""

    def ref(self, name: str) -> Any:
        """Return the value of a parameter, pseudo parameter or resource."""

    def attribute(self, resource: str, name: str) -> Any:
        """Return an attribute of a resource."""

    def find_in_map(self, mapping: str, first: str, second: str) -> Any:
        """Return a value of the Mappings section."""

    def condition(self, name: str) -> bool:
        """Return what a named condition evaluates to."""

    def import_value(self, name: str) -> str:
        """Return the value of another stack's export."""


def function_of(value: Any) -> str | None:
    """Return the name of the intrinsic function that this value calls, or None."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    (name,) = value
    if isinstance(name, str) and (name in FUNCTIONS or name.startswith("Fn::")):
        return name
    return None


def sub_parts(argument: Any) -> tuple[str, dict[str, Any], list[str]]:
    """Return the text of a Fn::Sub, its own variables, and all names that the text uses."""
    text, variables = argument, {}
    if isinstance(argument, list):
        if len(argument) != 2 or not isinstance(argument[1], dict):
            raise _malformed("Fn::Sub", "a string, or a list of a string and a map of variables")
        text, variables = argument
    if not isinstance(text, str):
        raise _malformed("Fn::Sub", "a string, or a list of a string and a map of variables")
    return text, variables, [name.strip() for name in _SUB_VARIABLE.findall(text)]


def get_att_parts(argument: Any) -> tuple[str, Any]:
    """Return resource and attribute of a Fn::GetAtt in either spelling."""
    if isinstance(argument, str) and "." in argument:
        resource, attribute = argument.split(".", 1)
        return resource, attribute
    if isinstance(argument, list) and len(argument) >= 2 and isinstance(argument[0], str):
        if all(isinstance(part, str) for part in argument):
            return argument[0], ".".join(argument[1:])
        return argument[0], argument[1]
    raise TemplateError(
        "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource "
        "name and the resource attribute"
    )


def _malformed(function: str, expected: str) -> TemplateError:
    return TemplateError(f"Template error: every {function} object requires {expected}.")


class Evaluator:
    """Evaluates values of a template in one scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": lambda name: scope.condition(str(name)),
            "Fn::Base64": self._base64,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAtt": self._get_att,
            "Fn::GetAZs": self._get_azs,
            "Fn::If": self._if,
            "Fn::ImportValue": lambda name: scope.import_value(str(self.evaluate(name))),
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Sub": self._sub,
            "Fn::And": lambda terms: all(self.truth(term) for term in _terms("Fn::And", terms)),
            "Fn::Or": lambda terms: any(self.truth(term) for term in _terms("Fn::Or", terms)),
            "Fn::Not": self._not,
            "Fn::Equals": self._equals,
        }

    def evaluate(self, value: Any) -> Any:
        """Return the value with every function in it carried out.

        Raises TemplateError when a function is malformed, unknown, or names what is not there.
        """
        name = function_of(value)
        # {"Condition": {...}} is the condition block of an IAM statement, not a function.
        if name == "Condition" and not isinstance(value["Condition"], str):
            name = None
        if name is not None:
            function = self._functions.get(name)
            if function is None:
                raise unsupported(f"The function {name}")
            return function(value[name])
        if isinstance(value, dict):
            pairs = ((key, self.evaluate(inner)) for key, inner in value.items())
            return {key: inner for key, inner in pairs if inner is not ABSENT}
        if isinstance(value, list):
            items = (self.evaluate(inner) for inner in value)
            return [inner for inner in items if inner is not ABSENT]
        return value

    def truth(self, value: Any) -> bool:
        """Return what a condition evaluates to."""
        outcome = self.evaluate(value)
        if not isinstance(outcome, bool):
            raise TemplateError(
                "Template format error: every Conditions member must be a condition function, "
                f"found: {json.dumps(value, default=str)}"
            )
        return outcome

    def _ref(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise TemplateError("Template error: every Ref object must have a single String value")
        return ABSENT if name == "AWS::NoValue" else self._scope.ref(name)

    def _get_att(self, argument: Any) -> Any:
        resource, attribute = get_att_parts(argument)
        return self._scope.attribute(resource, str(self.evaluate(attribute)))

    def _base64(self, value: Any) -> str:
        return base64.b64encode(self._text("Fn::Base64", self.evaluate(value)).encode()).decode()

    def _find_in_map(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            raise _malformed(
                "Fn::FindInMap", "three parameters, the map name, map key and attribute"
            )
        mapping, first, second = (str(self.evaluate(part)) for part in argument)
        return self._scope.find_in_map(mapping, first, second)

    def _get_azs(self, argument: Any) -> list[str]:
        region = str(self.evaluate(argument)) or str(self._scope.ref("AWS::Region"))
        return [region + letter for letter in "abc"]

    def _if(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            raise _malformed(
                "Fn::If", "three parameters: condition name, value if true and if false"
            )
        name, yes, no = argument
        return self.evaluate(yes if self._scope.condition(str(name)) else no)

    def _join(self, argument: Any) -> str:
        expected = (
            "two parameters, (1) a string delimiter and (2) a list of strings to be joined or a "
            "function that returns a list of strings (such as Fn::GetAZs) to be joined"
        )
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
            raise _malformed("Fn::Join", expected)
        items = self.evaluate(argument[1])
        if items == KNOWN_AFTER_APPLY:
            return KNOWN_AFTER_APPLY
        if not isinstance(items, list):
            raise _malformed("Fn::Join", expected)
        return argument[0].join(self._text("Fn::Join", item) for item in items)

    def _select(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            raise _malformed("Fn::Select", "two parameters, the index and the list to select from")
        index, items = self.evaluate(argument[0]), self.evaluate(argument[1])
        if items == KNOWN_AFTER_APPLY:
            return KNOWN_AFTER_APPLY
        if not isinstance(items, list) or not str(index).isdigit():
            raise _malformed("Fn::Select", "an integer index and a list")
        if int(index) >= len(items):
            raise TemplateError(
                f"Template error: Fn::Select cannot select nonexistent value at index {index}"
            )
        return items[int(index)]

    def _split(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
            raise _malformed("Fn::Split", "two parameters, a string delimiter and a source string")
        text = self.evaluate(argument[1])
        if KNOWN_AFTER_APPLY in str(text):
            return KNOWN_AFTER_APPLY
        return self._text("Fn::Split", text).split(argument[0])

    def _sub(self, argument: Any) -> str:
        text, variables, _ = sub_parts(argument)

        def replaced(match: re.Match[str]) -> str:
            name = match.group(1).strip()
            if name in variables:
                return self._text("Fn::Sub", self.evaluate(variables[name]))
            if "." in name:
                resource, attribute = name.split(".", 1)
                return self._text("Fn::Sub", self._scope.attribute(resource, attribute))
            return self._text("Fn::Sub", self._scope.ref(name))

        return _SUB_LITERAL.sub(r"${\1}", _SUB_VARIABLE.sub(replaced, text))

    def _not(self, terms: Any) -> bool:
        if not isinstance(terms, list) or len(terms) != 1:
            raise _malformed("Fn::Not", "a list of one condition")
        return not self.truth(terms[0])

    def _equals(self, terms: Any) -> bool:
        if not isinstance(terms, list) or len(terms) != 2:
            raise _malformed("Fn::Equals", "a list of two string parameters")
        left, right = (self.evaluate(term) for term in terms)
        return bool(_as_text(left) == _as_text(right))

    @staticmethod
    def _text(function: str, value: Any) -> str:
        if isinstance(value, (dict, list)) or value is None or value is ABSENT:
            raise TemplateError(
                f"Template error: {function} needs a string, found "
                f"{json.dumps(value, default=lambda _: 'AWS::NoValue')}"
            )
        return str(_as_text(value))


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def _terms(function: str, terms: Any) -> list[Any]:
    if not isinstance(terms, list) or not 2 <= len(terms) <= 10:
        raise _malformed(function, "a list of at least 2 and at most 10 conditions")
    return terms
