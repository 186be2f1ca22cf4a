"""Text that others wrote (object keys, cells, levels) where people read it as ours."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*\[\]<>|])")


def printable(text: str) -> str:
    """The text in one line, without control codes and what turns the direction of writing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def lines_of(text: str) -> list[str]:
    """The lines of JSON lines or of a table: a line feed ends one, with a carriage return or not.

    `str.splitlines` cuts at more, such as U+0085 and U+2028, which a text in JSON or a cell of CSV
    may hold.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def markdown(text: str) -> str:
    """The text as a cell of a Markdown table that says what it says and forms nothing."""
    return _MARKDOWN.sub(r"\\\1", printable(text))
