"""How far a feature has moved from its baseline, as Deequ measures it, and what chance alone moves.

Numbers: the largest difference of two distribution functions, over the union of the points of two
sketches. Texts: the largest difference of a text's shares, or the p-value of a chi-squared test
after rare texts were put together. `Robust` takes 1.8 * sqrt((n + m) / (n * m)) off, the share that
chance explains at a level of 0.003 (Knuth, The Art of Computer Programming 2, 3.3.1). All as in
`com.amazon.deequ.analyzers.Distance`, on which SageMaker Model Monitor rests.

A level of 0.003 for one feature is no promise for fifty. `chance` therefore says how far two
samples of one distribution may lie apart with a probability `level`: by the inequality of
Dvoretzky, Kiefer and Wolfowitz in its form for two samples (Wei and Dudley, "Two-sample
Dvoretzky-Kiefer-Wolfowitz inequalities", Statistics & Probability Letters 82, 2012, with the factor
e), by Hoeffding's for the share of each of several texts, and with room for the sketches' own
error. A monitor shares its level out among all that it compares (see docs/monitors.md).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jobs.engine.sketch import KllSketch
from jobs.engine.tails import chi_squared_tail, surplus

ROBUST_FACTOR = 1.8
SMALLEST_EXPECTED = 5  # Yates, Moore and McCabe
SMALLEST_EXPECTED_OF_TWO = 10  # Cochran
RARE_SHARE = 0.2
FEWEST_BELIEVED = 25
# A rank's error is a sum of many fair coins: beyond so many deviations it does not lie.
SKETCH_DEVIATIONS = 4


@dataclass(frozen=True)
class Texts:
    """How many rows had each text; `rows` counts the unlisted ones too.

    An unlisted text has at most `unlisted` rows, and a listed one may have `lost` more than its
    count says.
    """

    counts: Mapping[str, int]
    rows: int
    unlisted: float = 0
    lost: float = 0


def numeric_distance(now: KllSketch, then: KllSketch) -> float:
    """The largest difference of the two distribution functions, 0 to 1; both need numbers."""
    points = np.concatenate([now.points()[0], then.points()[0]])
    gaps = now.rank(points) / now.count - then.rank(points) / then.count
    return float(np.abs(gaps).max())


def text_distance(now: Texts, then: Texts) -> float:
    """The largest difference of any text's share, 0 to 1; both need rows.

    Of a text that one side does not list, the distance is what it is at least.
    """
    largest = 0.0
    for text in {*now.counts, *then.counts}:
        shares = [
            (side.counts[text] / side.rows, side.counts[text] / side.rows)
            if text in side.counts
            else (0.0, side.unlisted / side.rows)
            for side in (now, then)
        ]
        (low, high), (other_low, other_high) = shares
        largest = max(largest, low - other_high, other_low - high)
    return largest


def robust(distance: float, rows: int, base_rows: int) -> float:
    """Deequ's `Robust`: the distance less what chance explains."""
    return max(0.0, distance - ROBUST_FACTOR * _scale(rows, base_rows))


def chi_squared(now: Texts, then: Texts) -> float | None:
    """The p-value of the texts' counts against the baseline's shares, after Deequ's regrouping.

    None when fewer than two groups of texts remain. Texts that the baseline does not list are no
    part of it, as in Deequ; the check of categorical values sees those.
    """
    expected, observed = _expected(now, then)
    pairs = regrouped(expected, observed)
    if len(pairs) < 2:
        return None
    return chi_squared_tail(_statistic(pairs), len(pairs) - 1)


def chi_squared_chance(now: Texts, then: Texts) -> float:
    """The chance of counts so different when window and baseline are of one distribution.

    Unlike Deequ's p-value it takes the baseline for the sample that it is: a test of two samples.
    Texts are put together by how often both have them, until each group expects 25 rows of either,
    so that the smallest values can be believed; what the baseline does not list is one group.
    """
    texts = set(then.counts) if then.unlisted else {*now.counts, *then.counts}
    pairs = [(now.counts.get(text, 0), then.counts.get(text, 0)) for text in sorted(texts)]
    rest = (now.rows - sum(p[0] for p in pairs), then.rows - sum(p[1] for p in pairs))
    # The sort is stable: what shares a count stays in the order of the texts, which says nothing
    # about who has them.
    pairs = sorted([*pairs, rest], key=sum)
    shares = (now.rows / (now.rows + then.rows), then.rows / (now.rows + then.rows))
    groups: list[tuple[int, int]] = []
    here = there = 0
    for one, other in pairs:
        here, there = here + one, there + other
        if (here + there) * min(shares) >= FEWEST_BELIEVED:
            groups.append((here, there))
            here = there = 0
    if len(groups) < 2:
        return 1.0
    groups[-1] = (groups[-1][0] + here, groups[-1][1] + there)
    statistic = sum(
        (seen - (one + other) * share) ** 2 / ((one + other) * share)
        for one, other in groups
        for seen, share in zip((one, other), shares, strict=True)
    )
    return chi_squared_tail(statistic, len(groups) - 1)


def new_texts_chance(now: Texts, then: Texts, foreign: Mapping[str, int]) -> float:
    """The chance of so many texts that the baseline does not know, or of one so often.

    A baseline of some rows never knows all texts: of a row of the same distribution, the chance to
    be new is about the share of the baseline's rows whose text occurs once there (Good, Biometrika
    40, 1953). So the number of different new texts is held against the number of such rows, and
    each new text's rows against none, for as many texts as there are.
    """
    once = sum(1 for count in then.counts.values() if count == 1) + (then.unlisted == 1)
    unlisted = then.rows - sum(then.counts.values())
    once = max(once, unlisted)
    # What was dropped of very many texts were texts of few rows each: different ones.
    dropped = now.rows - sum(now.counts.values())
    kinds = surplus(len(foreign) + dropped, now.rows, once, then.rows)
    most = max(foreign.values(), default=0)
    texts = len({*now.counts, *then.counts})
    single = surplus(most, now.rows, 0, then.rows) * texts
    return min(2 * min(kinds, single), 1.0)


def _expected(now: Texts, then: Texts) -> tuple[dict[str, float], dict[str, int]]:
    """Expected and observed counts of the baseline's texts."""
    observed = {text: now.counts.get(text, 0) for text in then.counts}
    whole, base = sum(observed.values()), sum(then.counts.values())
    if not whole or not base:
        return {}, {}
    return {t: c / base * whole for t, c in then.counts.items()}, observed


def _statistic(pairs: list[tuple[float, float]]) -> float:
    return sum((seen - wanted) ** 2 / wanted for wanted, seen in pairs)


def regrouped(
    expected: Mapping[str, float], observed: Mapping[str, int]
) -> list[tuple[float, float]]:
    """Expected and observed counts, the rarest put together until a chi-squared test may be made.

    At most a fifth of the groups may expect fewer than 5 rows; of two groups neither may expect
    fewer than 10.
    """
    groups = [(count, text, float(observed[text])) for text, count in expected.items() if count > 0]
    heapq.heapify(groups)
    small = sum(count < SMALLEST_EXPECTED for count, _, _ in groups)
    while len(groups) >= 2:
        if len(groups) == 2:
            allowed = groups[0][0] >= SMALLEST_EXPECTED_OF_TWO <= groups[1][0]
        else:
            allowed = small <= int(RARE_SHARE * len(groups))
        if allowed:
            break
        one, other = heapq.heappop(groups), heapq.heappop(groups)
        joined = (one[0] + other[0], other[1], one[2] + other[2])
        heapq.heappush(groups, joined)
        small -= sum(each[0] < SMALLEST_EXPECTED for each in (one, other))
        small += joined[0] < SMALLEST_EXPECTED
    return [(count, seen) for count, _, seen in groups]


def numeric_chance(now: KllSketch, then: KllSketch, level: float) -> float:
    """What distance two samples of one distribution exceed with a chance of at most `level`."""
    blur = SKETCH_DEVIATIONS * (now.deviation / now.count + then.deviation / then.count)
    return _scale(now.count, then.count) * math.sqrt(math.log(math.e / level) / 2) + blur


def text_chance(now: Texts, then: Texts, level: float) -> float:
    """What distance of a text's share chance exceeds with a probability of at most `level`."""
    texts = len({*now.counts, *then.counts})
    blur = now.lost / now.rows + then.lost / then.rows
    return _scale(now.rows, then.rows) * math.sqrt(math.log(2 * texts / level) / 2) + blur


def _scale(rows: int, base_rows: int) -> float:
    return math.sqrt((rows + base_rows) / (rows * base_rows))
