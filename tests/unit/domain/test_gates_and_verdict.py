"""Gates, holdout and verdict: the rules of judgement."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.gates import METRICS, Gate, facet_metric, figure, judge_gate, judge_gates
from perennial.domain.holdout import canonical, in_holdout, in_validation, row_identity
from perennial.domain.verdict import HEADLINES, LARGEST_BYTES, SECTIONS, Evidence, Verdict

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CELLS = st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | FLOATS | st.booleans()


@given(FLOATS, FLOATS)
def test_min_and_max_are_mirror_images(value: float, bound: float) -> None:
    """A figure keeps at least one of the two, and both only on the bound."""
    low = judge_gate(Gate("auc", "min", bound), {"auc": value}).passed
    high = judge_gate(Gate("auc", "max", bound), {"auc": value}).passed
    assert low == (value >= bound)
    assert high == (value <= bound)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("operator", ["min", "max"])
def test_figures_that_are_none_fail(value: float | None, operator: str) -> None:
    """Nothing passes a gate unseen."""
    assert not judge_gate(Gate("auc", operator, 0.0), {"auc": value}).passed
    assert "is not in the evaluation" in judge_gate(Gate("f1", operator, 0.0), {}).words


def test_words_do_not_round_a_miss_into_a_hit() -> None:
    """The figures in the words differ when the gate failed."""
    words = judge_gate(Gate("auc", "min", 0.9), {"auc": 0.9 - 1e-12}).words
    assert words == "auc 0.899999999999 is not at least 0.9"


@given(FLOATS)
def test_figures_are_shown_with_six_digits(value: float) -> None:
    """What people read is the figure to six significant digits."""
    assert float(figure(value)) == pytest.approx(value, rel=1e-5)


def test_facet_gates_judge_their_group() -> None:
    """A group's figure is one like any other."""
    name = facet_metric("auc", "sex", "Female")
    (result,) = judge_gates([Gate(name, "min", 0.8)], {"auc": 0.9, name: 0.7})
    assert result.gate.name == "auc:sex=Female.min"
    assert not result.passed


@given(st.lists(CELLS, min_size=1, max_size=5), st.lists(CELLS, min_size=1, max_size=5))
def test_identities_are_equal_only_for_equal_values(one: list[Any], other: list[Any]) -> None:
    """Lists of canonical texts do not run into one another."""
    first, second = [canonical(v) for v in one], [canonical(v) for v in other]
    assert (row_identity(first) == row_identity(second)) == (first == second)


@pytest.mark.parametrize(
    "values",
    [(39, 39.0, "39"), (-0.0, 0, 0.0, "0"), (True, "true"), ("\u00e9", "e\u0301"), (None, "")],
)
def test_spelling_and_type_do_not_change_an_identity(values: tuple[Any, ...]) -> None:
    """CSV and Parquet, composed and decomposed accents: one row is one row."""
    assert len({canonical(value) for value in values}) == 1


def test_identity_is_pinned() -> None:
    """Changing the hash would move rows between training and holdout: it must not happen."""
    assert row_identity([canonical(39), canonical("State-gov"), canonical(None)]) == (
        "93f5ed0d267e213324e7ddb84e5e98de"
    )


@given(st.integers())
def test_shares_are_kept_and_independent(start: int) -> None:
    """About a fifth is held out, and of the rest about a tenth is for validation."""
    rows = [row_identity([canonical(start + i)]) for i in range(2000)]
    held = [row for row in rows if in_holdout(row, 0.2)]
    rest = [row for row in rows if not in_holdout(row, 0.2)]
    assert 0.14 < len(held) / 2000 < 0.26
    assert 0.05 < sum(in_validation(row, 0.1) for row in rest) / len(rest) < 0.15


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_what_was_held_out(text: str, one: float, other: float) -> None:
    """Raising the share never moves a held-out row into training."""
    row = row_identity([canonical(text)])
    small, large = sorted((one, other))
    assert in_holdout(row, large) or not in_holdout(row, small)


METRICS_FOUND: dict[str, float | None] = {
    "auc": 0.93,
    "f1": 0.72,
    "accuracy": 0.87,
    "auc:sex=Female": 0.95,
    "recall:sex=Male": None,
}


def verdict(*gates: Gate) -> Verdict:
    """A verdict on the figures above."""
    return Verdict(
        model="census",
        run=12,
        problem="binary",
        candidate={"artifact_digest": "ab"},
        gates=judge_gates(gates, METRICS_FOUND),
        metrics=METRICS_FOUND,
        rows=6501,
        evaluation=Evidence("s3://b/e", "e" * 64),
        manifest=Evidence("s3://b/m", "m" * 64),
        decided_ms=5,
    )


def test_verdict_says_what_passed() -> None:
    """Words for people, fields for machines."""
    found = verdict(Gate("auc", "min", 0.9))
    assert found.passed
    assert found.words == (
        "Run 12 of census passes 1 gate on 6,501 holdout rows: auc 0.93 is at least 0.9. "
        "There is no champion yet."
    )
    document = found.to_json()
    assert document["passed"]
    assert document["gates"][0]["value"] == 0.93
    assert document["figures"] == {"auc": 0.93, "f1": 0.72, "accuracy": 0.87}
    assert document["version"] == 2
    assert set(SECTIONS) < set(document)


def test_verdict_with_a_champion_does_not_call_it_missing() -> None:
    """Only a first run says that there is no champion."""
    champion = {"version": 7, "run": 11, "arn": "arn", "figures": {"auc": 0.92}}
    found = replace(verdict(Gate("auc", "min", 0.9)), champion=champion)
    assert found.words.endswith("auc 0.93 is at least 0.9.")
    assert found.to_json()["champion"] == champion


def test_a_verdict_stays_small() -> None:
    """What is dispensable goes first, and a note says so; the judgement itself stays."""
    curve = {"rounds": [0.123456789] * 101, "figures": {"x" * 80: [0.123456789] * 101}}
    large = {
        "learning": {**curve, "more": ["y" * 1000] * 100},
        "residuals": {"bins": ["z" * 1000] * 120},
        "curves": {"roc": {"true_positive_rates": [0.5]}},
        "notes": ["a note"],
    }
    document = replace(verdict(Gate("auc", "min", 0.9)), sections=large).to_json()
    assert len(json.dumps(document)) < LARGEST_BYTES
    assert (document["learning"], document["curves"]) == (None, large["curves"])
    assert document["residuals"] == large["residuals"]
    assert document["notes"][0] == "a note"
    assert "learning is left out" in document["notes"][1]
    assert document["gates"]


def test_verdict_says_what_failed() -> None:
    """Only the failed gates are told."""
    found = verdict(Gate("auc", "min", 0.99), Gate("f1", "min", 0.1))
    assert not found.passed
    assert "fails 1 of 2 gates" in found.words
    assert "f1" not in found.words


def test_verdict_without_gates_passes_and_says_so() -> None:
    """Nothing to fail is told as such."""
    assert verdict().passed
    assert "has no gate to pass" in verdict().words


def test_words_fit_an_approval_description() -> None:
    """Many failing gates do not break the registration."""
    gates = [Gate(facet_metric("auc", "country", "x" * 50 + str(i)), "min", 1) for i in range(50)]
    assert len(verdict(*gates).words) <= 1000


def test_headlines_are_figures_of_their_problem() -> None:
    """A verdict shows only what an evaluation has."""
    assert all(set(HEADLINES[problem]) <= set(METRICS[problem]) for problem in METRICS)
