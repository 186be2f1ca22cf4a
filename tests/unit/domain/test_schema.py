"""Columns: what a cell may hold, and what a header may look like."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.schema import (
    BadHeader,
    BadValue,
    Column,
    match_header,
    match_width,
    text_of,
)

COLUMNS = (Column("age", "int"), Column("sex", "category", levels=("F", "M")), Column("y", "float"))

VALUES: list[tuple[str, str, Any]] = [
    ("int", "39", 39),
    ("int", " -7 ", -7),
    ("int", "+3", 3),
    ("int", "39.0", 39),
    ("int", "9223372036854775807", 2**63 - 1),
    ("float", "1e-3", 0.001),
    ("float", ".5", 0.5),
    ("float", "5.", 5.0),
    ("bool", "TRUE", True),
    ("bool", "no", False),
    ("bool", "0", False),
    ("date", "2026-02-28", date(2026, 2, 28)),
    ("timestamp", "2026-11-20T10:00:00Z", datetime(2026, 11, 20, 10, tzinfo=timezone.utc)),
    ("timestamp", "2026-11-20 12:00+02:00", datetime(2026, 11, 20, 10, tzinfo=timezone.utc)),
    ("string", " a b ", "a b"),
]
REFUSED: list[tuple[str, str]] = [
    ("int", "1_000"),
    ("int", "39.5"),
    ("int", "1e3"),
    ("int", "9223372036854775808"),
    ("int", "\u0663"),
    ("float", "nan"),
    ("float", "inf"),
    ("float", "1e999"),
    ("float", "1,5"),
    ("float", "0x10"),
    ("bool", "maybe"),
    ("date", "2026-02-30"),
    ("date", "20260228"),
    ("timestamp", "yesterday"),
    ("timestamp", "2026-11-20T25:00:00Z"),
    ("string", "x" * 100_001),
]


@pytest.mark.parametrize(("kind", "text", "value"), VALUES)
def test_values_are_read(kind: str, text: str, value: Any) -> None:
    """Each type's spellings."""
    found = Column("x", kind).parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_other_texts_are_refused(kind: str, text: str) -> None:
    """What Python would read generously is no value here; the reason is short."""
    with pytest.raises(BadValue) as caught:
        Column("x", kind).parse(text)
    assert len(str(caught.value)) < 150


def test_bounds_are_inclusive() -> None:
    """The bounds themselves are good values."""
    column = Column("x", "float", minimum=0, maximum=1)
    assert (column.parse("0"), column.parse("1")) == (0.0, 1.0)
    for text in ("-0.001", "1.001"):
        with pytest.raises(BadValue, match=r"is (below|above) the m"):
            column.parse(text)


def test_levels_are_closed_unless_open_and_aliases_count() -> None:
    """A closed category refuses others; an open one takes them; an alias is its level."""
    closed = Column("x", "category", levels=("a", "b"), aliases=(("A.", "a"),))
    assert closed.parse("A.") == "a"
    with pytest.raises(BadValue, match='"c" is none of the levels a, b'):
        closed.parse("c")
    assert Column("x", "category", levels=("a",), open=True).parse("c") == "c"


def test_missing_values_need_leave() -> None:
    """A required column refuses them, another one answers None."""
    missing = frozenset({"", "?"})
    assert Column("x", "int", required=False).parse(" ? ", missing) is None
    with pytest.raises(BadValue, match="one is required"):
        Column("x", "int").parse("?", missing)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", 3.0, 3),
        ("int", "3", 3),
        ("float", 3, 3.0),
        ("float", Decimal("1.50"), 1.5),
        ("string", 7, "7"),
        ("bool", True, True),
        ("date", date(2026, 1, 2), date(2026, 1, 2)),
    ],
)
def test_typed_values_are_accepted(kind: str, value: Any, expected: Any) -> None:
    """A request in JSON and a row of Parquet pass the same checks as text."""
    assert Column("x", kind).accept(value) == expected


@pytest.mark.parametrize(
    ("kind", "value"), [("int", True), ("int", [1]), ("date", 5), ("int", 1.5)]
)
def test_typed_values_of_another_kind_are_refused(kind: str, value: Any) -> None:
    """A truth value is no number, a list no cell."""
    with pytest.raises(BadValue):
        Column("x", kind).accept(value)


@pytest.mark.parametrize("value", [None, math.nan])
def test_absent_typed_values_are_missing(value: Any) -> None:
    """Null and not-a-number mean no value."""
    assert Column("x", "float", required=False).accept(value) is None


@given(
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates()
    | st.datetimes(
        min_value=datetime(1000, 1, 1),
        timezones=st.just(timezone.utc) | st.just(timezone(timedelta(hours=5, minutes=30))),
    )
)
def test_text_of_a_value_reads_back_as_the_value(value: Any) -> None:
    """No digit and no moment is lost between typed files and text."""
    kinds = {int: "int", float: "float", date: "date", datetime: "timestamp"}
    assert Column("x", kinds[type(value)]).parse(text_of(value)) == value


@given(st.sampled_from(["int", "float", "bool", "date", "timestamp", "category"]), st.text())
def test_any_text_is_a_value_or_a_reason(kind: str, text: str) -> None:
    """No cell breaks the check, and a value that was read is a value when it comes typed."""
    column = Column("x", kind, open=kind == "category")
    try:
        value = column.parse(text)
    except BadValue:
        return
    assert column.accept(value) == value


def test_headers_are_matched_by_name() -> None:
    """Blanks, a byte order mark, another order and extra columns are accepted."""
    plain = match_header(COLUMNS, ["age", "sex", "y"])
    assert (plain.positions, plain.notices) == ((0, 1, 2), ())
    turned = match_header(COLUMNS, ["\ufeffy", " sex ", "extra", "age"])
    assert turned.positions == (3, 1, 0)
    assert turned.notices == (
        'ignored column "extra" not in the settings',
        "the columns stand in another order; read by name",
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (["age", "y"], "missing column sex"),
        (["age", "sexx", "y"], "renamed? sexx instead of sex"),
        (["age", "sex", "y", "y"], "column y is there twice"),
        (["age;sex;y"], "separated by semicolons"),
        (["a\tb\tc"], "separated by tabs"),
        (["39", "F", "1.5"], "needs data.header: false"),
        ([], "none of the columns"),
    ],
)
def test_headers_that_do_not_match_say_why(found: list[str], words: str) -> None:
    """The message names the columns."""
    with pytest.raises(BadHeader) as caught:
        match_header(COLUMNS, found)
    assert words in str(caught.value)


def test_files_without_header_must_have_the_width() -> None:
    """Position is all there is to go by."""
    assert match_width(COLUMNS, 3).positions == (0, 1, 2)
    with pytest.raises(BadHeader, match=r"1 column in .* another delimiter"):
        match_width(COLUMNS, 1)
    with pytest.raises(BadHeader, match=r"expected 3 \(age to y\)"):
        match_width(COLUMNS, 4)


@given(st.permutations(["age", "sex", "y", "one", "two"]))
def test_every_order_finds_its_columns(names: list[str]) -> None:
    """The positions point at the names."""
    header = match_header(COLUMNS, names)
    assert [names[position] for position in header.positions] == ["age", "sex", "y"]
