"""How many instances a target tracking policy asks for.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
AWS does not say how it reckons; here as many instances as bring each to the target.
"""

import math
import statistics
from collections.abc import Sequence

CLOSE = 1e-9  # a load of exactly n targets needs n instances


def instances_for(load: float, target: float) -> int:
    """The fewest instances that get no more than the target each."""
    return math.ceil(load / target - CLOSE)


def more(loads: Sequence[float], target: float, desired: int, most: int) -> int | None:
    """The count to scale out to; None where that is no more than there are.

    `loads` are all instances' requests of the alarm's periods. Their median is taken: one period
    whose last requests are not counted yet does not make the answer smaller.
    """
    wanted = min(most, instances_for(statistics.median(loads), target)) if loads else 0
    return wanted if wanted > desired else None


def more_in_cooldown(
    each: Sequence[float], before: int, target: float, desired: int, most: int
) -> int | None:
    """As above while a scale-out from `before` instances cools down.

    What it has added counts as part of the answer: it grows again only for a load that would have
    asked for more than it did. `each` are an instance's requests by period.
    """
    return more([before * value for value in each], target, desired, most)


def fewer(loads: Sequence[float], target: float, desired: int, least: int) -> int | None:
    """The count to scale in to: enough for the busiest period; None where that is no less."""
    wanted = max(least, instances_for(max(loads, default=0.0), target))
    return wanted if wanted < desired else None
