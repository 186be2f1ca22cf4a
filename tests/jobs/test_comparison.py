"""The paired bootstrap: rules, agreement with a plain one, and its nominal rate."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.comparison import direction, judge_champion
from perennial.domain.settings import Comparison

from jobs.engine import comparison as engine
from jobs.engine import row_draws
from jobs.engine.comparison import (
    Paired,
    arranged,
    bounds,
    comparable,
    compare,
    compare_windows,
    draw_differences,
    split_by_time,
)
from jobs.engine.paired_counts import Cells, is_count_figure
from jobs.model_quality import figures

PROBLEMS = ("binary", "multiclass", "regression")
CLASSES = 3


@st.composite
def pairs(draw: st.DrawFn, most: int = 40) -> Paired:
    """Rows of any problem, with ties, one class only and equal predictions among them."""
    problem = draw(st.sampled_from(PROBLEMS))
    rows = draw(st.integers(2, most))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    steps = draw(st.sampled_from([2, 10, 1000]))
    classes = draw(st.integers(1, CLASSES))
    if problem == "regression":
        labels: Any = np.round(random.normal(size=rows) * steps) / steps
        scores = [np.round(labels + random.normal(size=rows), 2) for _ in range(2)]
    elif problem == "binary":
        labels = random.integers(0, min(classes, 2), rows)
        scores = [random.integers(0, steps + 1, rows) / steps for _ in range(2)]
    else:
        labels = random.integers(0, classes, rows)
        scores = [random.integers(1, steps + 1, (rows, CLASSES)) / steps for _ in range(2)]
    if draw(st.booleans()):
        scores[1] = np.where(random.random(len(scores[0])) < 0.5, scores[0].T, scores[1].T).T
    return Paired(problem, labels, scores[0], scores[1])


def noisy(problem: str, rows: int, random: np.random.Generator) -> Paired:
    """Two equally good models with noise of their own."""
    if problem == "regression":
        labels: Any = random.normal(size=rows)
        scores = [labels + random.normal(size=rows) for _ in range(2)]
    elif problem == "binary":
        labels = (random.random(rows) < 0.3).astype(int)
        scores = [np.clip(labels * 0.2 + random.random(rows) * 0.8, 0, 1) for _ in range(2)]
    else:
        labels = random.integers(0, CLASSES, rows)
        scores = [random.random((rows, CLASSES)) + np.eye(CLASSES)[labels] * 0.4 for _ in range(2)]
    return Paired(problem, labels, scores[0], scores[1])


def swapped(pair: Paired) -> Paired:
    """The champion as candidate."""
    return Paired(pair.problem, pair.labels, pair.champion, pair.candidate)


def own_mirror(pair: Paired) -> bool:
    """Say whether the two models' counts of classes are the same either way."""
    one, other = (
        Cells.of(pair.problem, pair.labels, *scores)
        for scores in ((pair.candidate, pair.champion), (pair.champion, pair.candidate))
    )
    return one.mirrored == other.mirrored


def plain_bootstrap(pair: Paired, names: tuple[str, ...], draws: int) -> dict[str, Any]:
    """What the engine arranges: draw the rows, compute both models' figures again, subtract."""
    random = np.random.default_rng(99)
    found: dict[str, Any] = {name: [] for name in names}
    for _ in range(draws):
        drawn = pair.part(random.integers(0, len(pair.labels), len(pair.labels)))
        mine = figures(pair.problem, drawn.labels, drawn.candidate)
        theirs = figures(pair.problem, drawn.labels, drawn.champion)
        for name in names:
            one, other = mine[name], theirs[name]
            known = one is not None and other is not None
            found[name].append(direction(name) * (one - other) if known else np.nan)
    return {name: np.array(values) for name, values in found.items()}


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_swapped_models_give_the_negative(pair: Paired) -> None:
    """Every draw of every figure, bit by bit."""
    names = comparable(pair.problem)
    one = draw_differences(pair, names, 50)
    other = draw_differences(swapped(pair), names, 50)
    for name in names:
        if not (is_count_figure(name) and own_mirror(pair)):
            np.testing.assert_array_equal(one[name], -other[name], err_msg=name)


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_the_interval_holds_the_difference(pair: Paired) -> None:
    """For each figure of each problem; swapped models mirror it."""
    for name in comparable(pair.problem):
        asked = Comparison(name, draws=200)
        found, mirror = compare(pair, asked), compare(swapped(pair), asked)
        if found["difference"] is None:
            assert found["interval"] is None
            assert found["lower"] is None
            continue
        low, high = found["interval"]
        assert low <= found["difference"] <= high
        if not (is_count_figure(name) and own_mirror(pair)):
            assert mirror["interval"] == [-high, -low]
        assert found["lower"] is None or found["lower"] <= found["difference"]


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_equal_predictions_differ_by_nothing(pair: Paired) -> None:
    """Difference 0, interval 0, and without a margin that is not enough."""
    same = Paired(pair.problem, pair.labels, pair.candidate, pair.candidate.copy())
    for name in comparable(pair.problem):
        found = compare(same, Comparison(name, draws=100))
        if found["difference"] is not None:
            assert found["difference"] == 0
            assert found["interval"] == [0, 0]
            assert found["better_share"] == 0
        assert not judge_champion(found, Comparison(name)).passed
        if found["lower"] is not None:
            assert judge_champion(found, Comparison(name, 0.01)).passed


@settings(max_examples=30, deadline=None)
@given(pairs(most=12))
def test_draws_are_figures_of_drawn_rows(pair: Paired) -> None:
    """Each draw of sums and ranks equals the figures of the rows as they were drawn."""
    pair = arranged(pair)
    names = [name for name in comparable(pair.problem) if not is_count_figure(name)]
    found = draw_differences(pair, names, 20, seed=3)
    rows = len(pair.labels)
    drawn = np.random.default_rng(3).integers(0, rows, (20, rows))
    for i, picked in enumerate(drawn):
        part = pair.part(picked)
        mine = figures(part.problem, part.labels, part.candidate)
        theirs = figures(part.problem, part.labels, part.champion)
        for name in names:
            one, other = mine[name], theirs[name]
            constant = name == "r2" and np.ptp(part.labels) == 0  # its mean may be rounded
            if one is None or other is None or constant:
                assert np.isnan(found[name][i])
            else:
                assert found[name][i] == pytest.approx(
                    direction(name) * (one - other), rel=1e-9, abs=1e-9
                )


@pytest.mark.parametrize("many", [row_draws.MANY, 100])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_draws_agree_with_a_plain_row_bootstrap(
    problem: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean and spread of every figure's draws, within five standard errors of the plain ones.

    So they do when the rows count as many, and are drawn by Poisson numbers.
    """
    monkeypatch.setattr(row_draws, "MANY", many)
    pair = noisy(problem, 120, np.random.default_rng(5))
    names, draws = comparable(problem), 4000
    plain = plain_bootstrap(pair, names, draws // 2)
    for name, drawn in draw_differences(pair, names, draws).items():
        spread = np.nanstd(plain[name])
        assert abs(np.nanmean(drawn) - np.nanmean(plain[name])) < 5 * spread * (1.5 / draws) ** 0.5
        assert np.nanstd(drawn) == pytest.approx(spread, rel=0.12)
        for share in (0.05, 0.5, 0.95):
            below = (drawn <= np.nanquantile(plain[name], share)).mean()
            discrete = max((drawn == value).mean() for value in drawn[:20])
            assert abs(below - share) < 0.025 + discrete, name


@pytest.mark.parametrize(
    ("problem", "metric", "rows"),
    [
        ("binary", "auc", 300),
        ("binary", "f1", 1000),
        ("multiclass", "accuracy", 1000),
        ("regression", "rmse", 300),
    ],
)
def test_equal_models_pass_at_the_nominal_rate(problem: str, metric: str, rows: int) -> None:
    """Of 500 pairs a share `significance` passes, within three standard errors."""
    random = np.random.default_rng(2026)
    share, pairs_made = 0.05, 500
    asked = Comparison(metric, significance=share, draws=1000)
    passed = 0
    for i in range(pairs_made):
        pair = noisy(problem, rows, random)
        found = engine.measure(pair, {metric: asked.draws}, share, seed=i)[metric]
        judged = judge_champion(
            {**found, "metric": metric, "rows": rows, "confidence": 1 - share}, asked
        )
        passed += judged.passed
    error = (share * (1 - share) / pairs_made) ** 0.5
    assert abs(passed / pairs_made - share) <= 3 * error


def test_the_same_rows_give_the_same_document() -> None:
    """Seeded, so that a verdict can be repeated; in other blocks as well."""
    pair = noisy("binary", 500, np.random.default_rng(1))
    assert compare(pair, Comparison("auc", draws=300)) == compare(
        pair, Comparison("auc", draws=300)
    )


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by blocks of draws, and the random numbers run on across them."""
    pair = noisy("binary", 200, np.random.default_rng(1))
    whole = draw_differences(pair, ["auc", "brier"], 500)
    monkeypatch.setattr(row_draws, "BLOCK", 1)
    one_by_one = draw_differences(pair, ["auc", "brier"], 500)
    np.testing.assert_array_equal(whole["auc"], one_by_one["auc"])
    np.testing.assert_allclose(whole["brier"], one_by_one["brier"], rtol=0, atol=1e-14)


def test_poisson_draws_are_draws_of_the_rows() -> None:
    """Each draw has as many rows as there are; a row's count has the binomial distribution."""
    rows, draws = row_draws.MANY, 60
    seen = np.zeros(12)
    for _, counts in row_draws.drawn_counts(rows, draws, np.random.default_rng(3)):
        assert counts.shape == (1, rows)
        assert counts.sum() == rows
        seen += np.bincount(counts[0], minlength=12)[:12]
    total = rows * draws
    for count in range(8):
        chance = math.comb(rows, count) * (1 / rows) ** count * (1 - 1 / rows) ** (rows - count)
        error = (chance * (1 - chance) / total) ** 0.5
        assert abs(seen[count] / total - chance) < 5 * error


def test_poisson_bounds_are_cumulative_probabilities() -> None:
    """In units of 2^-32, up to the last that differs from one."""
    bounds = row_draws.thresholds(1.0) / 2**32
    assert bounds[:3] == pytest.approx(np.array([1, 2, 2.5]) / math.e, abs=1e-9)
    assert 1 - bounds[-1] < 1e-8


def test_many_rows_get_fewer_draws_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound then lies within its error of the one with all draws."""
    pair = noisy("regression", 500, np.random.default_rng(4))
    whole = compare(pair, Comparison("mae"))
    monkeypatch.setattr(engine, "MOST_ROW_DRAWS", 1000 * 500)
    fewer = compare(pair, Comparison("mae"))
    assert (whole["draws"], fewer["draws"]) == (10_000, 1000)
    assert "1,000 draws instead of 10,000, for there are 500 rows" in fewer["method"]
    spread = (whole["interval"][1] - whole["interval"][0]) / 3.92
    assert abs(whole["lower"] - fewer["lower"]) < 3 * 0.07 * spread


def test_one_class_only_has_no_auc_to_compare() -> None:
    """The gate fails by name instead of passing unseen."""
    scores = np.linspace(0, 1, 10)
    found = compare(Paired("binary", np.ones(10, dtype=int), scores, scores), Comparison("auc"))
    assert found["difference"] is None
    assert found["interval"] is None
    assert "neither model has one" in judge_champion(found, Comparison("auc")).words


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_fewer_than_two_rows_compare_nothing(rows: int, problem: str) -> None:
    """No bound, no crash, and a gate that says how many rows there are."""
    pair = noisy(problem, 5, np.random.default_rng(0)).part(np.arange(rows))
    asked = Comparison(comparable(problem)[0])
    found = compare(pair, asked)
    assert found["lower"] is None
    assert f"{rows} paired row" in judge_champion(found, asked).words
    assert len(compare_windows(pair, None, asked)) == rows


def test_scores_that_are_no_numbers_are_refused() -> None:
    """A NaN would silently lose every comparison."""
    good = np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="1 of the champion are no finite numbers"):
        Paired("binary", np.array([0, 1]), good, np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="are no pairs"):
        Paired("binary", np.array([0, 1]), good, good[:1])


def test_a_draw_without_a_figure_counts_as_the_worst() -> None:
    """3 of 100 leave a lower bound, 6 of 100 at 5 % none; the interval is of the others."""
    drawn = np.arange(100.0)
    drawn[:3] = np.nan
    few = bounds(drawn, 50.0, 0.05)
    assert (few.lower, few.undefined, few.interval) == (4.0, 3, (4.0, 98.0))
    drawn[:6] = np.nan
    assert bounds(drawn, 50.0, 0.05).lower is None
    assert bounds(np.full(5, np.nan), 0.0, 0.05).interval is None


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 7))
def test_windows_part_the_rows_by_time(times: list[int], windows: int) -> None:
    """Every row once, oldest first, never an instant in two windows, at most five of them."""
    landed = np.array(times)
    parts = split_by_time(landed, windows)
    assert sorted(np.concatenate(parts)) == list(range(len(times)))
    assert len(parts) <= min(windows, 5)
    assert all(len(part) for part in parts)
    for before, after in pairwise(parts):
        assert landed[before].max() < landed[after].min()


def test_windows_show_where_a_candidate_wins() -> None:
    """The relation turned at half time: the candidate follows the newer rows."""
    random = np.random.default_rng(8)
    labels = random.normal(size=2000)
    old, new = labels[:1000], labels[1000:]
    candidate = np.concatenate([old + random.normal(size=1000), new])
    champion = np.concatenate([old, new + random.normal(size=1000)])
    landed = np.repeat(np.arange(10), 200) * 1000
    found = compare_windows(
        Paired("regression", labels, candidate, champion), landed, Comparison("rmse", draws=200)
    )
    assert [entry["rows"] for entry in found] == [400] * 5
    assert [entry["from_ms"] for entry in found] == [0, 2000, 4000, 6000, 8000]
    assert found[0]["interval"][1] < 0 < found[-1]["interval"][0]
