"""The columns of a model's data: what a cell may hold, what a header may look like.

Every value check of the project is here and works on one cell's text, so that a check of a
million rows (through each column's distinct texts), of one request, and of a test agree.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from perennial.domain.text import printable

TYPES = ("int", "float", "string", "category", "bool", "date", "timestamp")
NUMERIC = ("int", "float")
# int64 is what frames and Parquet hold; a larger integer would silently lose digits.
INT64 = 2**63
LONGEST_TEXT = 100_000
# Among so many foreign columns a renamed one is looked for; a hostile header has millions.
MOST_COMPARED = 1000

INTEGER_TEXT = re.compile(r"[+-]?[0-9]{1,19}")
# An integral float is an int as well: other tools write 39 as 39.0 once a column had a gap.
INTEGRAL_TEXT = re.compile(r"([+-]?[0-9]{1,19})\.0*")
NUMBER_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
DATE_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIMESTAMP_TEXT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{3}|\.[0-9]{6})?)?"
    r"([+-][0-9]{2}:[0-9]{2})?"
)
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}

Value = int | float | str | bool | date | None  # a datetime is a date


class BadValue(ValueError):
    """A cell that its column does not accept; the message is the reason."""


@dataclass(frozen=True)
class Column:
    """One column: its type and what a value must keep.

    `levels` are a category's values; `open` accepts others as well. `aliases` are other
    spellings of a level. `minimum` and `maximum` are inclusive. A column that is not
    `required` may lack a value.
    """

    name: str
    type: str
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    levels: tuple[str, ...] = ()
    open: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    _levels: frozenset[str] = field(init=False, repr=False, compare=False)
    _aliases: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_levels", frozenset(self.levels))
        object.__setattr__(self, "_aliases", dict(self.aliases))

    @property
    def numeric(self) -> bool:
        """Say whether the values are numbers."""
        return self.type in NUMERIC

    def parse(self, text: str, missing: frozenset[str] = frozenset({""})) -> Value:
        """The value of a cell's text, None when it is missing; raises `BadValue`.

        Blanks around the text do not count. `missing` holds the texts that mean "no value".
        """
        stripped = text.strip()
        if stripped in missing:
            if self.required:
                raise BadValue("no value, but one is required")
            return None
        return self.check(self._converted(stripped))

    def accept(self, value: Any, missing: frozenset[str] = frozenset({""})) -> Value:
        """The value of a cell that came typed (JSON, Parquet, a request); raises `BadValue`."""
        try:
            text = text_of(value)
        except TypeError as error:
            raise BadValue(f"{error} is not {self.wanted}") from None
        return self.parse(text, missing | {""})

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        return {
            "int": "a whole number",
            "float": "a number",
            "string": "text",
            "category": "a level",
            "bool": "true or false",
            "date": "a date like 2026-11-20",
            "timestamp": "a time like 2026-11-20T10:00:00Z",
        }[self.type]

    def check(self, value: Value) -> Value:
        """Answer the value if it keeps the column's bounds and levels; raises `BadValue`."""
        if self.type == "category":
            level = self._aliases.get(str(value), str(value))
            if level not in self._levels and not self.open:
                raise BadValue(f"{_quoted(level)} is none of the levels {_listed(self.levels)}")
            return level
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise BadValue(f"{value} is below the minimum {number_text(self.minimum)}")
            if self.maximum is not None and value > self.maximum:
                raise BadValue(f"{value} is above the maximum {number_text(self.maximum)}")
        return value

    def _converted(self, text: str) -> Value:
        if len(text) > LONGEST_TEXT:
            raise BadValue(f"{len(text):,} characters; at most {LONGEST_TEXT:,} are read")
        value = _CONVERTERS[self.type](text)
        if value is None:
            raise BadValue(f"{_quoted(text)} is not {self.wanted}")
        return value

    def to_json(self) -> dict[str, Any]:
        """The column as `model.yaml` writes it; keys that say nothing are left out."""
        document: dict[str, Any] = {"type": self.type}
        if not self.required:
            document["required"] = False
        if self.minimum is not None:
            document["min"] = self.minimum
        if self.maximum is not None:
            document["max"] = self.maximum
        if self.levels:
            document["levels"] = list(self.levels)
        if self.open:
            document["open"] = True
        if self.aliases:
            document["aliases"] = dict(self.aliases)
        return document


def _int(text: str) -> int | None:
    match = INTEGRAL_TEXT.fullmatch(text)
    digits = match[1] if match else text
    if not INTEGER_TEXT.fullmatch(digits):
        return None
    value = int(digits)
    return value if -INT64 <= value < INT64 else None


def _float(text: str) -> float | None:
    if not NUMBER_TEXT.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if DATE_TEXT.fullmatch(text) else None
    except ValueError:
        return None


def _timestamp(text: str) -> datetime | None:
    """A time in UTC; a text without an offset is read as UTC. Python 3.10 knows no `Z`."""
    offset = text[:-1] + "+00:00" if text.endswith("Z") else text
    if not TIMESTAMP_TEXT.fullmatch(offset):
        return None
    try:
        moment = datetime.fromisoformat(offset)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


_CONVERTERS: Mapping[str, Callable[[str], Value]] = {
    "int": _int,
    "float": _float,
    "string": str,
    "category": str,
    "bool": lambda text: BOOLS.get(text.lower()),
    "date": _date,
    "timestamp": _timestamp,
}


def text_of(value: Any) -> str:
    """The text of a cell that came typed, such that parsing it gives the value back.

    "" for a missing one. Raises TypeError, whose message names the kind, for lists and objects.
    """
    if isinstance(value, str):
        return value
    if value is None or value != value:  # noqa: PLR0124 - only not-a-number differs from itself
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"a {type(value).__name__}")


def number_text(value: float) -> str:
    """The canonical decimal text of a number: 3 for 3.0, 0.1 for 0.1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _quoted(text: str) -> str:
    return f'"{printable(text)}"' if len(text) <= 60 else f'"{printable(text[:59])}…"'


def _listed(levels: Sequence[str]) -> str:
    few = ", ".join(levels[:6])
    return few if len(levels) <= 6 else f"{few}, … ({len(levels)} in all)"


@dataclass(frozen=True)
class Header:
    """How a file's columns map to the wanted ones.

    `positions[i]` is where column i of the schema stands in the file, `width` how many columns
    the file has. `notices` name what was accepted all the same.
    """

    positions: tuple[int, ...]
    width: int
    notices: tuple[str, ...] = ()


class BadHeader(ValueError):
    """A file whose columns do not match; the message names each column."""


def match_header(columns: Sequence[Column], found: Sequence[str]) -> Header:
    """Find the wanted columns in a header; reordered are accepted, extra ones are a notice.

    Blanks around a name, and a byte order mark before the first, do not count. Raises
    `BadHeader` when a column is missing, renamed or there twice.
    """
    names = [name.strip().lstrip("\ufeff").strip() for name in found]
    wanted = [column.name for column in columns]
    counts, known = Counter(names), set(wanted)
    twice = sorted(name for name in known if counts[name] > 1)
    if twice:
        raise BadHeader(f"column {', '.join(twice)} is there twice")
    missing = [name for name in wanted if name not in counts]
    extra = [name for name in names if name not in known]
    if missing:
        raise BadHeader(_missing_words(missing, extra, names, wanted))
    notices = []
    if extra:
        notices.append(ignored_words(extra))
    if [name for name in names if name in known] != wanted:
        notices.append("the columns stand in another order; read by name")
    return Header(tuple(names.index(name) for name in wanted), len(names), tuple(notices))


def match_width(columns: Sequence[Column], width: int) -> Header:
    """The mapping of a file without header: the columns in the order of the settings."""
    if width != len(columns):
        raise BadHeader(
            f"{width} {'column' if width == 1 else 'columns'} in the first line; "
            f"expected {len(columns)} ({columns[0].name} to {columns[-1].name})"
            + ("; another delimiter than data.delimiter?" if width == 1 else "")
        )
    return Header(tuple(range(width)), width)


def _missing_words(
    missing: Sequence[str], extra: Sequence[str], names: Sequence[str], wanted: Sequence[str]
) -> str:
    if len(names) == 1 and len(wanted) > 1:
        for delimiter, word in DELIMITERS.items():
            if names[0].count(delimiter) >= len(wanted) // 2:
                return (
                    f"one column only; the line is separated by {word}, "
                    "which is not what data.delimiter says"
                )
    if len(missing) == len(wanted):
        return (
            f"none of the columns is there; the first line begins {_quoted(','.join(names[:60]))}. "
            "A file without a header needs data.header: false"
        )
    words = f"missing column {', '.join(missing)}"
    renamed = []
    few = [name for name in extra[:MOST_COMPARED] if len(name) <= MOST_COMPARED]
    for name in missing:
        close = difflib.get_close_matches(name, few, 1, 0.6)
        if close:
            renamed.append(f"{printable(close[0])} instead of {name}")
    if renamed:
        words += f" (renamed? {', '.join(renamed)})"
    elif extra:
        words += f"; there is {_counted(extra)} not in the settings"
    return words


def ignored_words(names: Iterable[str]) -> str:
    """The notice that a file has columns which the settings do not."""
    return f"ignored {_counted(names)} not in the settings"


def _counted(names: Iterable[str]) -> str:
    listed = list(names)
    few = ", ".join(_quoted(name) for name in listed[:5])
    if len(listed) == 1:
        return f"column {few}"
    return f"{len(listed)} columns {few}{', …' if len(listed) > 5 else ''}"
