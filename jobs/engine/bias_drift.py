"""Has a bias metric left its baseline? Only where intervals do not overlap.

A metric breaks its bound when it is farther from fair than the constraint is (fair is 0; of DI,
a ratio, 1), as Clarify's monitors have it. It is a violation when, besides, the interval of the
window and the interval of the baseline have no point in common. The baseline wrote 95 % intervals;
of many metrics some would part by chance, so both are those of the level that each of the metrics
gets: computed anew for the window's rates, and else widened by z / 1.96, z being the level's normal
quantile. A bound that a person set has no interval: then
the whole interval of the window must lie beyond it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jobs.engine.tails import normal_quantile

NORMAL_95 = normal_quantile(0.025)
Interval = tuple[float, float]


@dataclass(frozen=True)
class Side:
    """A metric's value and its 95 % interval; a bound that a person set has none.

    `strict` is the interval of the level that is asked for, where it can be computed: widening one
    of few rows would be too narrow.
    """

    value: float
    interval: Interval | None = None
    strict: Interval | None = None


def has_drifted(name: str, now: Side, then: Side, level: float) -> bool:
    """Whether a metric is farther from fair than at its baseline, beyond chance of that level."""
    if not is_broken(name, now.value, then.value) or now.interval is None:
        return False
    here = now.strict or widened(now.value, now.interval, level)
    if then.interval is None:
        low, high = here
        edge = distance_from_fair(name, then.value)
        fair = fair_value(name)
        nearest = 0.0 if low <= fair <= high else min(abs(low - fair), abs(high - fair))
        return nearest > edge
    there = widened(then.value, then.interval, level)
    return here[0] > there[1] or here[1] < there[0]


def is_broken(name: str, value: float, bound: float) -> bool:
    """Whether a value is farther from fair than its bound."""
    return distance_from_fair(name, value) > distance_from_fair(name, bound)


def distance_from_fair(name: str, value: float) -> float:
    """How far a metric is from its fair value."""
    return abs(value - fair_value(name))


def fair_value(name: str) -> float:
    """What a metric is without bias: 0, and of the ratio DI 1."""
    return 1.0 if name == "DI" else 0.0


def widened(value: float, interval: Interval, level: float) -> Interval:
    """A 95 % interval as one of another level, each side stretched by the quantiles' ratio."""
    factor = max(normal_quantile(level / 2) / NORMAL_95, 1.0)
    low, high = interval
    below = value - (value - low) * factor if math.isfinite(low) else low
    above = value + (high - value) * factor if math.isfinite(high) else high
    return below, above
