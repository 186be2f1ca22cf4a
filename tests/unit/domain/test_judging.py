"""The gates: their order, and that nothing passes unseen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.judging import Evidence, is_bias, judge

from tests.unit.domain import verdict_builders as build

WHOLE: dict[str, Any] = {
    "metrics": {"auc": 0.93, "latency_p99_ms": 4.0},
    "champion": "census 7",
    "comparison": build.comparison(),
    "bias": {"DPPL:sex=Female": 0.17, "DI:sex=Female": float("inf"), "RD:sex=Female": None},
    "incompatible": (),
    "producers": {"acme": 0.6, "bureau": 0.4},
}
GATES = {
    "latency_p99_ms": {"max": 50},
    "auc": {"min": 0.9},
    "DPPL:sex=Female": {"max": 0.2},
    "producer_share": {"max": 0.7},
}


def results(gates: Any = None, **changes: Any) -> list[tuple[str, bool, str]]:
    """Name, result and words of every gate."""
    chosen = build.settings(gates=GATES if gates is None else gates)
    return [
        (each.gate.name, each.passed, each.words)
        for each in judge(chosen, Evidence(**{**WHOLE, **changes}))
    ]


def test_gates_stand_in_the_contracts_order() -> None:
    """The settings' bounds first, then champion, schema and producer share."""
    found = results()
    assert [name for name, _, _ in found][-3:] == [
        "champion.min",
        "schema.max",
        "producer_share.max",
    ]
    assert {name for name, _, _ in found[:3]} == {
        "latency_p99_ms.max",
        "auc.min",
        "DPPL:sex=Female.max",
    }
    assert all(passed for _, passed, _ in found)


def test_without_a_champion_nothing_is_compared() -> None:
    """A first run is judged by its own figures only."""
    found = results(champion="", comparison=None, incompatible=None)
    assert [name for name, _, _ in found if name.startswith(("champion", "schema"))] == []


def test_gates_that_are_off_are_not_judged() -> None:
    """`champion: off` and `schema: any` are the owner's choice."""
    found = results(
        {"champion": "off", "schema": "any"}, comparison=None, incompatible=("column x is gone",)
    )
    assert found == []


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"metrics": {}}, "auc.min", "auc is not in the evaluation; wanted at least 0.9"),
        (
            {"bias": None},
            "DPPL:sex=Female.max",
            "DPPL:sex=Female is unknown, bias was not measured; wanted at most 0.2",
        ),
        (
            {"bias": {}},
            "DPPL:sex=Female.max",
            "DPPL:sex=Female is not in the bias report; wanted at most 0.2",
        ),
        (
            {"comparison": None},
            "champion.min",
            "census 7 could not be scored beside the candidate",
        ),
        (
            {"comparison": None, "failures": {"evaluate_champion": "its code does not run"}},
            "champion.min",
            "census 7 could not be scored beside the candidate: its code does not run",
        ),
        (
            {"incompatible": None},
            "schema.max",
            "what census 7 accepts is unknown, for its schema is not there",
        ),
        (
            {"incompatible": ("a", "b", "c", "d")},
            "schema.max",
            "does not take what census 7 takes: a; b; c; and 1 more",
        ),
        (
            {"producers": {}},
            "producer_share.max",
            "the rows of each producer were not counted",
        ),
        (
            {"producers": {"a": 0.1, "b": 0.9}},
            "producer_share.max",
            "producer b has the largest share of rows; producer_share 0.9 is not at most 0.7",
        ),
    ],
)
def test_missing_evidence_fails_by_name(changes: dict[str, Any], name: str, words: str) -> None:
    """Each gate says what it lacks; no other gate fails for it."""
    failed = [(each, said) for each, passed, said in results(**changes) if not passed]
    assert (name, words) in failed
    assert len(failed) == (2 if "metrics" in changes else 1)


def test_a_remark_on_the_bias_figures_stands_in_their_gates_words() -> None:
    """Whether the bound is kept or not; the gates of other figures are silent about it."""
    gates = {"CI:sex=Female": {"min": -1, "max": 0.1}, "auc": {"min": 0.1}}
    bias = {"CI:sex=Female": 0.3}
    judged = results(gates, bias=bias, bias_remark="without an interval")
    said = {name: words for name, _, words in judged}
    assert said["CI:sex=Female.min"].endswith("is at least -1 (without an interval)")
    assert said["CI:sex=Female.max"].endswith("is not at most 0.1 (without an interval)")
    assert "interval" not in said["auc.min"]


def test_an_infinite_bias_keeps_no_bound() -> None:
    """A ratio over nothing is no figure that a bound could hold."""
    gates = {"DI:sex=Female": {"max": 1e9}, "champion": "off", "schema": "any"}
    assert results(gates) == [
        ("DI:sex=Female.max", False, "DI:sex=Female has no finite value; wanted at most 1e+09")
    ]


@given(st.sampled_from(["CI", "DPPL", "GE"]), st.text())
def test_bias_figures_are_known_by_their_short_names(metric: str, group: str) -> None:
    """Whatever the group is called."""
    assert is_bias(f"{metric}:{group}")
    assert not is_bias(f"auc:{metric}={group}")
