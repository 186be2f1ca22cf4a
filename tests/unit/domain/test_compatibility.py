"""Schemas: what the champion accepts, the candidate must accept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.compatibility import incompatibilities
from perennial.domain.schema import BadValue, Column

MISSING = st.frozensets(st.sampled_from(["?", "NA", "0", "a"]), max_size=2)
LEVELS = st.lists(st.sampled_from(["a", "b", "c", "?", "0"]), min_size=1, max_size=3, unique=True)
BOUND = st.none() | st.integers(-3, 3)
CELLS = st.sampled_from(["a", "b", "c", "z", "?", "NA", "0", "1", "-2", "3.5", "", "true", None])


@st.composite
def column(draw: Any, name: str) -> dict[str, Any]:
    """A column as schema.json has it."""
    kind = draw(st.sampled_from(["int", "float", "string", "category", "bool"]))
    entry: dict[str, Any] = {"name": name, "type": kind}
    if draw(st.booleans()):
        entry["required"] = False
    if kind in ("int", "float"):
        for key in ("min", "max"):
            bound = draw(BOUND)
            if bound is not None:
                entry[key] = bound
    if kind == "category":
        entry["levels"] = draw(LEVELS)
        if draw(st.booleans()):
            entry["open"] = True
        if draw(st.booleans()):
            entry["aliases"] = {draw(st.sampled_from(["x", "b"])): entry["levels"][0]}
    return entry


@st.composite
def schema(draw: Any) -> dict[str, Any]:
    """A schema of up to three features and a label."""
    names = draw(st.lists(st.sampled_from(["one", "two", "three"]), unique=True, max_size=3))
    label = {"name": "y", "type": "category", "levels": ["no", "yes"]}
    return {
        "version": 1,
        "problem": "binary",
        "label": "y",
        "positive": "yes",
        "classes": ["no", "yes"],
        "missing": sorted(draw(MISSING)),
        "columns": [*(draw(column(name)) for name in names), label],
        "prepared": [],
    }


def takes(document: dict[str, Any], row: dict[str, Any]) -> bool:
    """Say whether a model of this schema takes a request's row, as the server does."""
    missing = frozenset(document["missing"])
    for entry in document["columns"]:
        if entry["name"] == document["label"]:
            continue
        made = Column(
            entry["name"],
            entry["type"],
            entry.get("required", True),
            entry.get("min"),
            entry.get("max"),
            tuple(entry.get("levels", ())),
            entry.get("open", False),
            tuple(entry.get("aliases", {}).items()),
        )
        try:
            made.accept(row.get(entry["name"]), missing)
        except BadValue:
            return False
    return True


CENSUS: dict[str, Any] = {
    "version": 1,
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "classes": ["<=50K", ">50K"],
    "missing": ["?"],
    "columns": [
        {"name": "age", "type": "int", "min": 0, "max": 130},
        {
            "name": "sex",
            "type": "category",
            "levels": ["Female", "Male"],
            "aliases": {"F": "Female"},
        },
        {
            "name": "country",
            "type": "category",
            "levels": ["Cuba"],
            "open": True,
            "required": False,
        },
        {"name": "income", "type": "category", "levels": ["<=50K", ">50K"]},
    ],
    "prepared": [{"name": "age", "dtype": "int64", "levels": []}],
}


def changed(place: int | None = None, /, **fields: Any) -> dict[str, Any]:
    """The census schema with other fields, of a column or of the document."""
    document = copy.deepcopy(CENSUS)
    (document if place is None else document["columns"][place]).update(fields)
    return document


@given(schema())
def test_a_schema_is_compatible_with_itself(one: dict[str, Any]) -> None:
    """Retraining on the same settings never fails the gate."""
    assert incompatibilities(one, copy.deepcopy(one)) == []


@given(schema(), schema(), st.data())
def test_a_compatible_candidate_takes_what_the_champion_takes(
    one: dict[str, Any], other: dict[str, Any], data: st.DataObject
) -> None:
    """No request that worked is refused after a release that passed the gate."""
    if incompatibilities(one, other):
        return
    row = {name: data.draw(CELLS) for name in ("one", "two", "three")}
    if takes(one, {k: v for k, v in row.items() if k in {c["name"] for c in one["columns"]}}):
        known = {c["name"] for c in one["columns"]}
        assert takes(other, {k: v for k, v in row.items() if k in known})


@given(schema(), column("extra"))
def test_a_new_column_must_be_optional(one: dict[str, Any], extra: dict[str, Any]) -> None:
    """Callers who do not send it go on working, or the gate says which column breaks them."""
    wider = copy.deepcopy(one)
    wider["columns"].insert(0, extra)
    found = incompatibilities(one, wider)
    if extra.get("required", True):
        assert found == ["column extra is required and unknown to the champion"]
    else:
        assert found == []


@given(schema())
def test_a_column_may_go(one: dict[str, Any]) -> None:
    """A column that is no longer read is one that callers may go on sending."""
    narrower = copy.deepcopy(one)
    narrower["columns"] = [narrower["columns"][-1]]
    narrower["missing"] = one["missing"]
    assert incompatibilities(one, narrower) == []


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (changed(0, min=17), "column age must be at least 17, the champion's 0"),
        (changed(0, max=99), "column age must be at most 99, the champion's 130"),
        (changed(0, type="bool"), "column age has type bool, the champion's int"),
        (changed(1, levels=["Male"], aliases={}), 'column sex no longer takes "Female", "F"'),
        (changed(1, aliases={}), 'column sex no longer takes "F"'),
        (
            changed(2, open=False),
            "column country takes its levels only; the champion takes others as well",
        ),
        (
            changed(2, required=True),
            "column country is required; the champion takes rows without it",
        ),
        (changed(missing=[]), '"?" no longer means a missing value'),
        (
            changed(missing=["?", "Male"]),
            'column sex no longer takes "Male"',
        ),
        (changed(positive="<=50K"), 'the positive class is "<=50K", the champion\'s ">50K"'),
        (changed(problem="regression"), 'the problem is "regression", the champion\'s "binary"'),
        (changed(classes=[">50K"]), 'the answers lack the class "<=50K"'),
    ],
)
def test_what_breaks_a_caller_is_named(candidate: dict[str, Any], words: str) -> None:
    """Each kind of incompatibility says which column and what of it."""
    assert incompatibilities(CENSUS, candidate) == [words]


@pytest.mark.parametrize(
    "candidate",
    [
        changed(0, type="float"),
        changed(0, type="string"),
        changed(0, max=None),
        changed(0, required=False),
        changed(1, levels=["Female", "Male", "Other"]),
        changed(1, open=True, aliases={}, levels=[]),
        changed(1, type="string"),
        changed(missing=["?", "n/a"]),
        changed(classes=["<=50K", ">50K", ">100K"]),
        changed(prepared=[]),
    ],
)
def test_what_only_asks_for_less_is_compatible(candidate: dict[str, Any]) -> None:
    """Wider types, ranges and levels are no reason to stop a release."""
    assert incompatibilities(CENSUS, candidate) == []


def test_hostile_levels_stay_one_short_sentence() -> None:
    """Levels are anybody's text, and there may be ten thousand of them."""
    levels = [f"\x1b[2J{i}" + "x" * 1000 for i in range(10_000)]
    (words,) = incompatibilities(
        changed(1, levels=levels, aliases={}), changed(1, levels=["a"], aliases={})
    )
    assert words.endswith("and 9,995 more")
    assert len(words) < 400
    assert words.isprintable()
