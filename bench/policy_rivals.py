"""Other people's rules for when to retrain: Evidently's default, and ADWIN on the error."""

# ruff: noqa: PLC0415 - scipy is in the jobs' environment only

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bench.policy_streams import Array, Stream

SMALL = 1000
FEW_VALUES = 5
P_VALUE = 0.05
DISTANCE = 0.1
DRIFT_SHARE = 0.5


def evidently_fires(stream: Stream, reference: slice, window: slice) -> bool:
    """Evidently's `DataDriftPreset` by its defaults: at least half of the columns drifted.

    A column: with a reference of at most 1,000 rows the two-sample Kolmogorov-Smirnov test, for
    few values chi-squared, for two a z-test, each at p < 0.05; with more rows the Wasserstein
    distance ÷ the reference's standard deviation, for few values and categories the
    Jensen-Shannon distance, each from 0.1 on. Written after its documentation ("How data drift
    detection works"), for the package does not install beside current pandas and numpy.
    """
    before, now = stream.features.iloc[reference], stream.features.iloc[window]
    drifted = [_column_drifted(before[name], now[name]) for name in before.columns]
    return sum(drifted) >= DRIFT_SHARE * len(drifted)


def _column_drifted(before: pd.Series, now: pd.Series) -> bool:
    from scipy import stats

    before, now = before.dropna(), now.dropna()
    if before.empty or now.empty:
        return False
    values = pd.concat([before.astype(float), now.astype(float)]).nunique()
    few = values <= FEW_VALUES or isinstance(before.dtype, pd.CategoricalDtype)
    if len(before) > SMALL:
        if few:
            return _jensen_shannon(*_shares(before, now)) >= DISTANCE
        scale = max(float(np.std(before)), 0.001)
        return float(stats.wasserstein_distance(before, now)) / scale >= DISTANCE
    if not few:
        return bool(stats.ks_2samp(before, now).pvalue < P_VALUE)
    if values <= 2:
        return _z_test(before, now) < P_VALUE
    expected, found = _shares(before, now)
    expected = np.maximum(expected, 1e-4)
    result = stats.chisquare(found * len(now), expected / expected.sum() * len(now))
    return bool(result.pvalue < P_VALUE)


def _shares(before: pd.Series, now: pd.Series) -> tuple[Array, Array]:
    levels = sorted(set(before.unique()) | set(now.unique()))
    return tuple(
        each.value_counts(normalize=True).reindex(levels, fill_value=0.0).to_numpy(float)
        for each in (before.astype(float), now.astype(float))
    )  # type: ignore[return-value]


def _jensen_shannon(one: Array, two: Array) -> float:
    from scipy.spatial import distance

    return float(distance.jensenshannon(one, two, base=2))


def _z_test(before: pd.Series, now: pd.Series) -> float:
    value = before.iloc[0]
    one, two = float((before == value).mean()), float((now == value).mean())
    pooled = (one * len(before) + two * len(now)) / (len(before) + len(now))
    spread = math.sqrt(pooled * (1 - pooled) * (1 / len(before) + 1 / len(now)))
    if spread == 0:
        return 1.0
    return math.erfc(abs(one - two) / spread / math.sqrt(2))


@dataclass
class Adwin:
    """Adaptive windowing (A. Bifet, R. Gavaldà, SIAM Data Mining 2007, algorithm ADWIN2).

    Values in [0, 1] are kept as an exponential histogram of at most `most` buckets a size. The
    older part of the window is dropped when the means of some older and newer part differ by more
    than the bound of the paper's theorem 3.2 with its variance term. As usual it looks at every
    `clock`-th value, with at least `least` values in each part.
    """

    delta: float = 0.002
    clock: int = 32
    most: int = 5
    least: int = 5
    grace: int = 10
    # Newest size first; in each size oldest bucket first: (sum, variance x count).
    rows: list[list[tuple[float, float]]] = field(default_factory=lambda: [[]])
    count: int = 0
    total: float = 0.0
    scatter: float = 0.0
    seen: int = 0

    @property
    def mean(self) -> float:
        """The mean of the values that are kept."""
        return self.total / self.count if self.count else 0.0

    def add(self, value: float) -> bool:
        """Take a value; whether the window was cut: something changed."""
        self.seen += 1
        if self.count:
            self.scatter += (value - self.mean) ** 2 * self.count / (self.count + 1)
        self.rows[0].append((value, 0.0))
        self.count += 1
        self.total += value
        self._compress()
        if self.seen % self.clock or self.count <= self.grace:
            return False
        return self._cut()

    def _compress(self) -> None:
        for level, row in enumerate(self.rows):
            if len(row) <= self.most:
                return
            (sum_a, scatter_a), (sum_b, scatter_b) = row.pop(0), row.pop(0)
            size = 2**level
            between = (sum_a - sum_b) ** 2 / (2 * size)
            if level + 1 == len(self.rows):
                self.rows.append([])
            self.rows[level + 1].append((sum_a + sum_b, scatter_a + scatter_b + between))

    def _cut(self) -> bool:
        changed = False
        while self._has_cut():
            changed = True
            self._drop_oldest()
        return changed

    def _has_cut(self) -> bool:
        """Whether some split, from the oldest bucket on, has parts of different means."""
        size, total = 0, 0.0
        for level in range(len(self.rows) - 1, -1, -1):
            for index, (bucket, _) in enumerate(self.rows[level]):
                if level == 0 and index == len(self.rows[0]) - 1:
                    return False
                size += 2**level
                total += bucket
                rest = self.count - size
                if rest < self.least:
                    return False
                if size >= self.least and self._differ(size, total, rest):
                    return True
        return False

    def _differ(self, size: int, total: float, rest: int) -> bool:
        difference = total / size - (self.total - total) / rest
        variance = self.scatter / self.count
        logarithm = math.log(2 * math.log(self.count) / self.delta)
        harmonic = 1 / (size - self.least + 1) + 1 / (rest - self.least + 1)
        bound = math.sqrt(2 * harmonic * variance * logarithm) + 2 / 3 * logarithm * harmonic
        return abs(difference) > bound

    def _drop_oldest(self) -> None:
        level = len(self.rows) - 1
        total, scatter = self.rows[level].pop(0)
        size = 2**level
        self.count -= size
        self.total -= total
        mean = total / size
        self.scatter -= scatter + size * self.count * (mean - self.mean) ** 2 / (size + self.count)
        self.scatter = max(0.0, self.scatter)
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()
