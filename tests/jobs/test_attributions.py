"""Sampled Shapley values beside the definition, and the rules that every explanation keeps."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.attributions import (
    Array,
    Attributions,
    Score,
    Walks,
    evaluations,
    from_contributions,
    linear,
    pairs_of,
    sample,
)

SEEDS = st.integers(0, 2**32 - 1)


def _nonlinear(table: Array) -> Array:
    """Two outputs with interactions; columns beyond the third change nothing."""
    first = table[:, 0] * table[:, 1] + np.tanh(table[:, 2])
    second = np.maximum(table[:, 0], table[:, 2])
    return np.stack([first, second], axis=1)


def _scoring(rows: Array, background: Array) -> Score:
    def score(mask: Array, row: Array, other: Array) -> Array:
        return _nonlinear(np.where(mask, rows[row], background[other]))

    return score


def _exact(rows: Array, background: Array) -> Array:
    """Shapley values by their definition: every coalition, every background row."""
    count, width = rows.shape
    score = _scoring(rows, background)

    def value(row: int, coalition: tuple[int, ...]) -> Array:
        mask = np.zeros((len(background), width), dtype=bool)
        mask[:, list(coalition)] = True
        return score(mask, np.full(len(background), row), np.arange(len(background))).mean(axis=0)

    found = np.zeros((count, 2, width))
    for row in range(count):
        for feature in range(width):
            others = [i for i in range(width) if i != feature]
            for size in range(width):
                for coalition in combinations(others, size):
                    gain = value(row, (*coalition, feature)) - value(row, coalition)
                    found[row, :, feature] += gain / (width * comb(width - 1, size))
    return found


def _case(seed: int, rows: int = 3, background: int = 4, width: int = 4) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)), random.normal(size=(background, width))


@given(SEEDS, st.integers(1, 4), st.integers(1, 6), st.integers(3, 6))
def test_values_sum_to_the_score_less_the_expected_value(
    seed: int, rows: int, background: int, width: int
) -> None:
    """By construction, for any number of walks; the expected value is the background's mean."""
    table, others = _case(seed, rows, background, width)
    pairs = pairs_of(background, 2)
    found = sample(Walks(_scoring(table, others), rows, background, width), pairs=pairs, seed=seed)
    assert np.allclose(found.sums, _nonlinear(table), rtol=0, atol=1e-12)
    assert np.allclose(found.expected, _nonlinear(others).mean(axis=0), atol=1e-12)


@given(SEEDS)
def test_a_feature_that_changes_nothing_gets_nothing(seed: int) -> None:
    """Exactly 0, not nearly: its steps are differences of equal scores."""
    rows, background = _case(seed)
    found = sample(Walks(_scoring(rows, background), 3, 4, 4), pairs=4, seed=seed)
    assert (found.values[:, :, 3] == 0).all()
    assert found.errors is not None
    assert (found.errors[:, :, 3] == 0).all()


@given(SEEDS)
def test_linear_values_are_the_definitions(seed: int) -> None:
    """Sampling a linear model gives its exact values without any error."""
    random = np.random.default_rng(seed)
    rows, background = _case(seed)
    coefficients, intercept = random.normal(size=(4, 2)), random.normal(size=2)

    def score(mask: Array, row: Array, other: Array) -> Array:
        return np.asarray(intercept + np.where(mask, rows[row], background[other]) @ coefficients)

    exact = linear(coefficients, intercept, rows, background)
    sampled = sample(Walks(score, 3, 4, 4), pairs=4, seed=seed)
    assert np.allclose(exact.values, sampled.values, atol=1e-10)
    assert np.allclose(exact.expected, sampled.expected, atol=1e-10)
    assert np.allclose(exact.sums, intercept + rows @ coefficients, atol=1e-10)


def test_sampled_values_agree_with_the_exact_ones_within_their_error() -> None:
    """Hundreds of values: the errors are neither too small nor uselessly large."""
    misses, total = 0, 0
    for seed in range(8):
        rows, background = _case(seed, rows=6, background=16)
        found = sample(Walks(_scoring(rows, background), 6, 16, 4), pairs=64, seed=seed)
        assert found.errors is not None
        off = np.abs(found.values - _exact(rows, background))
        misses += int((off > 2 * found.errors + 1e-12).sum())
        total += off.size
        assert off.max() < 0.35
    # A normal error is beyond twice its deviation in one case of twenty; the errors hold the
    # background's choice too, which is the same for both here, so there are fewer.
    assert misses / total < 0.06


def test_more_walks_come_nearer() -> None:
    """The stated error falls as one over the root of the number of walks."""
    rows, background = _case(1, rows=5, background=16)
    few = sample(Walks(_scoring(rows, background), 5, 16, 4), pairs=32)
    many = sample(Walks(_scoring(rows, background), 5, 16, 4), pairs=512)
    assert few.mean_errors is not None
    assert many.mean_errors is not None
    assert few.mean_errors.sum() / many.mean_errors.sum() == pytest.approx(4.0, rel=0.25)


def test_features_that_a_model_cannot_tell_apart_get_the_same() -> None:
    """Equal values of two exchangeable features: equal attributions within the error."""
    random = np.random.default_rng(5)
    rows, background = random.normal(size=(4, 3)), random.normal(size=(8, 3))
    rows[:, 1], background[:, 1] = rows[:, 0], background[:, 0]

    def score(mask: Array, row: Array, other: Array) -> Array:
        table = np.where(mask, rows[row], background[other])
        return (table[:, 0] * table[:, 1] * (1 + table[:, 2]))[:, None]

    found = sample(Walks(score, 4, 8, 3), pairs=512)
    assert found.errors is not None
    gap = np.abs(found.values[:, 0, 0] - found.values[:, 0, 1])
    assert (gap <= 4 * np.hypot(found.errors[:, 0, 0], found.errors[:, 0, 1])).all()
    two = sample(Walks(lambda m, r, o: score(_third(m), r, o), 4, 8, 2), pairs=8)
    assert np.allclose(two.values[:, 0, 0], two.values[:, 0, 1], atol=1e-12)


def _third(mask: Array) -> Array:
    return np.concatenate([mask, np.ones((len(mask), 1), dtype=bool)], axis=1)


def test_one_feature_explains_everything() -> None:
    """There is nothing to sample: its value is the score less the expected one."""
    rows, background = np.array([[2.0], [3.0]]), np.array([[1.0], [5.0]])
    found = sample(
        Walks(lambda m, r, o: np.where(m, rows[r], background[o]) ** 2, 2, 2, 1), pairs=2
    )
    assert found.values[:, 0, 0].tolist() == [4 - 13, 9 - 13]
    assert evaluations(1, 32) == 1


def test_equal_seeds_give_equal_values_however_the_rows_are_batched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that runs twice writes the same bytes, on any machine."""
    rows, background = _case(3, rows=7)
    whole = sample(Walks(_scoring(rows, background), 7, 4, 4), pairs=8, seed=1)
    monkeypatch.setattr("jobs.engine.attributions.BATCH", 60)
    parts = sample(Walks(_scoring(rows, background), 7, 4, 4), pairs=8, seed=1)
    assert np.array_equal(whole.values, parts.values)
    assert not np.array_equal(
        whole.values, sample(Walks(_scoring(rows, background), 7, 4, 4), pairs=8, seed=2).values
    )


def test_contributions_of_libraries_are_taken_apart_by_output() -> None:
    """Flat for LightGBM, a cube for XGBoost; the expected value comes last in each."""
    cube = np.arange(12.0).reshape(2, 2, 3)
    cube[:, :, -1] = [0.5, 0.25]
    for raw in (cube, cube.reshape(2, 6)):
        found = from_contributions(raw, 2)
        assert found.expected.tolist() == [0.5, 0.25]
        assert np.array_equal(found.values, cube[:, :, :-1])
        assert found.importance.tolist() == [[3, 4], [6, 7]]
        assert found.mean_errors is None
    with pytest.raises(ValueError, match="shape"):
        from_contributions(np.zeros((2, 5)), 2)
    with pytest.raises(ValueError, match="differs from row to row"):
        from_contributions(np.array([[1.0, 0.0], [1.0, 2.0]]), 1)


def test_importance_is_the_mean_of_absolute_values() -> None:
    """Values of opposite signs do not cancel."""
    found = Attributions(np.array([[[1.0, 0.0]], [[-3.0, 0.0]]]), np.zeros(1))
    assert found.importance.tolist() == [[2.0, 0.0]]
