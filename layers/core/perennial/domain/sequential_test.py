"""Whether two variants differ, told at any time and as often as one likes: a sequential test.

Whoever looks at an ordinary test each day, and stops when it says "significant", is wrong far more
often than the test says. Here the false-positive rate holds however often one looks: of all tests
of two variants that do not differ, at most a share of ``alpha`` ever says that they do.

The test is the mixture sequential probability ratio test (mSPRT): H. Robbins, "Statistical methods
related to the law of the iterated logarithm", Annals of Mathematical Statistics 41 (1970); for two
variants R. Johari, L. Pekelis, D. Walsh, "Always valid inference: bringing sequential analysis to
A/B testing" (arXiv:1512.04922), section 5. Let S be the sum over strata k of w_k d_k, with
d_k the difference of the means, w_k = n_k m_k / (n_k + m_k), and v its variance, W = sum w_k. Mixed
over differences of normal distribution with a spread of ``EFFECT`` standard deviations, the
likelihood ratio of "they differ" is

    (1 + e²W)^(-1/2) exp(e²W z² / (2 (1 + e²W))),   z² = S² / v,  e = EFFECT

a martingale where they do not differ, so that by Ville's inequality it ever reaches 1 / alpha with
a chance of at most alpha. That holds for normal means; ``FEWEST`` and ``FEWEST_EVENTS`` keep the
test silent until means are near enough to that (tests/unit/domain/test_sequential_test.py).

Why strata: where the share of the traffic changed, days of different difficulty weigh differently
in the two variants' means. So variants are compared within times of one share only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

#: The false-positive rate of a whole report; its figures share it.
ALPHA = 0.05
#: The differences, in standard deviations, that the test is most sensitive to.
EFFECT = 0.1
#: Fewer observations of a variant say nothing.
FEWEST = 30
#: Of yes-no outcomes as many of the rarer kind must be expected in the smaller variant.
FEWEST_EVENTS = 10

Kind = Literal["share", "mean"]
Finding = Literal["higher", "lower", "no difference yet", "too little data"]


@dataclass(frozen=True)
class Sample:
    """Observations of one variant: how many, their sum, and the sum of their squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """The mean; 0 without observations."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """The unbiased variance; 0 for fewer than two observations."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.count - 1))

    def __add__(self, other: Sample) -> Sample:
        return Sample(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )


def sample_of(values: Iterable[float]) -> Sample:
    """The sample of these observations."""
    known = list(values)
    return Sample(len(known), math.fsum(known), math.fsum(value * value for value in known))


def share_of(count: int, hits: int) -> Sample:
    """The sample of `count` yes-no outcomes, `hits` of which were yes."""
    return Sample(count, float(hits), float(hits))


@dataclass(frozen=True)
class Stratum:
    """What both variants were observed to do within a time of one share of the traffic."""

    main: Sample
    challenger: Sample


@dataclass(frozen=True)
class Difference:
    """Challenger minus main: `estimate`, and `low` to `high`, which holds the truth always.

    "Always": with a chance of at least 1 - alpha at every look together. `p_value` is valid at any
    time as well. Both means are over all strata, for people; the estimate is within them.
    """

    finding: Finding
    main: Sample
    challenger: Sample
    estimate: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    p_value: float = 1.0


def compare(strata: Sequence[Stratum], kind: Kind, *, alpha: float = ALPHA) -> Difference:
    """Hold the challenger against main; `kind` `share` for yes-no outcomes, else `mean`.

    Raises `ValueError` for an alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must lie between 0 and 1")
    main = sum((each.main for each in strata), Sample())
    challenger = sum((each.challenger for each in strata), Sample())
    usable = [each for each in strata if _is_usable(each, kind)]
    if not _is_enough(usable, kind):
        return Difference("too little data", main, challenger)
    weights = [_weight(each) for each in usable]
    weight = sum(weights)
    pairs = list(zip(usable, weights, strict=True))
    score = sum(w * (each.challenger.mean - each.main.mean) for each, w in pairs)
    variance = sum(w * w * _variance(each, kind) for each, w in pairs)
    estimate = score / weight
    if variance <= 0:  # every observation is the same: there is nothing to tell apart by chance
        return Difference("too little data", main, challenger, estimate)
    spread = EFFECT * EFFECT * weight
    evidence = spread * score * score / variance / (2 * (1 + spread)) - math.log1p(spread) / 2
    bound = (1 + spread) / spread * (2 * math.log(1 / alpha) + math.log1p(spread))
    radius = math.sqrt(variance * bound) / weight
    finding: Finding = "no difference yet"
    if evidence >= math.log(1 / alpha):
        finding = "higher" if estimate > 0 else "lower"
    return Difference(
        finding,
        main,
        challenger,
        estimate,
        estimate - radius,
        estimate + radius,
        math.exp(-max(0.0, evidence)),
    )


def _is_usable(stratum: Stratum, kind: Kind) -> bool:
    """A mean's variance takes two observations of each variant."""
    least = 1 if kind == "share" else 2
    return min(stratum.main.count, stratum.challenger.count) >= least


def _is_enough(strata: Sequence[Stratum], kind: Kind) -> bool:
    """Whether the means are near enough to normal for the test to hold its rate."""
    fewest = min(
        sum(each.main.count for each in strata), sum(each.challenger.count for each in strata)
    )
    if fewest < FEWEST:
        return False
    return kind == "mean" or min(_expected(strata)) >= FEWEST_EVENTS


def _expected(strata: Sequence[Stratum]) -> tuple[float, float]:
    """How often yes and no were to be expected in the smaller variant, if they do not differ."""
    yes = no = 0.0
    for each in strata:
        both = each.main + each.challenger
        fewer = min(each.main.count, each.challenger.count)
        yes += fewer * both.mean
        no += fewer * (1 - both.mean)
    return yes, no


def _weight(stratum: Stratum) -> float:
    n, m = stratum.main.count, stratum.challenger.count
    return n * m / (n + m)


def _variance(stratum: Stratum, kind: Kind) -> float:
    """The variance of the difference of the means within a stratum.

    Of yes-no outcomes by the share of both variants together, as it is if they do not differ.
    """
    main, challenger = stratum.main, stratum.challenger
    if kind == "share":
        share = (main + challenger).mean
        return share * (1 - share) * (1 / main.count + 1 / challenger.count)
    return main.variance / main.count + challenger.variance / challenger.count
