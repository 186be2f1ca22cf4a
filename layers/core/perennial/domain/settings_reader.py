"""Reads a parsed `model.yaml` key by key and collects every mistake instead of the first."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

T = TypeVar("T")

DURATION = re.compile(r"(\d{1,7})(s|m|h|d)")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in the settings: where, what stands there, what was expected."""

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}; expected {self.expected}"


def shown(value: Any) -> str:
    """A value as a message quotes it: JSON, cut to 80 characters."""
    if value is None:
        return "nothing"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def one_of(choices: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = list(choices)
    return f"{', '.join(most)} or {last}" if most else last


class Reader:
    """One mapping of the settings; knows its key path and which keys were asked for.

    All readers of a document share one list of mistakes. A method answers the default when the
    key is absent or wrong, so that reading goes on and every mistake is found in one pass.
    """

    def __init__(self, value: Any, path: str = "", mistakes: list[Mistake] | None = None) -> None:
        self.mistakes: list[Mistake] = [] if mistakes is None else mistakes
        self.path = path
        self._known: list[str] = []
        self._values: dict[str, Any] = {}
        if isinstance(value, Mapping):
            for key, entry in value.items():
                if isinstance(key, str):
                    self._values[key] = entry
                else:
                    self.mistake_at(self.at(str(key)), shown(key), "a key that is text; quote it")
        elif value is not None:
            self.mistake_at(path or "the file", shown(value), "keys with values")

    def at(self, key: str) -> str:
        """The full path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def mistake(self, key: str, expected: str) -> None:
        """Record that the value of a key is not what was expected."""
        self.mistake_at(self.at(key), shown(self._values.get(key)), expected)

    def mistake_at(self, path: str, found: str, expected: str) -> None:
        """Record a mistake under any path."""
        self.mistakes.append(Mistake(path, found, expected))

    def __iter__(self) -> Iterator[str]:
        """The keys that are there, in their order."""
        return iter(list(self._values))

    def has(self, key: str) -> bool:
        """Say whether the key is there with a value."""
        self._known.append(key)
        return self._values.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as it was written, unchecked; None when absent."""
        self._known.append(key)
        return self._values.get(key)

    def section(self, key: str) -> Reader:
        """The reader of a nested mapping; an absent one is empty."""
        return Reader(self.raw(key), self.at(key), self.mistakes)

    def text(
        self,
        key: str,
        default: str | None = None,
        *,
        choices: Iterable[str] = (),
        pattern: str = "",
        expected: str = "text",
    ) -> str:
        """Text; without a default the key must be there."""
        value = self.raw(key)
        allowed = tuple(choices)
        wanted = one_of(allowed) if allowed else expected
        if value is None:
            if default is None:
                self.mistake(key, wanted)
            return default or ""
        if isinstance(value, str) and value and "\x00" not in value:
            fits = value in allowed if allowed else re.fullmatch(pattern or r"(?s).*", value)
            if fits:
                return value
        near = difflib.get_close_matches(str(value), allowed, 1)
        self.mistake(key, wanted + (f" (did you mean {near[0]}?)" if near else ""))
        return default or ""

    def flag(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        self.mistake(key, "true or false")
        return default

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.mistake(key, f"a whole number from {least:,} to {most:,}")
        return default

    def number(
        self,
        key: str,
        default: T,
        *,
        accept: Callable[[float], bool] = lambda _: True,
        expected: str = "a number",
    ) -> float | T:
        """A finite number that a condition accepts."""
        value = self.raw(key)
        if value is None:
            return default
        if is_number(value) and accept(float(value)):
            return float(value)
        self.mistake(key, expected)
        return default

    def seconds(self, key: str, default: int, *, least: int, most: int) -> int:
        """A duration like `30s`, `5m`, `1h`, `2d`, in seconds."""
        value = self.raw(key)
        if value is None:
            return default
        parsed = parse_duration(value)
        if parsed is not None and least <= parsed <= most:
            return parsed
        self.mistake(
            key, f"a duration like 30s, 5m or 1h, from {duration(least)} to {duration(most)}"
        )
        return default

    def names(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of distinct, non-empty texts; one text counts as a list of one."""
        value = self.raw(key)
        if value is None:
            return default
        entries = [value] if isinstance(value, str) else value
        if (
            isinstance(entries, list | tuple)
            and all(isinstance(entry, str) and entry for entry in entries)
            and len(set(entries)) == len(entries)
        ):
            return tuple(entries)
        plain = isinstance(entries, list | tuple) and any(
            isinstance(entry, bool | int | float | date) for entry in entries
        )
        hint = "; quote what YAML takes for true, false, a number or a date" if plain else ""
        self.mistake(key, f"a list of different texts{hint}")
        return default

    def not_built(self, key: str, comes_with: str, harmless: tuple[Any, ...] = ()) -> None:
        """Refuse by name what this version cannot do, unless the value asks for nothing."""
        value = self.raw(key)
        if value is None or any(value == form for form in harmless):
            return
        self.mistake(key, f"no value: {key} comes with {comes_with}; not built yet")

    def done(self) -> None:
        """Name every key that nobody asked for."""
        known = list(dict.fromkeys(self._known))
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"{near[0]}?" if near else one_of(known)
                self.mistake_at(self.at(key), "an unknown key", hint)


def is_number(value: Any) -> bool:
    """Say whether a value is a finite number, and no boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float holds
        return False


def parse_duration(value: Any) -> int | None:
    """Seconds of `30s`, `5m`, `1h`, `2d` or 0; None for anything else."""
    if value == 0 and not isinstance(value, bool):
        return 0
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * UNIT_SECONDS[match[2]] if match else None


def duration(seconds: int) -> str:
    """The shortest spelling of a duration that `parse_duration` reads back."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNIT_SECONDS[unit] == 0:
            return f"{seconds // UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"
