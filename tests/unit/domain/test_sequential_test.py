"""The sequential test keeps its false-positive rate under daily peeking, and finds what differs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.sequential_test import (
    ALPHA,
    Difference,
    Kind,
    Sample,
    Stratum,
    compare,
    sample_of,
    share_of,
)

TESTS, DAYS = 1000, 28
#: The random numbers, the day, how many observations, and the true difference.
Draw = Callable[[np.random.Generator, int, int, float], Sample]


def correct(random: np.random.Generator, _day: int, count: int, shift: float) -> Sample:
    """85 % of the predictions are right."""
    return share_of(count, int(random.binomial(count, 0.85 + shift)))


def failed(random: np.random.Generator, _day: int, count: int, shift: float) -> Sample:
    """One request in a hundred fails."""
    return share_of(count, int(random.binomial(count, 0.01 + shift)))


def seasonal(random: np.random.Generator, day: int, count: int, shift: float) -> Sample:
    """The weeks differ from each other by much more than the variants ever do."""
    return share_of(count, int(random.binomial(count, 0.9 - 0.1 * (day // 7) + shift)))


def skewed(random: np.random.Generator, _day: int, count: int, shift: float) -> Sample:
    """Times with a long tail: a log-normal distribution."""
    return sample_of(np.exp(random.normal(0, 1, count)) + shift)


@dataclass(frozen=True)
class Design:
    """A test: what is observed, and how many of each variant a day, by the day."""

    draw: Draw
    kind: Kind
    main: Callable[[int], int]
    challenger: Callable[[int], int]


HALVES = Design(correct, "share", lambda _: 200, lambda _: 200)
DESIGNS = {
    "halves": HALVES,
    "a tenth, rare events": Design(failed, "share", lambda _: 1800, lambda _: 200),
    "a hundredth, rare events": Design(failed, "share", lambda _: 9900, lambda _: 100),
    "shares grow while seasons pass": Design(
        seasonal,
        "share",
        lambda day: (495, 450, 250, 250)[day // 7],
        lambda day: (5, 50, 250, 250)[day // 7],
    ),
    "long tails": Design(skewed, "mean", lambda _: 60, lambda _: 20),
}


def peek_daily(design: Design, random: np.random.Generator, shift: float) -> Difference:
    """Look each day; the first look that tells a difference, else the last. A stratum a share."""
    strata: list[Stratum] = []
    shares: tuple[int, int] | None = None
    found = compare([], design.kind)
    for day in range(DAYS):
        counts = (design.main(day), design.challenger(day))
        new = Stratum(
            design.draw(random, day, counts[0], 0.0), design.draw(random, day, counts[1], shift)
        )
        if counts == shares:
            last = strata.pop()
            new = Stratum(last.main + new.main, last.challenger + new.challenger)
        strata.append(new)
        shares = counts
        found = compare(strata, design.kind)
        if found.finding in ("higher", "lower"):
            return found
    return found


@pytest.mark.parametrize("name", DESIGNS)
def test_daily_peeking_keeps_the_stated_rate(name: str) -> None:
    """Of 1,000 tests of two equal variants at most the stated share ever tells a difference."""
    random = np.random.default_rng(20261121)
    told = sum(
        peek_daily(DESIGNS[name], random, 0.0).finding in ("higher", "lower") for _ in range(TESTS)
    )
    standard_error = math.sqrt(ALPHA * (1 - ALPHA) / TESTS)
    assert told / TESTS <= ALPHA + 3 * standard_error


def test_an_ordinary_test_would_not_keep_it() -> None:
    """The same days told by a two-sided z-test of 5 %: the simulation can see the harm."""
    random = np.random.default_rng(1)
    told = 0
    for _ in range(300):
        main = challenger = Sample()
        for day in range(DAYS):
            main += correct(random, day, 200, 0.0)
            challenger += correct(random, day, 200, 0.0)
            share = (main + challenger).mean
            spread = math.sqrt(share * (1 - share) * (1 / main.count + 1 / challenger.count))
            if abs(challenger.mean - main.mean) > 1.96 * spread:
                told += 1
                break
    assert told / 300 > 3 * ALPHA


@pytest.mark.parametrize(
    ("name", "shift", "finding", "power"),
    [
        ("halves", -0.04, "lower", 0.9),
        ("halves", 0.04, "higher", 0.9),
        ("a tenth, rare events", 0.02, "higher", 0.9),
        ("shares grow while seasons pass", 0.04, "higher", 0.9),
        ("long tails", 0.6, "higher", 0.9),
    ],
)
def test_a_true_difference_is_found(name: str, shift: float, finding: str, power: float) -> None:
    """Within four weeks, in the right direction, in most tests; the wrong one is told almost never.

    A wrong direction is a false positive too, so it obeys the stated rate.
    """
    random = np.random.default_rng(7)
    found = [peek_daily(DESIGNS[name], random, shift).finding for _ in range(200)]
    assert found.count(finding) / 200 >= power
    wrong = sum(each in ("higher", "lower") and each != finding for each in found)
    assert wrong / 200 <= ALPHA


def test_strata_keep_seasons_from_looking_like_a_difference() -> None:
    """A challenger that came in an easier week is not better: pooled, it would seem so."""
    strata = [
        Stratum(share_of(9000, 6300), share_of(1000, 700)),
        Stratum(share_of(5000, 4500), share_of(5000, 4500)),
    ]
    pooled = Stratum(strata[0].main + strata[1].main, strata[0].challenger + strata[1].challenger)
    assert compare([pooled], "share").finding == "higher"
    found = compare(strata, "share")
    assert (found.finding, found.estimate) == ("no difference yet", 0.0)


samples = st.builds(
    lambda count, share: share_of(count, round(count * share)),
    st.integers(0, 5000),
    st.floats(0, 1),
)
strata_lists = st.lists(st.builds(Stratum, samples, samples), max_size=5)


@given(strata_lists, st.sampled_from(["share", "mean"]), st.floats(0.001, 0.5))
def test_finding_interval_and_p_value_agree(
    strata: list[Stratum], kind: Kind, alpha: float
) -> None:
    """A difference is told exactly when the interval leaves out 0 and the p-value is that small."""
    found = compare(strata, kind, alpha=alpha)
    told = found.finding in ("higher", "lower")
    assert 0 <= found.p_value <= 1
    assert found.low <= found.estimate <= found.high or found.finding == "too little data"
    if not math.isclose(found.p_value, alpha, rel_tol=1e-9):
        assert told == (found.p_value < alpha)
        assert told == (found.low > 0 or found.high < 0)


@given(strata_lists, st.sampled_from(["share", "mean"]))
def test_the_variants_may_change_places(strata: list[Stratum], kind: Kind) -> None:
    """Then the difference has the other sign, and the evidence is the same."""
    found = compare(strata, kind)
    swapped = compare([Stratum(each.challenger, each.main) for each in strata], kind)
    assert swapped.p_value == pytest.approx(found.p_value)
    assert swapped.estimate == pytest.approx(-found.estimate)
    mirrored = {"higher": "lower", "lower": "higher"}
    assert swapped.finding == mirrored.get(found.finding, found.finding)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_a_sample_knows_mean_and_variance(values: list[float]) -> None:
    """As numpy computes them; samples add up."""
    half = len(values) // 2
    sample = sample_of(values[:half]) + sample_of(values[half:])
    assert sample.count == len(values)
    assert sample.mean == pytest.approx(float(np.mean(values)), abs=1e-6)
    scale = max(1.0, float(np.max(np.abs(values))))
    assert sample.variance == pytest.approx(float(np.var(values, ddof=1)), abs=1e-9 * scale**2)


@pytest.mark.parametrize(
    "stratum",
    [
        Stratum(share_of(29, 15), share_of(5000, 2500)),  # too few of one variant
        Stratum(share_of(5000, 2), share_of(5000, 3)),  # hardly any event
        Stratum(share_of(100_000, 20), share_of(100, 1)),  # none to be expected in the smaller
        Stratum(share_of(500, 500), share_of(500, 500)),  # never anything else
    ],
)
def test_too_little_is_said_to_be_too_little(stratum: Stratum) -> None:
    """No verdict rests on so few, and the interval is everything."""
    found = compare([stratum], "share")
    assert (found.finding, found.low, found.high) == ("too little data", -math.inf, math.inf)


def test_means_without_spread_say_nothing() -> None:
    """Equal values leave no chance to hold a difference against."""
    same = Stratum(sample_of([1.0] * 40), sample_of([2.0] * 40))
    assert compare([same], "mean").finding == "too little data"
    alone = replace(same, main=sample_of([1.0]))
    assert compare([alone] * 50, "mean").finding == "too little data"


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_a_rate_lies_between_0_and_1(alpha: float) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="alpha"):
        compare([], "share", alpha=alpha)
