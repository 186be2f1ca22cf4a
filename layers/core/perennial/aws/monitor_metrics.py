"""What monitors publish in CloudWatch: a few figures of each window, under their model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated

NAMESPACE = "Perennial/Monitoring"
MOST_AT_ONCE = 1000
#: CloudWatch takes no numbers beyond these; Clarify's monitors publish infinities so, too.
LARGEST = 2.348543e108


@dataclass(frozen=True)
class Metric:
    """One figure; `dimensions` come beside stack, model and monitor."""

    name: str
    value: float
    dimensions: Mapping[str, str] = field(default_factory=dict)


def publish(token: str, model: str, kind: str, metrics: Sequence[Metric]) -> None:
    """Publish figures of one monitor, as of now: an alarm looks at the last minute only."""
    own = {"Stack": token, "Model": model, "Monitor": kind}
    data: list[Any] = [
        {
            "MetricName": each.name,
            "Dimensions": [
                {"Name": name, "Value": value} for name, value in {**own, **each.dimensions}.items()
            ],
            "Value": min(max(each.value, -LARGEST), LARGEST),
        }
        for each in metrics
    ]
    for start in range(0, len(data), MOST_AT_ONCE):
        with translated(f"publishing figures of the {kind} monitor of {model}"):
            client("cloudwatch").put_metric_data(
                Namespace=NAMESPACE, MetricData=data[start : start + MOST_AT_ONCE]
            )
