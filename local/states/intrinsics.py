"""Intrinsic functions: `States.Format('{}-{}', $.a, 1)` and its 17 siblings."""

import base64
import hashlib
import json
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

from local.states.errors import PathError, StateError
from local.states.paths import Scope, is_path, read

_NAME = re.compile(r"\s*(States\.[A-Za-z0-9_]+)\s*\(")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_DEPTH = 10


class IntrinsicSyntaxError(ValueError):
    """The text is no intrinsic function."""


def is_intrinsic(text: str) -> bool:
    """Whether a text looks like a call of one."""
    return text.lstrip().startswith("States.")


def check(text: str) -> None:
    """Raise IntrinsicSyntaxError if the text cannot be parsed."""
    _parse(text)


def evaluate(text: str, scope: Scope) -> Any:
    """The value; StateError `States.IntrinsicFailure` when it has none; PathError of a path."""
    try:
        return _value(_parse(text), scope)
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise StateError("States.IntrinsicFailure", f"{text}: {error}") from error


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, what: str) -> IntrinsicSyntaxError:
        return IntrinsicSyntaxError(f"{what} at position {self.at} of {self.text!r}")

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def call(self, depth: int = 1) -> tuple[str, Any]:
        found = _NAME.match(self.text, self.at)
        if found is None or depth > _DEPTH:
            raise self.fail("expected a function" if found is None else "nested too deeply")
        if found.group(1) not in FUNCTIONS:
            raise self.fail(f"unknown function {found.group(1)}")
        self.at = found.end()
        arguments: list[tuple[str, Any]] = []
        self.space()
        while self.text[self.at : self.at + 1] != ")":
            if arguments:
                self.expect(",")
            arguments.append(self.argument(depth))
            self.space()
        self.at += 1
        return "call", (found.group(1), arguments)

    def expect(self, sign: str) -> None:
        self.space()
        if self.text[self.at : self.at + 1] != sign:
            raise self.fail(f"expected {sign!r}")
        self.at += 1

    def argument(self, depth: int) -> tuple[str, Any]:
        self.space()
        sign = self.text[self.at : self.at + 1]
        if sign == "'":
            return "value", self.string()
        if sign == "$":
            return "path", self.path()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return "value", value
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return "value", json.loads(number.group(0))
        return self.call(depth + 1)

    def string(self) -> str:
        self.at += 1
        found: list[str] = []
        while True:
            sign = self.text[self.at : self.at + 1]
            if not sign:
                raise self.fail("unfinished text")
            self.at += 1
            if sign == "'":
                return "".join(found)
            if sign == "\\":
                following = self.text[self.at : self.at + 1]
                self.at += 1
                # `\{` stays marked for Format, which takes the mark away.
                found.append(following if following in "'\\" else sign + following)
            else:
                found.append(sign)

    def path(self) -> str:
        start, depth, quote = self.at, 0, ""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if quote:
                quote = "" if sign == quote else quote
            elif sign in "'\"":
                quote = sign
            elif sign in "[(":
                depth += 1
            elif sign in "])" and depth:
                depth -= 1
            elif sign in ",)" and not depth:
                break
            self.at += 1
        text = self.text[start : self.at].strip()
        if not is_path(text):
            raise self.fail(f"{text!r} is no path")
        return text


def _parse(text: str) -> tuple[str, Any]:
    reader = _Reader(text)
    call = reader.call()
    reader.space()
    if reader.at != len(text):
        raise reader.fail("unexpected text")
    return call


def _value(node: tuple[str, Any], scope: Scope) -> Any:
    kind, content = node
    if kind == "value":
        return content
    if kind == "path":
        return read(content, scope)
    name, arguments = content
    return FUNCTIONS[name](*[_value(argument, scope) for argument in arguments])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _format(template: str, *values: Any) -> str:
    given = list(values)
    parts = re.split(r"(\\\\|\\\{|\\\}|\{\})", template)
    filled = []
    for part in parts:
        if part == "{}":
            if not given:
                raise ValueError("fewer arguments than {} in the template")
            filled.append(_text(given.pop(0)))
        else:
            filled.append(part[1:] if part in ("\\{", "\\}", "\\\\") else part)
    if given:
        raise ValueError("more arguments than {} in the template")
    return "".join(filled)


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected an array, found {value!r}")
    return value


def _partition(array: Any, size: int) -> list[list[Any]]:
    items = _array(array)
    if not isinstance(size, int) or size < 1:
        raise ValueError("the chunk size must be a positive integer")
    return [items[i : i + size] for i in range(0, len(items), size)]


def _range(first: int, last: int, step: int) -> list[int]:
    found = list(range(first, last + (1 if step > 0 else -1), step))
    if len(found) > 1000:
        raise ValueError("the array would have more than 1,000 elements")
    return found


def _unique(array: Any) -> list[Any]:
    found: dict[str, Any] = {}
    for item in _array(array):
        found.setdefault(json.dumps(item, sort_keys=True), item)
    return list(found.values())


def _hash(data: Any, algorithm: str) -> str:
    names = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384"}
    names["SHA-512"] = "sha512"
    return hashlib.new(names[algorithm], _text(data).encode()).hexdigest()


def _merge(first: Any, second: Any, deep: bool) -> dict[str, Any]:
    if deep:
        raise ValueError("only the shallow merge (false) is supported, as on AWS")
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise TypeError("both arguments must be JSON objects")
    return {**first, **second}


def _random(low: int, high: int, seed: Any = None) -> int:
    source = random.Random(seed) if seed is not None else random  # noqa: S311 - not for secrets
    return source.randrange(int(low), int(high))


def _split(text: str, marks: str) -> list[str]:
    return [part for part in re.split(f"[{re.escape(marks)}]", text) if part]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "States.Format": _format,
    "States.StringToJson": json.loads,
    "States.JsonToString": lambda value: json.dumps(value, separators=(",", ":")),
    "States.Array": lambda *values: list(values),
    "States.ArrayPartition": _partition,
    "States.ArrayContains": lambda array, item: item in _array(array),
    "States.ArrayRange": _range,
    "States.ArrayGetItem": lambda array, index: _array(array)[index],
    "States.ArrayLength": lambda array: len(_array(array)),
    "States.ArrayUnique": _unique,
    "States.Base64Encode": lambda text: base64.b64encode(text.encode()).decode(),
    "States.Base64Decode": lambda text: base64.b64decode(text).decode(),
    "States.Hash": _hash,
    "States.JsonMerge": _merge,
    "States.MathRandom": _random,
    "States.MathAdd": lambda first, second: first + second,
    "States.StringSplit": _split,
    "States.UUID": lambda: str(uuid.uuid4()),
}


def template(value: Any, scope: Scope) -> Any:
    """A payload template filled in: keys that end in `.$` hold a path or an intrinsic function."""
    if isinstance(value, dict):
        filled: dict[str, Any] = {}
        for key, item in value.items():
            if key.endswith(".$"):
                filled[key[:-2]] = _field(key, item, scope)
            else:
                filled[key] = template(item, scope)
        return filled
    if isinstance(value, list):
        return [template(item, scope) for item in value]
    return value


def _field(key: str, text: str, scope: Scope) -> Any:
    try:
        return evaluate(text, scope) if is_intrinsic(text) else read(text, scope)
    except PathError as error:
        shown = json.dumps(scope.data, separators=(",", ":"))
        shown = shown if len(shown) <= 1024 else shown[:1024] + "..."
        raise PathError(
            f"The JSONPath '{text}' specified for the field '{key}' could not be found in the "
            f"input '{shown}'"
        ) from error
