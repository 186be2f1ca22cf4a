"""The engine of the monitors: distances and tails against exact ones, and how often chance alone
fires. Seeds are fixed; all of it is numpy and the standard library."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.constraint_rules import CHI_SQUARED, ROBUST, SIMPLE, Rule
from jobs.engine.bias import (
    CLOSED,
    CONDITIONAL,
    POST_TRAINING,
    PRE_TRAINING,
    credible_intervals,
    measure_value,
    table_of,
)
from jobs.engine.bias_drift import Side, has_drifted, is_broken
from jobs.engine.checks import LEVEL, Finding, Observed, Reference, check_features
from jobs.engine.distances import (
    SKETCH_DEVIATIONS,
    Texts,
    chi_squared,
    numeric_distance,
    regrouped,
    robust,
    text_distance,
)
from jobs.engine.quality import GREATER, LESS, Bound, Quality, auc_deviation, judge
from jobs.engine.ranking import ndcg, ndcg_chance
from jobs.engine.sketch import KllSketch
from jobs.engine.statistics import suggested_completeness
from jobs.engine.tails import binomial_surplus, chi_squared_tail, student_tail, surplus
from jobs.model_quality import deviations, figures
from jobs.monitor_report import in_words

Array = Any


def sketch(values: Array) -> KllSketch:
    """The sketch of some numbers."""
    found = KllSketch()
    found.update(values)
    return found


def texts(values: Array) -> Texts:
    """The counts of some texts."""
    return Texts(Counter(map(str, values)), len(values))


def exact_distance(one: Array, other: Array) -> float:
    """The two-sample Kolmogorov-Smirnov statistic."""
    points = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(x), points, "right") / len(x) for x in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@given(st.integers(0, 10_000), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_small_distances_are_exact(seed: int, rows: int, base: int) -> None:
    """Below the sketch's size it holds every number; ties included."""
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 9, rows).astype(float), random.integers(2, 12, base) / 1.0
    found = numeric_distance(sketch(one), sketch(other))
    assert found == pytest.approx(exact_distance(one, other))
    counts = [Counter(map(str, x)) for x in (one, other)]
    wanted = max(abs(counts[0][t] / rows - counts[1][t] / base) for t in {*counts[0], *counts[1]})
    assert text_distance(texts(one), texts(other)) == pytest.approx(wanted)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_large_distances_are_within_the_sketches_bound(shift: float) -> None:
    """Of 200,000 numbers the distance is off by no more than both sketches' ranks are."""
    random = np.random.default_rng(5)
    one, other = random.normal(shift, 1, 200_000), random.normal(0, 1, 150_000)
    now, then = sketch(one), sketch(other)
    room = SKETCH_DEVIATIONS * (now.deviation / now.count + then.deviation / then.count)
    assert abs(numeric_distance(now, then) - exact_distance(one, other)) <= room < 0.003


def test_robust_is_deequs() -> None:
    """1.8 times the scale comes off, and nothing goes below zero."""
    assert robust(0.3, 100, 400) == pytest.approx(0.3 - 1.8 * math.sqrt(500 / 40_000))
    assert robust(0.1, 100, 400) == 0


def test_chi_squared_is_deequs() -> None:
    """The p-value of a textbook table; rare groups are put together first."""
    now, then = Texts({"a": 30, "b": 70}, 100), Texts({"a": 50, "b": 50}, 100)
    assert chi_squared(now, then) == pytest.approx(6.334e-5, rel=1e-3)
    groups = regrouped({"a": 50.0, "b": 40.0, "c": 3.0, "d": 2.0}, {"a": 1, "b": 2, "c": 3, "d": 4})
    assert sorted(groups) == [(5.0, 7.0), (40.0, 2.0), (50.0, 1.0)]
    assert chi_squared(Texts({"a": 3}, 3), Texts({"a": 9, "b": 1}, 10)) is None


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_fishers_tail_is_exact(bad: int, rows: int, base_bad: int, base_rows: int) -> None:
    """Against fractions; below the mean it is 1, on the safe side."""
    bad, base_bad = min(bad, rows), min(base_bad, base_rows)
    total, marked = rows + base_rows, bad + base_bad
    exact = sum(
        Fraction(math.comb(rows, k) * math.comb(base_rows, marked - k), math.comb(total, marked))
        for k in range(bad, min(rows, marked) + 1)
    )
    found = surplus(bad, rows, base_bad, base_rows)
    if bad * total <= rows * marked:
        assert found == 1
    else:
        assert found == pytest.approx(float(exact))


def test_other_tails_are_the_tables() -> None:
    """Values of printed tables (and of exact sums)."""
    assert chi_squared_tail(3.841459, 1) == pytest.approx(0.05, rel=1e-5)
    assert chi_squared_tail(124.342, 100) == pytest.approx(0.05, rel=1e-4)
    assert student_tail(2.570582, 5) == pytest.approx(0.025, rel=1e-5)
    assert student_tail(-1.0, 1) == pytest.approx(0.75)
    assert student_tail(1.644854, 1e7) == pytest.approx(0.05, rel=1e-4)
    exact = sum(math.comb(40, k) * 0.1**k * 0.9 ** (40 - k) for k in range(9, 41))
    assert binomial_surplus(9, 40, 0.1) == pytest.approx(exact)
    assert binomial_surplus(1, 10, 0.0) == 0
    assert surplus(3, 1_000_000, 0, 10_000) > 0.9


def rule(name: str, method: str, values: Texts | KllSketch, completeness: float) -> Rule:
    """A rule with no room but what chance needs."""
    is_text = isinstance(values, Texts)
    return Rule(
        name=name,
        kind="String" if is_text else "Fractional",
        completeness=completeness,
        domain=frozenset(values.counts) if isinstance(values, Texts) else None,
        is_watched=True,
        emits=True,
        typed_share=1.0,
        domain_share=1.0,
        compares=True,
        distance=0.0,
        method=ROBUST if method == ROBUST else SIMPLE,
        text_distance=1.0 if method == CHI_SQUARED else 0.0,
        text_method=CHI_SQUARED if method == CHI_SQUARED else "",
    )


def shuffled_window(random: Any, rows: int, base: int, features: int, method: str) -> bool:
    """Whether a window of the baseline's own distribution fires."""
    rules, then, now = {}, {}, {}
    for i in range(features):
        name, lack = f"f{i}", (0.0, 0.05, 0.0005, 0.3)[i % 4]
        missing = [int(random.binomial(count, lack)) for count in (rows, base)]
        sizes = (rows - missing[0], base - missing[1])
        if i % 3 == 2:
            share = 1 / np.arange(1, (2, 6, 40, 1000)[i // 3 % 4] + 1)
            drawn = [random.choice(len(share), n, p=share / share.sum()) for n in sizes]
            values: Any = [texts(each) for each in drawn]
        else:
            spread = random.exponential if i % 3 else random.normal
            values = [sketch(spread(size=n).round(i % 3 + 1)) for n in sizes]
        rules[name] = rule(name, method, values[1], suggested_completeness(sizes[1], missing[1]))
        then[name] = Reference(sizes[1], missing[1], values[1])
        now[name] = Observed(rows, sizes[0], 0, 0, values[0])
    return any(finding.fires for finding in check_features(rules, then, now))


@pytest.mark.parametrize("method", [ROBUST, SIMPLE, CHI_SQUARED])
@pytest.mark.parametrize(
    ("rows", "base", "features"), [(1, 300, 12), (12, 1000, 24), (80, 300, 48), (1500, 400, 12)]
)
def test_shuffled_rows_fire_in_at_most_one_window_of_a_hundred(
    method: str, rows: int, base: int, features: int
) -> None:
    """With bounds of zero, whatever the window's size and the number of features."""
    random = np.random.default_rng(11)
    windows = 40
    fired = sum(shuffled_window(random, rows, base, features, method) for _ in range(windows))
    # 1 % of 40 windows: three or more have a chance of less than 1 %.
    assert fired <= 2


def drawn_quality(random: Any, problem: str, rows: int) -> tuple[Quality, Array, Array]:
    """Figures of a model of some skill."""
    if problem == "binary":
        labels = (random.random(rows) < 0.2).astype(int)
        scores = 1 / (1 + np.exp(-(2 * labels - 1 + random.normal(size=rows))))
        predicted, size = (scores >= 0.5).astype(int), 2
    elif problem == "multiclass":
        labels = random.choice(3, rows, p=(0.6, 0.3, 0.1))
        predicted = np.where(random.random(rows) < 0.3, random.integers(0, 3, rows), labels)
        scores, size = np.eye(3)[predicted], 3
    else:
        labels = random.normal(size=rows)
        scores, size = labels + random.standard_t(4, size=rows) * np.exp(labels / 2), 0
        predicted = labels
    found = figures(problem, labels, scores)
    found.pop("rows")
    table = None
    if size:
        table = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
    return Quality(found, rows, table), labels, scores


WORSE = {
    "binary": {"auc": LESS, "accuracy": LESS, "recall": LESS, "precision": LESS, "f1": LESS,
               "false_positive_rate": GREATER},
    "multiclass": {"accuracy": LESS, "weighted_f1": LESS, "weighted_precision": LESS},
    "regression": {"mae": GREATER, "rmse": GREATER, "r2": LESS},
}  # fmt: skip


@pytest.mark.parametrize("problem", WORSE)
@pytest.mark.parametrize(
    ("rows", "base", "windows"), [(6, 300, 40), (150, 600, 30), (900, 300, 30)]
)
def test_an_unchanged_model_fires_in_at_most_one_window_of_a_hundred(
    problem: str, rows: int, base: int, windows: int
) -> None:
    """With bounds a standard deviation from the baseline, as baselines suggest them."""
    random = np.random.default_rng(3)
    fired = 0
    for _ in range(windows):
        then, labels, scores = drawn_quality(random, problem, base)
        spread = deviations(problem, labels, scores)
        bounds = {
            name: Bound(
                value - (spread[name] or 0) if operator == LESS else value + (spread[name] or 0),
                operator,
            )
            for name, operator in WORSE[problem].items()
            if (value := then.figures[name]) is not None
        }
        now, labels, scores = drawn_quality(random, problem, rows)
        found = judge(problem, bounds, now, then, (labels, scores))
        fired += any(finding.fires for finding in found)
    assert fired <= 2


def test_a_constant_answer_of_many_rows_is_worse_than_chance() -> None:
    """DeLong's variance of equal scores is zero; Hanley and McNeil's is not."""
    labels = np.arange(400) % 2
    deviation, freedom = auc_deviation(labels, np.full(400, 0.5), 0.9)
    assert 0 < deviation < 0.05
    assert freedom == 199


def test_bias_of_an_unchanged_model_seldom_parts() -> None:
    """Twenty metrics of three groups, small windows beside a large baseline."""
    names = [n for n in (*PRE_TRAINING, *POST_TRAINING) if n not in CONDITIONAL]
    level = LEVEL / (3 * len(names))
    random = np.random.default_rng(4)

    def table(rows: int) -> Array:
        values = random.choice(3, rows, p=(0.5, 0.3, 0.2))
        labels = random.random(rows) < 0.25
        predicted = np.where(random.random(rows) < 0.2, ~labels, labels)
        return table_of((values, 3), None, [labels, predicted])

    fired = 0
    for _ in range(25):
        now, then = table(180), table(1500)
        closed = [name for name in names if name in CLOSED]
        drifted = False
        for code in range(3):
            measured = [measure_value(t, code, names, conditional=False) for t in (now, then)]
            exact = measure_value(now, code, closed, conditional=False, confidence=1 - level)
            strict = {one.name: one.interval for one in exact}
            others = [name for name in names if name not in CLOSED]
            drawn = credible_intervals(now, code, others, labels_only=False)
            for one, base in zip(*measured, strict=True):
                if one.value is None or base.value is None:
                    continue
                interval = drawn.get(one.name, one.interval)
                side = Side(one.value, interval, strict.get(one.name))
                drifted |= has_drifted(one.name, side, Side(base.value, base.interval), level)
        fired += drifted
    assert fired <= 1


def test_a_count_of_zero_is_no_certainty() -> None:
    """Of 40 rows of a group none was predicted positive: DI is 0, and may well be 0.1."""
    table = np.array([[[[30, 0], [10, 0]]], [[[300, 50], [50, 100]]]])
    found = credible_intervals(table, 0, ["DI", "KL"], labels_only=False)
    assert measure_value(table, 0, ["DI"], conditional=False)[0].interval == (0, 0)
    low, high = found["DI"]
    assert low < 0.01
    assert high > 0.05


def test_bias_is_broken_away_from_fair_alone() -> None:
    """A smaller gap is no violation; DI, a ratio, is fair at 1."""
    assert is_broken("DPL", -0.3, 0.2)
    assert not is_broken("DPL", 0.1, -0.2)
    assert is_broken("DI", 0.7, 1.1)
    assert not is_broken("DI", 1.05, 0.8)


def test_ndcg_is_clarifys() -> None:
    """1 for the same order; the gains of the baseline at the window's places otherwise."""
    then = np.array([3.0, 2.0, 1.0])
    assert ndcg(np.array([9.0, 5.0, 1.0]), then) == 1
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg(np.array([1.0, 2.0, 3.0]), then) == pytest.approx(
        (1 + 2 / math.log2(3) + 3 / 2) / ideal
    )
    assert ndcg(np.ones(3), np.zeros(3)) == 1


def test_an_order_that_chance_explains_is_told_from_one_that_it_does_not() -> None:
    """Nearly equal features change places by chance; a feature that takes over does not."""
    random = np.random.default_rng(8)
    scale = np.array([1.0, 0.98, 0.96, 0.2])
    then = np.abs(random.normal(size=(500, 4)) * scale).mean(axis=0)
    same = np.abs(random.normal(size=(150, 4)) * scale)
    assert ndcg_chance(same, then, 500) > LEVEL
    assert ndcg_chance(same * np.array([1, 1, 1, 50]), then, 500) <= LEVEL
    assert ndcg_chance(same[:40], then, 500) == 1


@pytest.mark.parametrize(
    ("severity", "fires", "words"),
    [
        (3.0, True, "auc is 0.7 (bound 0.8)"),
        (3.0, False, "auc is 0.7 (bound 0.8), which chance explains in so few rows"),
        (0.4, False, "nearest its bound: auc is 0.7 (bound 0.8)"),
    ],
)
def test_what_is_no_violation_is_not_told_as_one(severity: float, fires: bool, words: str) -> None:
    """The worst figure of a window says whether it broke its bound, and whether that counts."""
    finding = Finding("auc", "check", 0.7, 0.8, severity, fires, "auc is 0.7 (bound 0.8)", "")
    assert in_words(finding) == words
