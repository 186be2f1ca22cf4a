"""Statistics by period, and the queries of GetMetricData and of alarms."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.metrics.math import ExpressionError, Series, evaluate, identifiers
from local.metrics.store import MetricStore, Point, aggregate, check_statistic, series_key

# Turns a window of the caller's time axis into points placed on that axis.
Fetch = Callable[[Mapping[str, Any], float, float], list[Point]]


class QueryInvalidError(ValueError):
    """A query that CloudWatch would refuse."""


def dimensions_of(metric: Mapping[str, Any]) -> dict[str, str]:
    """The API's list of Name and Value as a map."""
    return {entry["Name"]: entry["Value"] for entry in metric.get("Dimensions") or []}


def by_period(points: Sequence[Point], statistic: str, period: float) -> Series:
    """Points gathered into periods; the key is the period's start."""
    gathered: dict[float, list[Point]] = {}
    for point in points:
        gathered.setdefault(math.floor(point.moment / period) * period, []).append(point)
    series: Series = {}
    for start in sorted(gathered):
        value = aggregate(gathered[start], statistic)
        if value is not None:
            series[start] = value
    return series


def plain_fetch(store: MetricStore) -> Fetch:
    """Points of a metric as they were recorded."""

    def fetch(stat: Mapping[str, Any], start: float, end: float) -> list[Point]:
        metric = stat["Metric"]
        key = series_key(metric["Namespace"], metric["MetricName"], dimensions_of(metric))
        return store.between(key, start, end, stat.get("Unit"))

    return fetch


def check_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    """Raise `QueryInvalidError` for what is wrong or not supported, before anything runs."""
    known = {query.get("Id") for query in queries}
    if len(known) != len(queries):
        raise QueryInvalidError("The values for parameter id in MetricDataQueries are not unique.")
    for query in queries:
        stat, expression = query.get("MetricStat"), query.get("Expression")
        if bool(stat) == bool(expression):
            raise QueryInvalidError(
                f"{query.get('Id')} needs exactly one of MetricStat and Expression."
            )
        if stat:
            check_statistic(stat["Stat"])
        elif expression:
            if str(expression).lstrip().upper().startswith("SELECT"):
                raise QueryInvalidError(
                    "Metrics Insights (SELECT) is not supported by the local cloud."
                )
            for name in ("SEARCH", "ANOMALY_DETECTION_BAND"):
                if name in identifiers(expression):
                    raise QueryInvalidError(
                        f"{name} is not supported by the local cloud's metric math."
                    )


def run_queries(
    queries: Sequence[Mapping[str, Any]], start: float, end: float, fetch: Fetch
) -> dict[str, list[Series]]:
    """Every query's series by id; expressions may use one another."""
    periods = [query["MetricStat"]["Period"] for query in queries if query.get("MetricStat")]
    periods += [query["Period"] for query in queries if query.get("Period")]
    period = float(min(periods, default=60))
    first = math.floor(start / period) * period
    starts = [first + n * period for n in range(math.ceil((end - first) / period))]
    results: dict[str, list[Series]] = {}
    waiting = []
    for query in queries:
        stat = query.get("MetricStat")
        if stat:
            points = fetch(stat, start, end)
            results[query["Id"]] = [by_period(points, stat["Stat"], float(stat["Period"]))]
        else:
            waiting.append(query)
    while waiting:
        ready = [q for q in waiting if not _open_names(q, waiting)]
        if not ready:
            raise QueryInvalidError("The expressions use one another in a circle.")
        flat = {key: value[0] for key, value in results.items() if len(value) == 1}
        for query in ready:
            try:
                results[query["Id"]] = evaluate(query["Expression"], flat, starts, period)
            except ExpressionError as error:
                raise QueryInvalidError(str(error)) from None
        waiting = [query for query in waiting if query not in ready]
    return results


def _open_names(query: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]]) -> set[str]:
    names = identifiers(query["Expression"])
    return {other["Id"] for other in waiting if other["Id"] in names}
