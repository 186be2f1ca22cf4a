"""The figures that a training job prints, as CloudWatch keeps them while it runs.

SageMaker reads them from the job's log by its metric definitions and puts them into the namespace
/aws/sagemaker/TrainingJobs, with the job's name as the only dimension.
https://docs.aws.amazon.com/sagemaker/latest/dg/training-metrics.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated

NAMESPACE, DIMENSION = "/aws/sagemaker/TrainingJobs", "TrainingJobName"
MOST_METRICS = 500  # of one GetMetricData
SECOND_MS = 1_000
# CloudWatch keeps single seconds for three hours and minutes for fifteen days.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
SECONDS_KEPT_MS, MINUTES_KEPT_MS = 3 * 3_600_000, 15 * 86_400_000
EARLY_MS = 60_000  # clocks differ: a job may have printed before it was created


@dataclass(frozen=True)
class Curve:
    """A metric's points by time: milliseconds since 1970, UTC, and the value."""

    name: str
    points: tuple[tuple[int, float], ...]


def period_s(began_ms: int, now_ms: int) -> int:
    """The shortest period, in seconds, that CloudWatch still keeps from the job's beginning on."""
    age = now_ms - began_ms + EARLY_MS
    if age < SECONDS_KEPT_MS:
        return 1
    return 60 if age < MINUTES_KEPT_MS else 3600


def read_curves(job: str, names: Sequence[str], began_ms: int, now_ms: int) -> tuple[Curve, ...]:
    """The named metrics of a training job since it began; those without a point are left out.

    A point is the mean of what the job printed within one period. Raises what `translated` tells
    of CloudWatch's refusals.
    """
    if not names:
        return ()
    period = period_s(began_ms, now_ms)
    asked = {f"m{place}": name for place, name in enumerate(names[:MOST_METRICS])}
    found: dict[str, list[tuple[int, float]]] = {key: [] for key in asked}
    paginator: Any = client("cloudwatch").get_paginator("get_metric_data")
    with translated(f"reading the metrics of {job}"):
        for page in paginator.paginate(
            MetricDataQueries=[_query(key, name, job, period) for key, name in asked.items()],
            StartTime=_time(began_ms - EARLY_MS),
            EndTime=_time(now_ms + SECOND_MS),
            ScanBy="TimestampAscending",
        ):
            for result in page["MetricDataResults"]:
                moments = [int(each.timestamp() * 1000) for each in result["Timestamps"]]
                found[result["Id"]] += zip(moments, result["Values"], strict=True)
    return tuple(
        Curve(name, tuple(sorted(found[key]))) for key, name in asked.items() if found[key]
    )


def _query(key: str, name: str, job: str, period: int) -> dict[str, Any]:
    dimensions = [{"Name": DIMENSION, "Value": job}]
    metric = {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions}
    return {"Id": key, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Average"}}


def _time(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, timezone.utc)
