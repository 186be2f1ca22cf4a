"""A quantile sketch of numbers in bounded memory: KLL, in the layout of SageMaker Model Monitor.

The sketch is that of Karnin, Lang and Liberty, "Optimal Quantile Approximation in Streams"
(FOCS 2016), with the parameters that Model Monitor writes: `k` 2,048 and `c` 0.64. An item of
level h stands for 2^h numbers. When the sketch is over its capacity, the lowest full level is
sorted and every other item goes up; that moves the rank of any value by at most 2^h. Numpy and
the standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

K = 2048
C = 0.64
BUCKETS = 10
SMALLEST_CAPACITY = 2


class KllSketch:
    """Ranks and quantiles of numbers that are seen once, in about k / (1 - c) items.

    `count` is how many numbers were seen; their weights always sum to it. `error` bounds how many
    numbers any rank is off, for certain; `deviation` is the standard deviation of that many.
    Equal input in equal batches gives an equal sketch: the coins come from `seed`.
    """

    def __init__(self, k: int = K, c: float = C, seed: int = 0) -> None:
        self.k = k
        self.c = c
        self.count = 0
        self.error = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self._variance = 0.0
        self._levels: list[Array] = [np.empty(0)]
        # Every second coin is the opposite of the one before, which halves the variance.
        self._coins: list[int] = [0]
        self._flips: list[int] = [0]
        self._random = np.random.default_rng(seed)

    def update(self, values: Array) -> None:
        """Take some finite numbers; a batch of many is cheaper than many batches."""
        batch = np.asarray(values, dtype=np.float64).ravel()
        if not len(batch):
            return
        self.count += len(batch)
        self.minimum = min(self.minimum, float(batch.min()))
        self.maximum = max(self.maximum, float(batch.max()))
        self._levels[0] = np.concatenate([self._levels[0], batch])
        self._compress()

    def merge(self, other: KllSketch) -> None:
        """Take what another sketch of the same parameters has seen; raises ValueError."""
        if (self.k, self.c) != (other.k, other.c):
            raise ValueError(
                f"sketches of k {self.k}, c {self.c} and k {other.k}, c {other.c} do not merge"
            )
        self._grow(len(other._levels))
        for height, items in enumerate(other._levels):
            self._levels[height] = np.concatenate([self._levels[height], items])
        self.count += other.count
        self.error += other.error
        self._variance += other._variance
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self._compress()

    @property
    def deviation(self) -> float:
        """The standard deviation of a rank's error, in numbers (an upper bound)."""
        return math.sqrt(self._variance)

    @property
    def size(self) -> int:
        """How many items the sketch holds."""
        return sum(len(items) for items in self._levels)

    def capacity(self) -> int:
        """How many items it may hold between two updates."""
        return sum(self._capacity(height) for height in range(len(self._levels)))

    def rank(self, values: Array, *, inclusive: bool = True) -> Array:
        """About how many of the numbers seen are at most (or, not inclusive, below) each value."""
        items, weights = self.points()
        total = np.concatenate([[0], np.cumsum(weights)])
        wanted = np.asarray(values, dtype=np.float64)
        places = np.searchsorted(items, wanted, side="right" if inclusive else "left")
        return np.asarray(total[places])

    def quantile(self, shares: Array) -> Array:
        """About the smallest number with a share of all numbers at or below it; needs some."""
        items, weights = self.points()
        if not len(items):
            raise ValueError("an empty sketch has no quantiles")
        wanted = np.ceil(np.asarray(shares, dtype=np.float64) * self.count)
        places = np.searchsorted(np.cumsum(weights), np.maximum(wanted, 1))
        found = items[np.minimum(places, len(items) - 1)]
        # The two ends are known exactly.
        found = np.where(wanted <= 0, self.minimum, found)
        return np.where(wanted >= self.count, self.maximum, found)

    def points(self) -> tuple[Array, Array]:
        """All items in order, and how many numbers each stands for."""
        items = np.concatenate(self._levels)
        weights = np.repeat(
            [1 << height for height in range(len(self._levels))],
            [len(level) for level in self._levels],
        )
        order = np.argsort(items, kind="stable")
        return items[order], weights[order]

    def buckets(self, number: int = BUCKETS) -> list[dict[str, float]]:
        """Counts between equally spaced bounds, each right open but the last; [] when empty."""
        if not self.count:
            return []
        bounds = np.linspace(self.minimum, self.maximum, number + 1)
        bounds[-1] = self.maximum
        below = self.rank(bounds, inclusive=False).astype(np.float64)
        below[-1] = self.count
        return [
            {
                "lower_bound": float(bounds[i]),
                "upper_bound": float(bounds[i + 1]),
                "count": float(below[i + 1] - below[i]),
            }
            for i in range(number)
        ]

    def to_json(self) -> dict[str, Any]:
        """The `sketch` of Model Monitor's `kll`: its parameters, and the items level by level."""
        return {
            "parameters": {"c": self.c, "k": float(self.k)},
            "data": [np.sort(level).tolist() for level in self._levels],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], seed: int = 0) -> KllSketch:
        """Read a sketch that this class or Model Monitor wrote; raises ValueError for others.

        The file does not say how often it was compacted, so `error` is what its height implies:
        each level can have been compacted once for every full level that went into it.
        """
        try:
            parameters = document["parameters"]
            sketch = cls(int(parameters["k"]), float(parameters["c"]), seed)
            levels = [np.asarray(level, dtype=np.float64) for level in document["data"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no KLL sketch: {type(error).__name__}: {error}") from None
        if any(level.ndim != 1 or not np.isfinite(level).all() for level in levels):
            raise ValueError("no KLL sketch: a level is no list of finite numbers")
        sketch._grow(max(len(levels), 1))
        sketch._levels[: len(levels)] = levels
        sketch.count = sum(len(level) << height for height, level in enumerate(levels))
        for height in range(len(levels) - 1):
            passed = sum(
                len(level) << above for above, level in enumerate(levels) if above > height
            )
            times = math.ceil(passed / (sketch._capacity(height) << height))
            sketch.error += times << height
            sketch._variance += times * 4.0**height
        items = np.concatenate(sketch._levels)
        if len(items):
            sketch.minimum, sketch.maximum = float(items.min()), float(items.max())
        return sketch

    def _capacity(self, height: int) -> int:
        depth = len(self._levels) - 1 - height
        return max(math.ceil(self.k * self.c**depth), SMALLEST_CAPACITY)

    def _grow(self, height: int) -> None:
        while len(self._levels) < height:
            self._levels.append(np.empty(0))
            self._coins.append(0)
            self._flips.append(0)

    def _compress(self) -> None:
        """Compact the lowest level that is over its capacity until the whole is within its own."""
        while self.size > self.capacity():
            height = next(
                h for h, items in enumerate(self._levels) if len(items) > self._capacity(h)
            )
            self._compact(height)

    def _compact(self, height: int) -> None:
        self._grow(height + 2)
        items = np.sort(self._levels[height])
        even = len(items) - len(items) % 2
        # An item without a partner stays, so that the weights still sum to the count.
        self._levels[height] = items[even:]
        if self._flips[height] % 2 == 0:
            self._coins[height] = int(self._random.integers(2))
        else:
            self._coins[height] ^= 1
        self._flips[height] += 1
        chosen = items[self._coins[height] : even : 2]
        self._levels[height + 1] = np.concatenate([self._levels[height + 1], chosen])
        self.error += 1 << height
        self._variance += 4.0**height
