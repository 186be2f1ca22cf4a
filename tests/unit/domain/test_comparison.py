"""The gate `champion`: what a comparison's figures mean for the candidate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.comparison import direction, judge_champion, signed
from perennial.domain.gates import METRICS
from perennial.domain.settings import Comparison


def document(**changed: Any) -> dict[str, Any]:
    """A comparison.json of two AUCs."""
    return {
        "metric": "auc",
        "rows": 3205,
        "candidate": 0.9131,
        "champion": 0.9084,
        "difference": 0.0047,
        "lower": 0.0012,
        "confidence": 0.95,
        "incompatible": [],
    } | changed


def test_a_better_candidate_passes_in_words() -> None:
    """Both figures, the difference, its bound, and how many rows it rests on."""
    result = judge_champion(document(), Comparison("auc"))
    assert result.passed
    assert result.value == 0.0012
    assert result.words == (
        "auc 0.9131 against the champion's 0.9084: +0.0047, at least +0.0012 with 95 % "
        "confidence; 3,205 paired rows"
    )


def test_what_is_not_better_beyond_noise_fails() -> None:
    """The words say what the bound should have been."""
    result = judge_champion(document(lower=-0.0003), Comparison("auc"))
    assert not result.passed
    assert result.words.endswith("; 3,205 paired rows; wanted more than 0")


@pytest.mark.parametrize(
    ("lower", "margin", "passed"),
    [(0.0, 0.0, False), (1e-9, 0.0, True), (-0.002, 0.002, True), (-0.0021, 0.002, False)],
)
def test_equality_passes_only_with_a_margin(lower: float, margin: float, passed: bool) -> None:
    """Without a margin the same model again is no reason for a release."""
    result = judge_champion(document(lower=lower), Comparison("auc", margin))
    assert result.passed is passed
    assert result.gate.bound == -margin


def test_a_lower_figure_can_be_the_better_one() -> None:
    """A reader of two errors is told which way is up."""
    changed = document(metric="rmse", candidate=2.1, champion=2.25, difference=0.15, lower=0.1)
    words = judge_champion(changed, Comparison("rmse")).words
    assert words.startswith(
        "rmse 2.1 against the champion's 2.25, lower is better: +0.15, at least +0.1"
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"incompatible": ["other classes"]},
            "cannot be compared with the champion: other classes",
        ),
        ({"lower": None, "rows": 1}, "1 paired row"),
        ({"lower": None, "champion": None}, "the champion has none"),
        ({"lower": None, "champion": None, "candidate": None}, "neither model has one"),
        ({"lower": None}, "too many draws"),
        ({"lower": float("nan")}, "too many draws"),
    ],
)
def test_nothing_passes_unseen(changed: dict[str, Any], words: str) -> None:
    """Whatever is missing fails the gate, with margin or without, and is named."""
    for margin in (0.0, 0.5):
        result = judge_champion(document(**changed), Comparison("auc", margin))
        assert not result.passed
        assert result.value is None
        assert words in result.words


def test_a_champion_that_was_not_scored_fails_the_gate() -> None:
    """Without a comparison there is nothing to rest a release on."""
    assert not judge_champion(None, Comparison("auc")).passed


@given(st.floats(-1, 1), st.floats(0, 1))
def test_the_gate_keeps_the_bound(lower: float, margin: float) -> None:
    """Passing is exactly the inequality of the settings."""
    result = judge_champion(document(lower=lower), Comparison("auc", margin))
    assert result.passed == (lower >= -margin if margin else lower > 0)


def test_every_figure_has_a_direction() -> None:
    """Errors and losses are better when smaller, everything else when larger."""
    names = {name for names in METRICS.values() for name in names}
    assert {name for name in names if direction(name) < 0} == {
        "false_positive_rate", "false_negative_rate", "log_loss", "brier", "mae", "mse", "rmse",
    }  # fmt: skip


def test_differences_are_written_with_their_sign() -> None:
    """Three significant digits, thousands in full."""
    assert [signed(v) for v in (0.00471, -0.0003, 0, 12345.6)] == [
        "+0.00471", "-0.0003", "0", "+12,346",
    ]  # fmt: skip
