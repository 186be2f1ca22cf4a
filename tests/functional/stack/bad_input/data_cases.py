"""Objects that a producer may land, and what becomes of each in the one run that judges them all.

Every row of the table lands while the model is paused, so that one run finds them together.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PREFIX = "incoming/census/"
LONGEST = 1024  # bytes of UTF-8 that an S3 key may have
GOOD_ROWS = 20  # of genuine data in each object that is to be read

Lines = Sequence[str]


@dataclass(frozen=True)
class Object:
    """One object: its key below the model's prefix, its bytes, and what is expected of it.

    `then` is what happens to it before the run: a second version, `deleted`, or `erased` (its
    version is removed for good). `fates` are the states of its versions, oldest first. `notice`:
    what the run's report says of an object that it read.
    """

    key: str
    make: Callable[[Lines], bytes]
    fates: tuple[str, ...] = ("quarantined",)
    reason: str = ""
    then: Callable[[Lines], bytes] | str | None = None
    notice: str = ""

    @property
    def is_read(self) -> bool:
        """Whether its rows are to be in the run's dataset."""
        return self.fates[-1] == "consumed"


def text(lines: Lines) -> bytes:
    """Lines as a file."""
    return ("\n".join(lines) + "\n").encode()


def cell(line: str, column: int, value: str) -> str:
    """A line with one field replaced."""
    return ",".join(value if i == column else c for i, c in enumerate(line.split(",")))


def without(lines: Lines, column: int) -> list[str]:
    """Lines without one column."""
    return [",".join(c for i, c in enumerate(line.split(",")) if i != column) for line in lines]


def longest(front: str, ending: str) -> str:
    """A key below the prefix that together with it has exactly as many bytes as S3 allows."""
    left = LONGEST - len((PREFIX + front + ending).encode())
    letters, odd = divmod(left, len("ü".encode()))
    return front + "ü" * letters + "u" * odd + ending


READ, BAD = ("consumed",), ("quarantined",)

FILES = [
    Object("empty.csv", lambda _: b"", BAD, "the file is empty"),
    Object("empty.csv.gz", lambda _: gzip.compress(b""), BAD, "it is empty"),
    Object("header.csv", lambda g: text(g[:1]), BAD, "a header and no rows"),
    Object("missing.csv", lambda g: text(without(g, 3)), BAD, "missing column education"),
    Object(
        "extra.csv",
        lambda g: text([g[0] + ",note", *(line + ",x" for line in g[1:])]),
        READ,
        notice='ignored column "note"',
    ),
    Object(
        "renamed.csv",
        lambda g: text([g[0].replace("education_num", "education_number"), *g[1:]]),
        BAD,
        "education_number instead of education_num",
    ),
    Object(
        "reordered.csv",
        lambda g: text([",".join(reversed(line.split(","))) for line in g]),
        READ,
        notice="another order",
    ),
    Object(
        "types.csv",
        lambda g: text([*g[:3], cell(g[3], 0, "thirty-nine"), *g[4:]]),
        BAD,
        'line 4, age: "thirty-nine" is not a whole number',
    ),
    Object(
        "delimiter.csv",
        lambda g: text([line.replace(",", ";") for line in g]),
        BAD,
        "separated by semicolons",
    ),
    Object(
        "binary.csv", lambda g: text(g[:2]) + bytes(range(256)) * 40, BAD, "line 3 holds binary"
    ),
    Object(
        "picture.csv", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, BAD, "not UTF-8"
    ),
    Object(
        "cut.csv.gz", lambda g: gzip.compress(text(g))[:-40], BAD, "ends too early; it was cut off"
    ),
    Object(
        "long.csv",
        lambda g: text([*g[:2], cell(g[2], 1, "x" * 10_000_000)]),
        BAD,
        "a field has more than 100,000 characters",
    ),
    Object(
        "one-line.csv",
        lambda _: b"x" * 10_000_000,
        BAD,
        "line 1, the header: a field has more than 100,000 characters",
    ),
]

KEYS = [
    Object("a b.csv", text, READ),
    Object("a+b.csv", text, READ),
    Object("100%.csv", text, READ),
    Object("a%2Fb%20c.csv", text, READ),
    Object("日本 smörgås 🐘.csv", text, READ),
    Object("2026//11/20/late.csv", text, READ),
    Object('"it\'s" <a>&[b]{c}=d?e#f.csv', text, READ),
    Object(longest("long/", ".csv"), text, READ),
    Object("schlecht +% ü 🐘.csv", lambda g: text(without(g, 0)), BAD, "missing column age"),
    Object(longest("bad/", ".csv"), lambda _: b"", BAD, "the file is empty"),
]

CHANGES = [
    Object(
        "mended.csv",
        lambda g: text(without(g, 0)),
        ("superseded", "consumed"),
        "overwritten before its run",
        then=text,
    ),
    Object(
        "spoilt.csv",
        text,
        ("superseded", "quarantined"),
        "overwritten before its run",
        then=lambda g: text(without(g, 0)),
    ),
    Object("deleted.csv", text, ("withdrawn",), "deleted before its run", then="deleted"),
    Object("erased.csv", text, ("withdrawn",), "deleted before its run", then="erased"),
]

LEFT_OUT = [
    Object("notes.txt", lambda _: b"by hand", ("not selected",), "data.select: *.csv, *.csv.gz"),
    Object("shouted.CSV", text, ("not selected",), "data.select: *.csv, *.csv.gz"),
]

TABLE = [*FILES, *KEYS, *CHANGES, *LEFT_OUT]

# Whole keys that no model may take: outside the prefix, or of a model that nobody pushed.
NOBODY = "census-of-nobody"
STRAY = (
    "first.csv",
    "outgoing/census/first.csv",
    "incoming/first.csv",
    "incoming/No_Model/first.csv",
    f"incoming/{NOBODY}/first.csv",
    f"incoming/{NOBODY}/second.csv",
    "incoming//first.csv",
)
