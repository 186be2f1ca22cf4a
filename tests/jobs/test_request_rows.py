"""A request's body and row, before any model: forms, casts, refusals."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.schema import BadValue, Column

from jobs.request_bodies import BadRequest, read_request
from jobs.rows import BadCell, RowCaster, expected

FEATURES = ["age", "sex", "city"]
JSON, CSV, LINES = "application/json", "text/csv", "application/jsonlines"
COLUMNS = [
    Column("i", "int", minimum=-5, maximum=100),
    Column("io", "int", required=False),
    Column("f", "float", minimum=0),
    Column("fo", "float", required=False),
    Column("c", "category", levels=("a", "b"), aliases=(("A", "a"), ("z", "gone"))),
    Column("co", "category", levels=("x", "y"), open=True, required=False),
    Column("b", "bool"),
    Column("bo", "bool", required=False),
    Column("s", "string", required=False),
    Column("d", "date", required=False),
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["a", "A", "b", "x", "z", " a ", "?", "", "true", "7", "-0", "2026-01-02"]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=1),
)


def plainly(column: Column, value: Any, missing: frozenset[str]) -> tuple[Any, str]:
    """What a frame would hold, by `Column.accept` alone; or why nothing."""
    try:
        found = column.accept(value, missing)
    except BadValue as error:
        return None, str(error)
    numeric = column.type in ("int", "float", "bool")
    if found is None:
        return (math.nan if numeric else None), ""
    if column.type == "category" and found not in column.levels:
        return None, ""
    return (float(found) if numeric and not column.required else found), ""  # type: ignore[arg-type]


@given(
    column=st.sampled_from(COLUMNS),
    value=VALUES,
    missing=st.sampled_from([("",), ("", "?"), ("", "7", "a"), ("", "true", "0")]),
)
def test_the_short_ways_give_what_the_long_way_gives(
    column: Column, value: Any, missing: tuple[str, ...]
) -> None:
    """For any value, column and texts that mean nothing: same value and type, or same refusal."""
    caster = RowCaster([column], missing)
    wanted, why = plainly(column, value, frozenset(missing))
    if why:
        with pytest.raises(BadCell) as refused:
            caster.cast({column.name: value}, 3)
        assert str(refused.value) == f"row 3, {column.name}: {why}"
        assert (refused.value.row, refused.value.column) == (3, column.name)
        return
    found = caster.cast({column.name: value})[column.name]
    assert type(found) is type(wanted)
    assert repr(found) == repr(wanted)  # not-a-number, and the sign of zero


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (COLUMNS[0], "a whole number from -5 to 100"),
        (COLUMNS[2], "a number of at least 0"),
        (COLUMNS[3], "a number, or nothing"),
        (COLUMNS[4], "one of a, b"),
        (COLUMNS[5], "a level, such as x, y, or nothing"),
        (Column("m", "int", maximum=3), "a whole number of at most 3"),
        (Column("k", "category", levels=tuple("abcdefghijklmnop")), "… (16 in all)"),
    ],
)
def test_what_a_column_expects_is_said_in_words(column: Column, words: str) -> None:
    """Type, bounds, levels, and whether a value may be missing."""
    assert words in expected(column)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"age": 1, "sex": "m", "city": null}', JSON),
        ('[{"age": 1, "sex": "m", "city": null}]', JSON),
        ('{"instances": [{"age": 1, "sex": "m", "city": null}]}', JSON),
        ('{"rows": [[1, "m", null]]}', "application/json; charset=utf-8"),
        ('[1, "m", null]', JSON),
        ('\ufeff{"age": 1, "sex": "m", "city": null}', JSON),
        ('{"age": 1, "sex": "m", "city": null}\n\n', LINES),
        ('{"features": [1, "m", null]}', LINES),
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_one_row_may_come_in_many_forms(body: str, kind: str, as_bytes: bool) -> None:
    """Object, list, instances, by position, JSON lines; as text or as bytes."""
    asked = read_request(body.encode() if as_bytes else body, kind, FEATURES)
    assert list(asked.rows) == [{"age": 1, "sex": "m", "city": None}]
    assert not asked.explain


@pytest.mark.parametrize(
    "body",
    ["1,m,Rome\n", "1,m,Rome", '1,"m", "Rome"\r\n', "city,age,sex\nRome,1,m\n", "\n1,m,Rome\n\n"],
)
def test_csv_is_read_by_position_or_by_a_header(body: str) -> None:
    """Quotes, line ends, blank lines; a header in any order."""
    asked = read_request(body, CSV, FEATURES)
    assert list(asked.rows) == [{"age": "1", "sex": "m", "city": "Rome"}]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x1c"])
def test_only_a_newline_ends_a_line_of_json(mark: str) -> None:
    """A text may hold what Python takes for a line's end; JSON allows it unescaped."""
    line = json.dumps({"age": 1, "sex": "m", "city": f"a{mark}b"}, ensure_ascii=False)
    if mark == "\x1c":  # a control character is always escaped
        assert mark not in line
    asked = read_request(f"{line}\r\n{line}\n", LINES, FEATURES)
    assert [row["city"] for row in asked.rows] == [f"a{mark}b"] * 2


def test_other_columns_are_named_and_explanations_asked_for() -> None:
    """What the schema does not have is told back; `explain` is an option, not a column."""
    one = {"age": 1, "sex": "m", "city": "Rome", "zip": 3}
    asked = read_request(json.dumps({"instances": [one, one], "explain": True}), JSON, FEATURES)
    assert (len(asked.rows), asked.explain, asked.ignored) == (2, True, ("zip",))
    bare = read_request(json.dumps({**one, "explain": True}), JSON, FEATURES)
    assert (bare.explain, bare.ignored) == (True, ("zip",))
    column = read_request('{"explain": "x", "instances": 1}', JSON, ["explain", "instances"])
    assert (list(column.rows), column.explain) == ([{"explain": "x", "instances": 1}], False)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        ("", JSON, 400, 'empty; expected {"instances": [{"age": …}, …]}'),
        (" \n", CSV, 400, "empty; expected 3 values a line: age,sex,city"),
        ("\n", LINES, 400, "empty"),
        ("{", JSON, 400, "the body is not JSON"),
        ('{"age": 1}\n{', LINES, 400, "line 2 is not JSON"),
        ('{"age": NaN}', JSON, 400, "NaN is not a JSON value; use null"),
        ('{"age": -Infinity}', JSON, 400, "-Infinity is not a JSON value"),
        ("[" * 200_000, JSON, 400, "nested too deeply"),
        ('{"a":' * 200_000, JSON, 400, "nested too deeply"),
        ('{"age": ' + "9" * 5000 + "}", JSON, 400, "not JSON"),
        ("3", JSON, 400, "holds a int"),
        ('"x"', JSON, 400, "holds a str"),
        ("null", JSON, 400, "holds a NoneType"),
        ("[]", JSON, 400, "a list with no row"),
        ('{"instances": []}', JSON, 400, "a list with no row"),
        ('{"instances": {"age": 1}}', JSON, 400, "holds a dict"),
        ('{"instances": [{"age": 1}, 3]}', JSON, 400, "row 2 is a int; expected an object"),
        ('{"instances": [[1, 2]]}', JSON, 400, "row 1 has 2 values; expected 3: age,sex,city"),
        ('{"instances": [[1,2,3]], "explian": 1}', JSON, 400, "'explian' beside instances"),
        ('{"instances": [[1,2,3]], "explain": 1}', JSON, 400, "explain must be true or false"),
        ("1,m\n", CSV, 400, "row 1 has 2 values; expected 3"),
        ("1,m,Rome\n1,m,Rome,x\n", CSV, 400, "row 2 has 4 values"),
        ("age,sex,city\n", CSV, 400, "a header and no row"),
        ('1,"m,Rome', CSV, 400, "not CSV"),
        (b"\xff\xfe", CSV, 400, "not UTF-8: invalid start byte at byte 0"),
        ("x", "image/png", 415, "image/png cannot be read; send application/json"),
        ("x", "", 415, "(none)"),
        ("x", "application/json2", 415, "application/json2"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(
    body: str | bytes, kind: str, status: int, words: str
) -> None:
    """Each with its status, what was found and what was expected."""
    with pytest.raises(BadRequest) as refused:
        read_request(body, kind, FEATURES)
    assert refused.value.status == status
    assert words in str(refused.value)
    assert len(str(refused.value)) < 500


@given(body=st.one_of(st.text(), st.binary()), kind=st.sampled_from([JSON, CSV, LINES, "x"]))
def test_any_body_is_rows_or_a_refusal(body: str | bytes, kind: str) -> None:
    """Nothing else comes out, whatever is sent."""
    rows, status = 0, 200
    try:
        rows = len(read_request(body, kind, FEATURES).rows)
    except BadRequest as error:
        status = error.status
    assert status in (400, 415) if not rows else status == 200


def test_huge_numbers_are_refused_by_their_column() -> None:
    """Beyond int64, beyond float64, infinite: none becomes another number silently."""
    caster = RowCaster(COLUMNS[:4], ("",))
    good = {"i": 1, "io": 1, "f": 1.0, "fo": 1.0}
    for name, value in (
        ("io", 2**63),
        ("io", 10**400),
        ("io", 1e300),
        ("f", math.inf),
        ("fo", 10**400),
        ("fo", "1e999"),
    ):
        with pytest.raises(BadCell, match=f"row 1, {name}: "):
            caster.cast({**good, name: value})
    assert caster.cast({**good, "fo": sys.float_info.max})["fo"] == sys.float_info.max
