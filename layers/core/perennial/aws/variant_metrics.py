"""What CloudWatch counted of the variants of an endpoint, period by period.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.ab_report import Period
from perennial.domain.answer_figures import BAD_ANSWERS, answer_dimensions
from perennial.domain.answer_figures import NAMESPACE as OURS

NAMESPACE = "AWS/SageMaker"
MICROSECONDS = 1000.0  # to a millisecond
MINUTE_MS, DAY_MS = 60_000, 86_400_000
# How long CloudWatch keeps minutes and five minutes; longer ago it has hours.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
MINUTES_KEPT_MS, FIVE_MINUTES_KEPT_MS = 15 * DAY_MS, 63 * DAY_MS
FIGURES = (
    ("requests", "Invocations", "Sum"),
    ("errors", "Invocation5XXErrors", "Sum"),
    ("latency", "ModelLatency", "Average"),
    ("p99", "ModelLatency", "p99"),
)


@dataclass(frozen=True)
class Counted:
    """A variant's periods in order of time; those without a request are left out."""

    variant: str
    periods: tuple[Period, ...]


def period_ms(began_ms: int, now_ms: int) -> int:
    """The shortest period that CloudWatch still keeps from the beginning on."""
    age = now_ms - began_ms
    if age < MINUTES_KEPT_MS - MINUTE_MS:
        return MINUTE_MS
    return 5 * MINUTE_MS if age < FIVE_MINUTES_KEPT_MS - MINUTE_MS else 60 * MINUTE_MS


def read_variants(
    endpoint: str, config: str, variants: Sequence[str], began_ms: int, now_ms: int
) -> tuple[Counted, ...]:
    """The figures of each variant under one configuration, from `began_ms` on.

    Raises what `translated` tells of CloudWatch's refusals.
    """
    length = period_ms(began_ms, now_ms)
    begin = began_ms - began_ms % length
    queries = [
        _query(f"{figure}_{place}", metric, stat, _names(endpoint, variant, config), length)
        for place, variant in enumerate(variants)
        for figure, metric, stat in FIGURES
    ]
    found: dict[str, dict[int, float]] = {str(query["Id"]): {} for query in queries}
    paginator: Any = client("cloudwatch").get_paginator("get_metric_data")
    with translated(f"reading the metrics of {endpoint}"):
        for page in paginator.paginate(
            MetricDataQueries=queries, StartTime=_time(begin), EndTime=_time(now_ms + MINUTE_MS)
        ):
            for result in page["MetricDataResults"]:
                moments = [int(each.timestamp() * 1000) for each in result["Timestamps"]]
                found[result["Id"]].update(zip(moments, result["Values"], strict=True))
    return tuple(
        Counted(variant, _periods(place, found, length)) for place, variant in enumerate(variants)
    )


def count_requests(endpoint: str, variant: str, config: str, began_ms: int, ended_ms: int) -> int:
    """The requests that a variant answered in a span of time, well or not.

    `config`: under this configuration alone, "" for any. Raises as `read_variants`.
    """
    names = {"EndpointName": endpoint, "VariantName": variant}
    if config:
        names["EndpointConfigName"] = config
    length = period_ms(began_ms, ended_ms)
    query = _query("requests", "Invocations", "Sum", names, length)
    return _sum(query, endpoint, began_ms - began_ms % length, ended_ms)


def count_answers(stack: str, model: str, release: int, began_ms: int, ended_ms: int) -> int:
    """The answers that `predict` noted of what a release brought, good or bad, in a span of time.

    For an endpoint that several models share. Raises as `read_variants`.
    """
    names = answer_dimensions(stack, model, release)
    length = period_ms(began_ms, ended_ms)
    query = _query("answers", BAD_ANSWERS, "SampleCount", names, length, namespace=OURS)
    return _sum(query, f"release {release} of {model}", began_ms - began_ms % length, ended_ms)


def _sum(query: Mapping[str, Any], what: str, begin_ms: int, ended_ms: int) -> int:
    """All that a query finds, added up."""
    paginator: Any = client("cloudwatch").get_paginator("get_metric_data")
    with translated(f"reading the metrics of {what}"):
        pages = paginator.paginate(
            MetricDataQueries=[query],
            StartTime=_time(begin_ms),
            EndTime=_time(ended_ms + MINUTE_MS),
        )
        results = [result for page in pages for result in page["MetricDataResults"]]
    return round(sum(sum(result["Values"]) for result in results))


def _periods(place: int, found: dict[str, dict[int, float]], length: int) -> tuple[Period, ...]:
    requests, errors, latency, p99 = (found[f"{figure}_{place}"] for figure, _, _ in FIGURES)
    return tuple(
        Period(
            begin_ms=moment,
            end_ms=moment + length,
            requests=round(count),
            errors=round(errors.get(moment, 0.0)),
            latency_ms=latency[moment] / MICROSECONDS if moment in latency else None,
            p99_ms=p99[moment] / MICROSECONDS if moment in p99 else None,
        )
        for moment, count in sorted(requests.items())
        if count > 0
    )


def _names(endpoint: str, variant: str, config: str) -> dict[str, str]:
    return {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}


def _query(  # noqa: PLR0913  # what a query of CloudWatch names
    key: str,
    metric: str,
    stat: str,
    names: Mapping[str, str],
    length: int,
    *,
    namespace: str = NAMESPACE,
) -> dict[str, Any]:
    dimensions = [{"Name": kind, "Value": name} for kind, name in names.items()]
    described = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
    return {
        "Id": key,
        "MetricStat": {"Metric": described, "Period": length // 1000, "Stat": stat},
    }


def _time(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, timezone.utc)
