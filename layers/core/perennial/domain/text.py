"""Text that others wrote (object keys, cells, levels) where people read it as ours."""

from __future__ import annotations

import json
import re
from typing import Any

_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")  # what is left of them once JSON has put pairs together
_MARKDOWN = re.compile(r"([\\`*\[\]<>|])")


def printable(text: str) -> str:
    """The text in one line, without control codes and what turns the direction of writing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def parse_json(text: str) -> Any:
    r"""What a JSON text holds; raises ValueError, also for half of a surrogate pair (`\ud800`).

    JSON can write it and UTF-8 cannot: what reads texts further on (Arrow, SQLite) would fail, and
    with it all that is read with this text.
    """
    found = json.loads(text)
    if _ESCAPED_HALF.search(text) and _HALF.search(json.dumps(found, ensure_ascii=False)):
        raise ValueError("half of a surrogate pair is no text")
    return found


def lines_of(text: str) -> list[str]:
    """The lines of JSON lines or of a table: a line feed ends one, with a carriage return or not.

    `str.splitlines` cuts at more, such as U+0085 and U+2028, which a text in JSON or a cell of CSV
    may hold.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def markdown(text: str) -> str:
    """The text as a cell of a Markdown table that says what it says and forms nothing."""
    return _MARKDOWN.sub(r"\\\1", printable(text))
