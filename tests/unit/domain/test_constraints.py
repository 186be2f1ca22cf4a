"""Edited constraints survive: what a person changed is carried on, all else is new."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.constraints import (
    Merged,
    Part,
    annotate,
    merge_edits,
    parse_pointer,
    pointer,
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["a", "b", "Enabled"])
    | st.lists(st.sampled_from(["x", "y", "z"]), max_size=3)
)
NAMES = st.sampled_from(["age", "sex", "a/b", "x=1", "~", "d~2e"])


def _named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def entries(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**entry, "name": name} for name, entry in found.items()]

    fields = st.dictionaries(st.sampled_from(["p", "q", "r"]), values, max_size=3)
    return st.dictionaries(NAMES, fields, min_size=1, max_size=4).map(entries)


NODES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3) | _named(inner), max_leaves=12
)
DOCUMENTS = st.dictionaries(NAMES, NODES, max_size=4)


def _ordered(node: Any) -> Any:
    """The document with named entries in one order: their order means nothing."""
    if isinstance(node, dict):
        return {key: _ordered(value) for key, value in node.items()}
    if isinstance(node, list) and node and all(isinstance(item, dict) for item in node):
        return sorted(map(_ordered, node), key=lambda item: json.dumps(item, sort_keys=True))
    return node


def _feature(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inferred_type": "Integral", "completeness": 1.0, **more}


def _constraints(*features: dict[str, Any], threshold: float = 0.1) -> dict[str, Any]:
    return {
        "version": 0.0,
        "features": list(features),
        "monitoring_config": {"distribution_constraints": {"comparison_threshold": threshold}},
    }


@given(DOCUMENTS, DOCUMENTS)
def test_without_edits_the_suggestion_stands(
    original: dict[str, Any], suggested: dict[str, Any]
) -> None:
    """Nothing of the old constraints comes through by itself."""
    merged = merge_edits(original, copy.deepcopy(original), suggested)
    assert merged == Merged(suggested)


@given(DOCUMENTS, DOCUMENTS)
def test_where_the_data_suggest_the_same_the_result_is_what_the_person_wrote(
    original: dict[str, Any], edited: dict[str, Any]
) -> None:
    """Every edit is kept, be it a change, an addition or something taken out."""
    merged = merge_edits(original, edited, original)
    assert _ordered(merged.document) == _ordered(edited)
    assert merged.lapsed == ()


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_merging_again_changes_nothing(
    original: dict[str, Any], edited: dict[str, Any], suggested: dict[str, Any]
) -> None:
    """A step that runs twice writes the same constraints."""
    before = copy.deepcopy((original, edited, suggested))
    once = merge_edits(original, edited, suggested)
    assert _ordered(merge_edits(original, edited, once.document).document) == _ordered(
        once.document
    )
    assert (original, edited, suggested) == before


@given(st.data())
def test_an_edit_survives_any_number_of_baselines(data: st.DataObject) -> None:
    """Whatever the data suggest meanwhile, the same as the person wrote at times."""
    places = [(name, key) for name in ("age", "sex", "a/b") for key in ("p", "q")]
    values = st.fixed_dictionaries(dict.fromkeys(places, LEAVES))
    first = data.draw(values)
    changed = data.draw(st.dictionaries(st.sampled_from(places), LEAVES | st.just("out")))
    written = _features(first)
    current: dict[str, Any] = _features({**first, **changed})
    decided = {place: now for place, now in changed.items() if _differs(now, first[place])}
    for found in data.draw(st.lists(values, min_size=1, max_size=4)):
        suggested = _features(found)
        current = annotate(merge_edits(written, current, suggested), suggested)
        written = suggested
        assert current["features"] == _features({**found, **decided})["features"]


def _features(values: dict[tuple[str, str], Any]) -> dict[str, Any]:
    features: dict[str, dict[str, Any]] = {}
    for (name, key), value in values.items():
        features.setdefault(name, {"name": name})
        if value != "out":
            features[name][key] = value
    return {"features": list(features.values())}


def _differs(one: Any, other: Any) -> bool:
    return json.dumps(one) != json.dumps(other)


@given(
    st.lists(NAMES | st.tuples(st.sampled_from(["name", "value_or_threshold"]), NAMES), max_size=4)
)
def test_pointers_are_read_back(path: list[Part]) -> None:
    """Slashes, tildes and equal signs in names lead nowhere else."""
    assert parse_pointer(pointer(tuple(path))) == tuple(path)


def test_a_persons_values_win_and_all_else_is_new() -> None:
    """A wider domain, a switched-off feature and a threshold stay; new figures come."""
    original = _constraints(
        _feature("age"),
        _feature("job", string_constraints={"domains": ["a", "b"]}),
    )
    edited = copy.deepcopy(original)
    edited["features"][1]["string_constraints"]["domains"] = ["a", "b", "c"]
    edited["features"][0]["monitoring_config_overrides"] = {"evaluate_constraints": "Disabled"}
    edited["monitoring_config"]["distribution_constraints"]["comparison_threshold"] = 0.25
    suggested = _constraints(
        _feature("job", completeness=0.9, string_constraints={"domains": ["a", "d"]}),
        _feature("age", completeness=0.8),
        _feature("pay"),
    )
    merged = merge_edits(original, edited, suggested)
    job, age, pay = merged.document["features"]
    assert job == _feature("job", completeness=0.9, string_constraints={"domains": ["a", "b", "c"]})
    assert age["completeness"] == 0.8
    assert age["monitoring_config_overrides"] == {"evaluate_constraints": "Disabled"}
    assert pay == _feature("pay")
    assert {edit.pointer for edit in merged.kept} == {
        "/features/name=age/monitoring_config_overrides",
        "/features/name=job/string_constraints/domains",
        "/monitoring_config/distribution_constraints/comparison_threshold",
    }


def test_an_edit_of_a_column_that_is_gone_lapses_and_is_named() -> None:
    """Nothing is brought back for a column that the data no longer have."""
    original = _constraints(_feature("age"), _feature("old"))
    edited = copy.deepcopy(original)
    edited["features"][1]["completeness"] = 0.5
    merged = merge_edits(original, edited, _constraints(_feature("age")))
    assert merged.document == _constraints(_feature("age"))
    notes = annotate(merged, {})["perennial"]
    assert notes == {
        "kept_edits": [],
        "lapsed_edits": [{"path": "/features/name=old/completeness", "value": 0.5}],
    }


def test_what_a_person_took_out_stays_out() -> None:
    """A metric without a constraint is one that a person does not want judged."""
    original = {"limits": {"auc": {"threshold": 0.9}, "f1": {"threshold": 0.7}}}
    edited = {"limits": {"auc": {"threshold": 0.9}}}
    suggested = {"limits": {"auc": {"threshold": 0.91}, "f1": {"threshold": 0.72}}}
    merged = merge_edits(original, edited, suggested)
    assert merged.document == {"limits": {"auc": {"threshold": 0.91}}}
    assert annotate(merged, {})["perennial"]["kept_edits"] == [
        {"path": "/limits/f1", "removed": True}
    ]


def test_a_bound_of_a_facet_is_found_by_its_value_and_name() -> None:
    """Clarify's facets are lists whose entries are named by value_or_threshold."""

    def analysis(value: float) -> dict[str, Any]:
        metrics = [{"name": "DPPL", "description": "", "value": value}]
        return {"facets": {"sex": [{"value_or_threshold": "Female", "metrics": metrics}]}}

    merged = merge_edits(analysis(0.17), analysis(0.3), analysis(0.16))
    assert merged.document == analysis(0.3)
    assert merged.kept[0].pointer == (
        "/facets/sex/value_or_threshold=Female/metrics/name=DPPL/value"
    )


def test_a_persons_value_stays_after_the_data_suggested_the_same_once() -> None:
    """An edit is a decision; that the data agreed for a while does not take it back."""
    original, edited = _constraints(threshold=0.1), _constraints(threshold=0.2)
    agreeing = _constraints(threshold=0.2)
    current = annotate(merge_edits(original, edited, agreeing), agreeing)
    third = merge_edits(agreeing, current, _constraints(threshold=0.3))
    assert third.document == _constraints(threshold=0.2)


def test_an_edit_that_is_put_back_is_no_edit() -> None:
    """A person who restores what was suggested gets new suggestions from then on."""
    original, edited = _constraints(threshold=0.1), _constraints(threshold=0.2)
    current = annotate(merge_edits(original, edited, original), original)
    current["monitoring_config"] = copy.deepcopy(original["monitoring_config"])
    third = merge_edits(original, current, _constraints(threshold=0.3))
    assert third == Merged(_constraints(threshold=0.3))


def test_an_editor_that_writes_one_for_one_point_zero_edits_nothing() -> None:
    """Equal numbers are equal, but true is not 1."""
    assert merge_edits({"a": 1.0}, {"a": 1}, {"a": 2}).document == {"a": 2}
    assert merge_edits({"a": 1}, {"a": True}, {"a": 2}).document == {"a": True}


def test_broken_notes_say_nothing() -> None:
    """A person may break the notes; the constraints are read all the same."""
    for notes in (5, {"kept_edits": 5}, {"kept_edits": [5, {"path": 5}, {"path": "no"}]}):
        edited = {"a": 1, "perennial": notes}
        assert merge_edits({"a": 1}, edited, {"a": 2}) == Merged({"a": 2})
