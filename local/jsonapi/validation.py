"""Check a request against botocore's model as the service does: also enum, pattern, min, max.

botocore's own check on the client's side knows only required members, types and minimum values.
The texts are those of AWS's JSON services: "1 validation error detected: Value '…' at '…' failed
to satisfy constraint: …".
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local.jsonapi.errors import ApiError, invalid

_JSON_NAMES = {dict: "START_OBJECT", list: "START_ARRAY", str: "STRING_VALUE", bool: "TRUE_VALUE"}
_PAIR = re.compile(r"\\u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_EXPECTED: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a String"),
    "integer": ((int,), "an Integer"),
    "long": ((int,), "a Long"),
    "float": ((int, float), "a Float"),
    "double": ((int, float), "a Double"),
    "boolean": ((bool,), "a Boolean"),
    "timestamp": ((int, float), "a Timestamp"),
    "structure": ((dict,), "a Structure"),
    "list": ((list,), "a List"),
    "map": ((dict,), "a Map"),
}


def validate(shape: StructureShape, value: Mapping[str, Any]) -> None:
    """Raise the service's ValidationException (or SerializationException) for a bad request."""
    faults = list(_check(shape, value, ""))
    if faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
        raise invalid(count + "; ".join(faults))


def _check(shape: Shape, value: Any, path: str) -> Iterator[str]:
    _check_type(shape, value, path)
    if isinstance(shape, StructureShape):
        yield from _check_structure(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _check_size(shape, value, path, len(value), "length")
        for number, item in enumerate(value, 1):
            yield from _check(shape.member, item, f"{path}.{number}.member")
    elif isinstance(shape, MapShape):
        yield from _check_size(shape, value, path, len(value), "length")
        for key, item in value.items():
            yield from _check(shape.key, key, f"{path}.{key}.key")
            yield from _check(shape.value, item, f"{path}.{key}.member")
    elif shape.type_name == "string":
        yield from _check_string(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _check_size(shape, value, path, value, "value")


def _check_structure(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield (
                f"Value null at '{_join(path, name)}' failed to satisfy constraint: "
                "Member must not be null"
            )
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(shape.members)
            raise invalid(f"Unknown member '{_join(path, name)}'; known are: {known}")
        if item is not None:
            yield from _check(shape.members[name], item, _join(path, name))


def _check_string(shape: Shape, value: str, path: str) -> Iterator[str]:
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _fault(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    yield from _check_size(shape, value, path, len(value), "length")
    pattern = shape.metadata.get("pattern")
    if pattern and compile_pattern(pattern).fullmatch(value) is None:
        yield _fault(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _check_size(shape: Shape, value: Any, path: str, size: float, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _fault(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _fault(value, path, f"Member must have {what} less than or equal to {most}")


def _check_type(shape: Shape, value: Any, path: str) -> None:
    types, name = _EXPECTED.get(shape.type_name, ((object,), "a value"))
    if isinstance(value, types) and (shape.type_name == "boolean" or not isinstance(value, bool)):
        return
    found = _JSON_NAMES.get(type(value), "NUMBER_VALUE")
    raise ApiError(
        "SerializationException", f"{found} can not be converted to {name} (at '{path}')"
    )


def _fault(value: Any, path: str, constraint: str) -> str:
    shown = str(value)
    shown = shown if len(shown) <= 1024 else shown[:1024] + "..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    camel = name[:1].lower() + name[1:]
    return f"{path}.{camel}" if path else camel


@functools.cache
def compile_pattern(pattern: str) -> "re.Pattern[str]":
    r"""A pattern of botocore's model for Python: Java's `\p{L}` becomes its characters, and its
    pairs of surrogates (`\uD800\uDC00`) become the one character that they stand for."""
    printable = pattern.replace(r"\p{Print}", r"[\x20-\x7E]")
    translated = re.sub(r"\\p\{(\w+)\}", lambda found: _category(found.group(1)), printable)
    translated = _PAIR.sub(_beyond, translated)
    # The model also repeats an end mark, `${1,128}`, which says no more than `$`.
    return re.compile(re.sub(r"\$\{\d+,\d+\}$", "$", translated))


def _beyond(pair: "re.Match[str]") -> str:
    high, low = int(pair[1], 16), int(pair[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


@functools.cache
def _category(name: str) -> str:
    """The characters of a Unicode category as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in range(0x10000):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    # Beyond the basic plane everything is taken: the model's classes mean "text of any script".
    ranges.append([0x10000, sys.maxunicode])
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
