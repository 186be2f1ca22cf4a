"""How commands speak: tables and lines for people on stdout, or one JSON document for scripts."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.terminal import Terminal, escaped, visible

PLAIN_WIDTH = 160  # where output goes to a file or a pipe, lines are not folded to 80 columns


def console_for(stream: IO[str]) -> Console:
    """A console on this stream: coloured and folded on a terminal, plain and wide elsewhere."""
    if stream.isatty():
        return Terminal(file=stream, highlight=False)
    return Terminal(file=stream, highlight=False, width=PLAIN_WIDTH)


class Screen:
    """Where one command writes: facts to stdout, what only people need to stderr with --json."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = console_for(sys.stdout)
        self.err = console_for(sys.stderr)

    @property
    def people(self) -> Console:
        """Where words for people go: stdout must stay one JSON document when --json is set."""
        return self.err if self.as_json else self.out

    def line(self, text: str = "") -> None:
        """Print one line for people; rich markup is read, so escape what others wrote."""
        self.people.print(text, soft_wrap=True)

    def document(self, value: Any) -> None:
        """Print the one JSON document of a command that was called with --json."""
        text = json.dumps(plain(value), indent=2, ensure_ascii=False)
        self.out.file.write(escaped(text) + "\n")


def plain(value: Any) -> Any:
    """Turn dataclasses, enums, paths and tuples into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()
) -> Table:
    """A table with a quiet head; the named columns are aligned right; cells are taken literally."""
    result = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        result.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        result.add_row(
            *(cell if isinstance(cell, Styled) else escape(visible(str(cell))) for cell in row)
        )
    return result


class Styled(str):
    """A cell whose text is rich markup on purpose."""

    __slots__ = ()


def duration(seconds: float) -> str:
    """Words for a time span: '0.4 s', '38 s', '4 min 10 s', '3 h 5 min', '2 d 4 h'."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, unit, below, below_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {below_unit}" if rest else "")
    return f"{whole} s"


def ago(moment_ms: int | None, now: float | None = None) -> str:
    """'3 min ago' for a time in epoch milliseconds; '-' for none."""
    if moment_ms is None:
        return "-"
    return f"{duration((time.time() if now is None else now) - moment_ms / 1000)} ago"


def until(moment_ms: int | None, now: float | None = None) -> str:
    """'in 3 min (14:05:10 UTC)' for a time to come, 'now' for one that has passed."""
    if moment_ms is None:
        return "-"
    seconds = moment_ms / 1000 - (time.time() if now is None else now)
    return "now" if seconds <= 0 else f"in {duration(seconds)} ({clock(moment_ms)})"


def clock(moment_ms: int | None) -> str:
    """'14:05:10 UTC' today, with the date on other days; '-' for none."""
    if moment_ms is None:
        return "-"
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    today = datetime.now(UTC).date() == moment.date()
    return moment.strftime("%H:%M:%S UTC" if today else "%Y-%m-%d %H:%M UTC")


def size(count: int) -> str:
    """Words for a number of bytes: '409 kB', '1.2 MB'."""
    if count < 1_000:
        return f"{count} B"
    for unit, divisor in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < divisor * 1_000 or unit == "GB":
            value = count / divisor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{count} B"


def count(number: int, noun: str, plural: str = "") -> str:
    """'1 signal', '3 signals', '32,561 rows'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
