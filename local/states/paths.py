"""Paths of the Amazon States Language: `$.a.b[0]`, `$$.Execution.Name`, `$variable.x`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from local.states.errors import PathError

_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]|\.\.|\*|.")
_ROOT = re.compile(r"\$\$|\$[A-Za-z_]\w*|\$")
_MANY = re.compile(r"\.\.|\*|\?\(|\[[^\]'\"]*[,:][^\]]*\]|@")
_FUNCTION = re.compile(r"^(.*)\.(length|min|max|sum|avg)\(\)$", re.DOTALL)


@dataclass(frozen=True)
class Scope:
    """What paths can see: the state's data, the context object, the variables."""

    data: Any
    context: Mapping[str, Any]
    variables: Mapping[str, Any]

    def on(self, data: Any) -> "Scope":
        """The same with other data."""
        return Scope(data, self.context, self.variables)


def is_reference(path: str) -> bool:
    """Whether a path names exactly one place (as ResultPath and Variable must)."""
    root = _ROOT.match(path)
    return root is not None and _plain_steps(path[root.end() :]) is not None


def is_path(path: str) -> bool:
    """Whether a text is a path at all."""
    root = _ROOT.match(path)
    if root is None:
        return False
    rest = path[root.end() :]
    if _plain_steps(rest) is not None:
        return True
    function = _FUNCTION.match(rest)
    try:
        _compiled("$" + (function.group(1) if function else rest))
    except PathError:
        return False
    return True


def read(path: str, scope: Scope) -> Any:
    """What a path selects; PathError when that is nothing."""
    root = _ROOT.match(path)
    if root is None:
        raise PathError(f"{path!r} is no path: it does not begin with $")
    start, rest = _start(root.group(0), scope), path[root.end() :]
    steps = _plain_steps(rest)
    if steps is not None:
        return _walk(start, steps, path)
    function = _FUNCTION.match(rest)
    if function:
        return _aggregate(function.group(2), read("$" + function.group(1), scope.on(start)), path)
    found = [match.value for match in _compiled("$" + rest).find(start)]
    if _MANY.search(rest):
        return found
    if not found:
        raise PathError(path)
    return found[0]


def write(path: str, data: Any, value: Any) -> Any:
    """A copy of `data` with `value` put at a reference path; PathError where it does not fit."""
    steps = _plain_steps(path[1:]) if path.startswith("$") else None
    if steps is None:
        raise PathError(f"{path!r} is no reference path")
    return _put(data, steps, value, path)


def _start(root: str, scope: Scope) -> Any:
    if root == "$":
        return scope.data
    if root == "$$":
        return scope.context
    name = root[1:]
    if name not in scope.variables:
        raise PathError(root)
    return scope.variables[name]


@lru_cache(maxsize=4096)
def _plain_steps(rest: str) -> tuple[str | int, ...] | None:
    """Names and indexes of a path without wildcards; None if it has any."""
    steps: list[str | int] = []
    for found in _STEP.finditer(rest):
        name = next((group for group in found.groups()[:3] if group is not None), None)
        if name is not None:
            steps.append(name)
        elif found.group(4) is not None:
            steps.append(int(found.group(4)))
        else:
            return None
    return tuple(steps)


def _walk(value: Any, steps: tuple[str | int, ...], path: str) -> Any:
    for step in steps:
        try:
            if isinstance(step, int) != isinstance(value, list):
                raise PathError(path)
            value = value[step]
        except (KeyError, IndexError, TypeError) as error:
            raise PathError(path) from error
    return value


def _put(data: Any, steps: tuple[str | int, ...], value: Any, path: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        if not isinstance(data, list) or step >= len(data):
            raise PathError(path)
        return [*data[:step], _put(data[step], rest, value, path), *data[step + 1 :]]
    if data is not None and not isinstance(data, dict):
        raise PathError(path)
    known = data or {}
    return {**known, step: _put(known.get(step), rest, value, path)}


@lru_cache(maxsize=1024)
def _compiled(path: str) -> Any:
    # The library spells a filter's equality with one sign and joins with one.
    text = re.sub(r"\.\.\[", "..*[", path) if "..[" in path else path
    try:
        return parse(text.replace("&&", "&"))
    except (JSONPathError, Exception) as error:
        raise PathError(f"{path!r} is no path: {error}") from error


def _aggregate(name: str, value: Any, path: str) -> Any:
    if not isinstance(value, list):
        raise PathError(path)
    if name == "length":
        return len(value)
    if not value:
        raise PathError(path)
    numbers: dict[str, Callable[[Any], Any]] = {"min": min, "max": max, "sum": sum}
    return sum(value) / len(value) if name == "avg" else numbers[name](value)
