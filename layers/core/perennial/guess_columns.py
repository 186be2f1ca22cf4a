"""Looks at a CSV file and guesses its columns: names, types, levels, each with its reason."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from perennial.domain.schema import BadValue, Column

DELIMITERS = ",;\t|"
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-")
IDENTIFIER = re.compile(r"[A-Za-z_][\w .:()%/-]{0,60}")
BOOL_TEXTS = {"true", "false", "yes", "no"}
LOOKED_AT = 200_000  # rows
MOST_DISTINCT = 2_000
MOST_LEVELS = 60
FEW_LEVELS = 20
ROWS_PER_LEVEL = 20


class NotUnderstood(ValueError):
    """A file that no columns can be guessed from; the message says why."""


@dataclass
class GuessedColumn:
    """One column: what it seems to be and why. `counts` are its texts, unless they are many."""

    name: str
    type: str = "string"
    why: str = ""
    required: bool = True
    levels: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    many: bool = False
    absent: Counter[str] = field(default_factory=Counter)

    @property
    def distinct(self) -> int:
        """How many different values there are, missing ones apart."""
        return len(self.counts)

    def forget_level(self, text: str) -> None:
        """Count a text as "no value" here too, because it is that in another column."""
        if text in self.counts:
            self.absent[text] = self.counts.pop(text)
            self.levels = tuple(level for level in self.levels if level != text)
            self.required = False


@dataclass(frozen=True)
class GuessedFile:
    """A file's shape."""

    delimiter: str
    header: bool
    header_why: str
    columns: list[GuessedColumn]
    missing: tuple[str, ...]
    rows: int
    notices: tuple[str, ...]


def guess_file(path: Path) -> GuessedFile:
    """Guess everything about a CSV file (plain or gzip); raises `NotUnderstood`."""
    with _opened(path) as file:
        lines = [line for line in islice(file, 200) if line.strip()]
        if not lines:
            raise NotUnderstood(f"{path} holds no rows")
        delimiter = _delimiter(lines)
        reader = csv.reader(chain(lines, file), delimiter=delimiter, skipinitialspace=True)
        try:
            return _guess(path, delimiter, (row for row in reader if row))
        except (csv.Error, UnicodeDecodeError) as error:
            raise NotUnderstood(f"{path} is no CSV file of UTF-8 text: {error}") from None


def _opened(path: Path) -> io.TextIOBase:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(lines: Sequence[str]) -> str:
    """The one that cuts most lines into the same number of fields, more than one."""
    best, score = ",", 0
    for candidate in DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=candidate))
        width, count = widths.most_common(1)[0]
        if width > 1 and count * width > score:
            best, score = candidate, count * width
    return best


def _guess(path: Path, delimiter: str, rows: Iterator[list[str]]) -> GuessedFile:
    first = [cell.strip() for cell in next(rows)]
    sample = list(islice(rows, 1000))
    width = len(first)
    if width < 2:
        raise NotUnderstood(f"{path} has one column only; a label and a feature are needed")
    header, why = _header(first, [row for row in sample if len(row) == width])
    names = _names(first) if header else [f"column_{i}" for i in range(1, width + 1)]
    columns = [GuessedColumn(name) for name in names]
    count = odd = 0
    body = chain([] if header else [first], sample, rows)
    for row in islice(body, LOOKED_AT):
        if len(row) != width:
            odd += 1
            continue
        count += 1
        for column, cell in zip(columns, row, strict=True):
            _see(column, cell.strip())
    if not count:
        raise NotUnderstood(f"{path} holds a header and no rows")
    for column in columns:
        _settle(column, count)
    # A dash is a level among texts; it means "no value" only where numbers stand.
    missing = tuple(token for token in MISSING if token and any(token in c.absent for c in columns))
    for column in columns if "-" in missing else ():
        column.forget_level("-")
    notices = [f"{odd} lines have another number of fields than the first"] if odd else []
    return GuessedFile(delimiter, header, why, columns, missing, count, tuple(notices))


def _names(first: Sequence[str]) -> list[str]:
    if len(set(first)) != len(first):
        twice = next(name for name in first if list(first).count(name) > 1)
        raise NotUnderstood(f"the header has the column {twice!r} twice")
    return list(first)


def _see(column: GuessedColumn, text: str) -> None:
    if column.many and text not in MISSING:
        column.counts[text] = 1
        if len(column.counts) > 2 * MOST_DISTINCT:
            # The newest texts are enough to try types on.
            column.counts = Counter(dict(list(column.counts.items())[-MOST_DISTINCT:]))
        return
    column.counts[text] += 1
    column.many = len(column.counts) > MOST_DISTINCT


def _header(first: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether the first line names the columns: it does where it does not fit what follows."""
    for i, cell in enumerate(first):
        below = [row[i].strip() for row in body if row[i].strip() not in MISSING]
        if below and not _fits("float", cell) and all(_fits("float", text) for text in below):
            return True, f'"{cell}" stands above numbers only'
    if any(_fits("float", cell) for cell in first):
        return False, "the first line holds numbers, as the others do"
    if all(IDENTIFIER.fullmatch(cell) for cell in first) and len(set(first)) == len(first):
        seen = {row[i].strip() for row in body for i in range(len(first))}
        if not seen & set(first):
            return True, "the first line holds names that no other line has"
    return False, "the first line looks like the others"


def _fits(kind: str, text: str) -> bool:
    try:
        Column("x", kind).parse(text)
    except BadValue:
        return False
    return True


def _settle(column: GuessedColumn, rows: int) -> None:
    """Decide a column's type from its texts, once the missing ones are set aside."""
    present = {t: n for t, n in column.counts.items() if t not in MISSING}
    kind, why = _kind(list(present), rows)
    if kind in ("category", "string"):
        # A dash may be a level; only what no level looks like counts as missing there.
        present = {t: n for t, n in column.counts.items() if t not in MISSING or t == "-"}
    column.absent = Counter({t: n for t, n in column.counts.items() if t not in present})
    column.counts = Counter(present)
    column.type, column.why = kind, why
    column.required = not column.absent
    if kind == "category":
        column.levels = tuple(sorted(present))
    if column.absent:
        column.why += f"; {sum(column.absent.values()):,} have no value"


def _kind(texts: Sequence[str], rows: int) -> tuple[str, str]:
    if not texts:
        return "string", "no value in any row"
    if {text.lower() for text in texts} <= BOOL_TEXTS:
        return "bool", "only " + ", ".join(sorted(texts))
    for kind, why in (
        ("int", "whole numbers"),
        ("float", "numbers"),
        ("date", "dates"),
        ("timestamp", "times"),
    ):
        if all(_fits(kind, text) for text in texts):
            return kind, why
    if len(texts) <= FEW_LEVELS or (len(texts) <= MOST_LEVELS <= rows / ROWS_PER_LEVEL):
        return "category", f"{len(texts)} different texts in {rows:,} rows"
    return "string", f"{len(texts):,} or more different texts in {rows:,} rows"
