"""Rules see only the part of an event that their patterns name, and decide as on the whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from moto.events.models import EventPattern

from local.events.pattern import matches

NAMES = st.sampled_from(["source", "detail", "status", "name"])
SCALARS = st.one_of(st.sampled_from(["a", "ab", "b", ""]), st.integers(0, 2), st.booleans())
FILTERS = st.one_of(
    SCALARS,
    st.fixed_dictionaries({"prefix": st.sampled_from(["a", "b"])}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"anything-but": st.lists(SCALARS, max_size=2)}),
)
EVENTS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS | st.lists(SCALARS, max_size=2),
        lambda inner: st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


def _with_or(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    return named | st.builds(lambda one, two: {**one, "$or": two}, named, st.lists(named))


PATTERNS = st.dictionaries(
    NAMES,
    st.recursive(st.lists(FILTERS, min_size=1, max_size=3), _with_or, max_leaves=5),
    min_size=1,
    max_size=3,
)


@given(PATTERNS, EVENTS)
def test_a_part_decides_as_the_whole(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    """Without arrays of objects the answer is moto's own on the whole event."""
    whole = EventPattern(json.dumps(pattern), pattern).matches_event(event)  # type: ignore[arg-type]
    assert matches(pattern, event) == whole


def test_a_wide_event_is_matched_by_the_one_element_that_fits() -> None:
    """Arrays that the pattern does not name cost nothing; in a named one any element may fit."""
    wide = {f"list{number}": [{"x": 1}, {"x": 2}] for number in range(40)}
    event = {"source": "aws.s3", "detail": {**wide, "rows": [{"x": 1}, {"x": 7}]}}
    assert matches({"source": ["aws.s3"], "detail": {"rows": {"x": [7]}}}, event)
    assert not matches({"source": ["aws.s3"], "detail": {"rows": {"x": [8]}}}, event)
    assert not matches({"source": ["aws.sqs"], "detail": {"rows": {"x": [7]}}}, event)
