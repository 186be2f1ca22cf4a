"""CloudWatch's API: data points and queries. Alarms and dashboards are in `registry`."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.exceptions import CloudWatchException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from local.metrics.query import (
    QueryInvalidError,
    by_period,
    check_queries,
    dimensions_of,
    plain_fetch,
    run_queries,
)
from local.metrics.registry import AlarmOperations
from local.metrics.store import Point, StatisticUnsupportedError, aggregate, check_statistic

if TYPE_CHECKING:
    from local.cloud import Cloud

MAX_DATA = 1000  # metric data of one PutMetricData
MAX_DIMENSIONS = 30
MAX_POINTS = 1440  # data points of one GetMetricStatistics
PAGE = 500


def metrics_response(cloud: "Cloud") -> Callable[[], BaseResponse]:
    """The response class, bound to this cloud."""

    class Response(MetricsResponse):
        """Bound to one cloud."""

    Response.cloud = cloud
    return Response


class MetricsResponse(AlarmOperations):
    """Every operation here is ours; one without a method is refused by name."""

    def put_metric_data(self) -> Any:
        """Record data points: values, values with counts, or statistic sets."""
        namespace = self._get_param("Namespace")
        if self._get_param("EntityMetricData"):
            raise NotImplementedError("PutMetricData with EntityMetricData is not supported")
        data = self._get_param("MetricData") or []
        if str(namespace).startswith("AWS/"):
            raise CloudWatchException(
                "InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid."
            )
        if len(data) > MAX_DATA:
            raise CloudWatchException(
                "InvalidParameterValue",
                f"The collection MetricData must not have a size greater than {MAX_DATA}.",
            )
        for datum in data:
            self._check_datum(datum)
        for datum in data:
            for point in self._points(datum):
                self.cloud.metrics.put_point(
                    namespace, datum["MetricName"], dimensions_of(datum), point
                )
        return EmptyResult()

    def _check_datum(self, datum: dict[str, Any]) -> None:
        if len(datum.get("Dimensions") or []) > MAX_DIMENSIONS:
            raise CloudWatchException(
                "InvalidParameterValue", f"No more than {MAX_DIMENSIONS} dimensions are allowed."
            )
        given = [
            name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None
        ]
        if len(given) != 1:
            raise CloudWatchException(
                "InvalidParameterCombination",
                "Exactly one of Value, Values and StatisticValues must be given.",
            )
        values = datum.get("Values") or [datum.get("Value", 0.0)]
        if not all(math.isfinite(value) for value in values):
            raise CloudWatchException(
                "InvalidParameterValue", "NaN and infinite values are not supported."
            )

    def _points(self, datum: dict[str, Any]) -> list[Point]:
        stamp = datum.get("Timestamp")
        moment = epoch(stamp) if stamp is not None else self.cloud.clock.now()
        unit = datum.get("Unit") or "None"
        figures = datum.get("StatisticValues")
        if figures:
            return [
                Point(
                    moment,
                    figures["Sum"],
                    figures["SampleCount"],
                    figures["Minimum"],
                    figures["Maximum"],
                    unit,
                )
            ]
        values = datum.get("Values") or [datum["Value"]]
        counts = datum.get("Counts") or [1.0] * len(values)
        return [
            Point(moment, value * count, count, value, value, unit)
            for value, count in zip(values, counts, strict=True)
        ]

    def get_metric_statistics(self) -> Any:
        """Statistics of one metric by period."""
        statistics = [
            *(self._get_param("Statistics") or []),
            *(self._get_param("ExtendedStatistics") or []),
        ]
        try:
            for statistic in statistics:
                check_statistic(statistic)
        except StatisticUnsupportedError as error:
            raise CloudWatchException("InvalidParameterValue", str(error)) from None
        start, end = epoch(self._get_param("StartTime")), epoch(self._get_param("EndTime"))
        period = self._get_param("Period")
        if start >= end:
            raise CloudWatchException(
                "InvalidParameterValue",
                "The parameter StartTime must be less than the parameter EndTime.",
            )
        if (end - start) / period > MAX_POINTS:
            raise CloudWatchException(
                "InvalidParameterCombination",
                f"You have requested more than {MAX_POINTS} datapoints; raise the Period.",
            )
        metric = {
            "Namespace": self._get_param("Namespace"),
            "MetricName": self._get_param("MetricName"),
            "Dimensions": self._get_param("Dimensions") or [],
        }
        stat = {"Metric": metric, "Unit": self._get_param("Unit")}
        points = plain_fetch(self.cloud.metrics)(stat, start, end)
        gathered = by_period(points, "SampleCount", period)
        datapoints = [self._datapoint(points, s, period, statistics) for s in gathered]
        return ActionResult({"Label": metric["MetricName"], "Datapoints": datapoints})

    def _datapoint(
        self, points: list[Point], start: float, period: float, statistics: list[str]
    ) -> dict[str, Any]:
        inside = [p for p in points if start <= p.moment < start + period]
        made: dict[str, Any] = {
            "Timestamp": datetime.fromtimestamp(start, UTC),
            "Unit": inside[0].unit,
        }
        for statistic in statistics:
            value = aggregate(inside, statistic)
            if statistic.startswith("p"):
                made.setdefault("ExtendedStatistics", {})[statistic] = value
            else:
                made[statistic] = value
        return made

    def get_metric_data(self) -> Any:
        """Queries and metric math."""
        queries = self._get_param("MetricDataQueries") or []
        start, end = epoch(self._get_param("StartTime")), epoch(self._get_param("EndTime"))
        try:
            check_queries(queries)
            found = run_queries(queries, start, end, plain_fetch(self.cloud.metrics))
        except (QueryInvalidError, StatisticUnsupportedError) as error:
            raise CloudWatchException("ValidationError", str(error)) from None
        newest_first = (self._get_param("ScanBy") or "TimestampDescending") == "TimestampDescending"
        results = []
        for query in queries:
            if query.get("ReturnData") is False:
                continue
            name = (query.get("MetricStat") or {}).get("Metric", {}).get("MetricName")
            for series in found[query["Id"]]:
                moments = sorted(series, reverse=newest_first)
                results.append(
                    {
                        "Id": query["Id"],
                        "Label": query.get("Label") or name or query["Id"],
                        "Timestamps": [datetime.fromtimestamp(m, UTC) for m in moments],
                        "Values": [series[m] for m in moments],
                        "StatusCode": "Complete",
                    }
                )
        return ActionResult({"MetricDataResults": results, "Messages": []})

    def list_metrics(self) -> Any:
        """Metrics that have data, filtered by namespace, name and dimensions."""
        namespace, name = self._get_param("Namespace"), self._get_param("MetricName")
        filters = self._get_param("Dimensions") or []
        first = int(self._get_param("NextToken") or 0)
        metrics = []
        for key_namespace, key_name, key_dimensions in self.cloud.metrics.series():
            dimensions = dict(key_dimensions)
            if namespace not in (None, key_namespace) or name not in (None, key_name):
                continue
            if any(
                f["Name"] not in dimensions or f.get("Value") not in (None, dimensions[f["Name"]])
                for f in filters
            ):
                continue
            listed = [{"Name": k, "Value": v} for k, v in key_dimensions]
            metrics.append(
                {"Namespace": key_namespace, "MetricName": key_name, "Dimensions": listed}
            )
        result: dict[str, Any] = {"Metrics": metrics[first : first + PAGE]}
        if len(metrics) > first + PAGE:
            result["NextToken"] = str(first + PAGE)
        return ActionResult(result)


def epoch(value: Any) -> float:
    """Epoch seconds of what the request's parser made of a time stamp."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, int | float):
        return float(value)
    return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
