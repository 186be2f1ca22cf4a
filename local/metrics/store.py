"""Data points of metrics, and statistics over them."""

import bisect
import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RETENTION = 15 * 86_400.0  # seconds; a session's worth and more
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)$")
STATISTICS = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")

SeriesKey = tuple[str, str, tuple[tuple[str, str], ...]]


class StatisticUnsupportedError(ValueError):
    """A statistic that the local cloud does not compute."""


@dataclass(frozen=True, slots=True)  # there are many
class Point:
    """One recorded value, or a set of values known by its figures (`count`, `low`, `high`)."""

    moment: float
    total: float
    count: float
    low: float
    high: float
    unit: str


@dataclass
class Series:
    """All points of one metric with one set of dimensions, ordered by time."""

    moments: list[float] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


def series_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> SeriesKey:
    """A metric is its namespace, its name and exactly its dimensions."""
    return namespace, name, tuple(sorted(dimensions.items()))


def check_statistic(statistic: str) -> None:
    """Raise `StatisticUnsupportedError` for one that cannot be computed."""
    if statistic not in STATISTICS and not PERCENTILE.match(statistic):
        raise StatisticUnsupportedError(
            f"The statistic {statistic} is not supported by the local cloud; it computes "
            f"{', '.join(STATISTICS)} and percentiles (p0 to p100)."
        )


def aggregate(  # noqa: PLR0911 - one return a statistic
    points: Iterable[Point], statistic: str
) -> float | None:
    """One statistic over points; None where there is none."""
    found = list(points)
    count = sum(point.count for point in found)
    if not found or count <= 0:
        return None
    if statistic == "SampleCount":
        return count
    if statistic == "Sum":
        return math.fsum(point.total for point in found)
    if statistic == "Average":
        return math.fsum(point.total for point in found) / count
    if statistic == "Minimum":
        return min(point.low for point in found)
    if statistic == "Maximum":
        return max(point.high for point in found)
    match = PERCENTILE.match(statistic)
    if not match:
        check_statistic(statistic)
        return None
    return _percentile(found, float(match.group(1)) / 100)


def _percentile(points: list[Point], share: float) -> float | None:
    """Linear between neighbouring ranks. Sets of several different values have no percentile."""
    if any(point.count > 1 and point.low != point.high for point in points):
        return None
    weighted = sorted((point.low, point.count) for point in points)
    total = sum(count for _, count in weighted)
    rank = share * (total - 1)
    below = _at_rank(weighted, math.floor(rank))
    above = _at_rank(weighted, math.ceil(rank))
    return below + (above - below) * (rank - math.floor(rank))


def _at_rank(weighted: list[tuple[float, float]], rank: int) -> float:
    seen = 0.0
    for value, count in weighted:
        seen += count
        if rank < seen:
            return value
    return weighted[-1][0]


class MetricStore:
    """All series; safe under threads."""

    def __init__(self) -> None:
        self._series: dict[SeriesKey, Series] = {}
        self._lock = threading.Lock()
        self.changed = threading.Event()

    def put(  # noqa: PLR0913, PLR0917 - a data point has so many parts
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        value: float,
        unit: str,
        moment: float,
        count: float = 1.0,
    ) -> None:
        """Record `value`, `count` times."""
        point = Point(moment, value * count, count, value, value, unit)
        self.put_point(namespace, name, dimensions, point)

    def put_point(
        self, namespace: str, name: str, dimensions: Mapping[str, str], point: Point
    ) -> None:
        """Record one point, in its place in time."""
        key = series_key(namespace, name, dimensions)
        with self._lock:
            series = self._series.setdefault(key, Series())
            at = bisect.bisect_right(series.moments, point.moment)
            series.moments.insert(at, point.moment)
            series.points.insert(at, point)
            if series.moments[0] < point.moment - RETENTION:
                stale = bisect.bisect_left(series.moments, point.moment - RETENTION)
                del series.moments[:stale], series.points[:stale]
        self.changed.set()

    def between(
        self, key: SeriesKey, start: float, end: float, unit: str | None = None
    ) -> list[Point]:
        """Points of one series with start <= moment < end."""
        with self._lock:
            series = self._series.get(key)
            if series is None:
                return []
            low = bisect.bisect_left(series.moments, start)
            high = bisect.bisect_left(series.moments, end)
            points = series.points[low:high]
        return [point for point in points if unit is None or point.unit == unit]

    def series(self) -> list[SeriesKey]:
        """Every series there is."""
        with self._lock:
            return sorted(self._series)
