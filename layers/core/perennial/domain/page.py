"""The pieces of a model card's HTML: every figure and text says where in verdict.json it stands.

A figure is `<data class="figure" data-path="/rows" value="6501">6,501</data>`: the path is a JSON
pointer (RFC 6901), the value the number's `repr`. A text of the verdict is a `span` with a path,
a key of one of its objects a `span` of class `key` with the path of the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from typing import Any

from perennial.domain.text import printable

NOTHING = "-"
LONGEST_TEXT = 2000


def shown(value: float) -> str:
    """A number as people read it: four significant digits, thousands by commas."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{'+' if value > 0 else ''}{shown(value)}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.4g} %"


def dollars(value: float) -> str:
    """An amount of US dollars, small ones with more digits."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def moment(value: float) -> str:
    """A time in milliseconds since 1970, in UTC."""
    try:
        return datetime.fromtimestamp(value / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return shown(value)


def days(value: float) -> str:
    """A number of seconds in days, or in hours below two days."""
    return f"{value / 86400:.4g} days" if value >= 172_800 else f"{value / 3600:.4g} hours"


def plain(value: Any) -> str:
    """Text in one line that says what it says in HTML, without what is not for reading."""
    text = printable(str(value))
    return escape(text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…")


@dataclass(frozen=True)
class View:
    """A place in a verdict: its value and the JSON pointer that leads there."""

    value: Any
    pointer: str = ""

    def __bool__(self) -> bool:
        """Whether anything is there; a zero is."""
        return self.value is not None and self.value not in ({}, [], "")

    def __getitem__(self, key: str | int) -> View:
        """What stands under a key or place; an empty view where nothing does."""
        part = str(key).replace("~", "~0").replace("/", "~1")
        value = None
        if isinstance(self.value, Mapping):
            value = self.value.get(key)
        elif isinstance(self.value, Sequence) and isinstance(key, int) and key < len(self.value):
            value = self.value[key]
        return View(value, f"{self.pointer}/{part}")

    def items(self) -> Iterator[tuple[str, View]]:
        """The keys of an object with what stands under each."""
        for key in self.value or {}:
            yield str(key), self[key]

    def entries(self) -> Iterator[View]:
        """The entries of a list."""
        for i in range(len(self.value or ())):
            yield self[i]

    def number(self, form: Callable[[float], str] = shown, nothing: str = NOTHING) -> str:
        """The figure as HTML; what is no number (`"Infinity"`) as its text."""
        value = self.value
        if value is None:
            return nothing
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.text()
        return (
            f'<data class="figure" data-path="{escape(self.pointer)}" value="{value!r}">'
            f"{escape(form(value))}</data>"
        )

    def text(self) -> str:
        """The text as HTML; a number in it is the figure that it is."""
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            return self.number()
        value = self.value
        if isinstance(value, bool):
            value = "true" if value else "false"
        return f'<span data-path="{escape(self.pointer)}">{plain(value)}</span>'

    def key(self, name: str) -> str:
        """One of this object's keys as HTML."""
        return f'<span class="key" data-path="{escape(self.pointer)}">{plain(name)}</span>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table; head and cells are HTML. The first cell of a row names it."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    named = f"<caption>{caption}</caption>" if caption else ""
    return (
        f'<div class="table"><table>{named}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def section(title: str, *parts: str) -> str:
    """A chapter of the card; nothing when it has nothing to say."""
    body = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def figure(title: str, picture: str, numbers: str, *, beside: bool = False) -> str:
    """A picture with its table of numbers, folded below it or open beside it."""
    opened, where = (" open", ' class="beside"') if beside else ("", "")
    return (
        f"<figure{where}><figcaption>{escape(title)}</figcaption>{picture}"
        f"<details{opened}><summary>Numbers</summary>{numbers}</details></figure>"
    )


def listed(entries: Sequence[str]) -> str:
    """A list of HTML entries."""
    return f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>" if entries else ""
