"""A console that lets nobody else's text speak to the terminal.

Object keys, cells of data files and log lines are written by others. An escape sequence in them
could clear the screen, change the window's title or colour a failure green.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# All control codes but tab and line feed, what turns the direction of writing, and halves of pairs.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with a mark in the place of what a terminal would obey."""
    return CONTROL.sub("�", text)


def escaped(document: str) -> str:
    """A JSON document with the same characters in JSON's own escapes."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class Terminal(Console):
    """Rich's console; only its own styles and movements reach the terminal as codes."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What a renderable becomes, made visible."""
        for segment in super().render(renderable, options):
            if segment.control or not CONTROL.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
