"""The figures that a job prints, on their way to CloudWatch."""

from collections.abc import Iterable, Mapping, Sequence

from local.metrics.store import MetricStore, Point

SINGLE = 100  # points of one metric in one batch that are kept one by one

# Name, value, epoch seconds.
Measurement = tuple[str, float, float]


def condensed(values: Sequence[tuple[float, float]]) -> list[Point]:
    """Values with their epoch seconds as data points, in order.

    Each is a point of its own while a batch holds few. Of a flood, each whole second becomes one
    statistic set, as CloudWatch itself keeps nothing finer: 100,000 lines then cost no memory.
    """
    if len(values) <= SINGLE:
        return [Point(moment, value, 1, value, value, "None") for value, moment in values]
    seconds: dict[int, list[tuple[float, float]]] = {}
    for value, moment in values:
        seconds.setdefault(int(moment), []).append((value, moment))
    return [
        Point(
            moment=group[-1][1],
            total=sum(value for value, _ in group),
            count=len(group),
            low=min(value for value, _ in group),
            high=max(value for value, _ in group),
            unit="None",
        )
        for group in seconds.values()
    ]


def publish(
    store: MetricStore,
    namespace: str,
    dimensions: Mapping[str, str],
    measurements: Iterable[Measurement],
) -> None:
    """Record measurements in the metric store, each metric's in the order they came."""
    by_name: dict[str, list[tuple[float, float]]] = {}
    for name, value, moment in measurements:
        by_name.setdefault(name, []).append((value, moment))
    for name, values in by_name.items():
        for point in condensed(values):
            store.put_point(namespace, name, dimensions, point)
