"""Which route of an API a request takes.

Order as AWS documents it: a full match before a greedy one (`{proxy+}`), `$default` last; between
routes of one kind the one with more literal segments, and a method of its own before `ANY`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote

DEFAULT = "$default"
METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_KEY = re.compile(r"([A-Z]+) (/.*)")
_VARIABLE = re.compile(r"\{([A-Za-z0-9._-]+)(\+?)\}")


def check_route_key(key: str) -> str:
    """What is wrong with a route key, in words; empty: nothing."""
    if key == DEFAULT:
        return ""
    match = _KEY.fullmatch(key)
    if match is None or match[1] not in METHODS:
        return (
            f"The provided route key {key!r} is not formatted properly: METHOD /path, or $default"
        )
    segments = match[2].split("/")[1:]
    for position, segment in enumerate(segments):
        variable = _VARIABLE.fullmatch(segment)
        if variable is None and ("{" in segment or "}" in segment):
            return f"The route key {key!r} has a variable that is not a whole segment: {segment!r}"
        if variable and variable[2] and position < len(segments) - 1:
            return f"The route key {key!r} has a greedy variable that is not its last segment"
    return ""


def find_route(keys: Iterable[str], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The key of the route for a request, and the path's variables; None: no route takes it.

    `path` is still percent-encoded; the variables' values are decoded.
    """
    found = [(key, match) for key in keys if (match := _match(key, method, path)) is not None]
    if not found:
        return None
    key, match = max(found, key=lambda each: _rank(each[0]))
    names = [name for name, _ in _VARIABLE.findall(key)]
    return key, dict(zip(names, map(unquote, match.groups()), strict=True))


def _match(key: str, method: str, path: str) -> re.Match[str] | None:
    """The path held against a route's pattern, if the route takes the method at all."""
    if key == DEFAULT:
        return re.match("", path)
    wanted, _, pattern = key.partition(" ")
    return _pattern(pattern).fullmatch(path) if wanted in ("ANY", method) else None


@lru_cache(maxsize=1024)
def _pattern(path: str) -> re.Pattern[str]:
    parts = []
    for segment in path.split("/")[1:]:
        variable = _VARIABLE.fullmatch(segment)
        if variable:
            parts.append("(.+)" if variable[2] else "([^/]+)")
        else:
            parts.append(f"(?:{re.escape(segment)}|{re.escape(quote(segment))})")
    return re.compile("".join(f"/{part}" for part in parts))


def _rank(key: str) -> tuple[int, int, int]:
    """Greater is preferred: no greedy variable, more literal segments, a method of its own."""
    if key == DEFAULT:
        return (0, 0, 0)
    literal = sum(not _VARIABLE.fullmatch(part) for part in key.split("/")[1:])
    return (1 if "+}" in key else 2, literal, int(not key.startswith("ANY ")))
