"""Alarms in CloudWatch: those that guard a release."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound

ALARM = "ALARM"


def put_alarm(request: Mapping[str, Any]) -> None:
    """PutMetricAlarm; the same request again changes nothing but the alarm's state, if that."""
    with translated(f"putting alarm {request['AlarmName']}"):
        client("cloudwatch").put_metric_alarm(**request)


def alarm_states(names: Sequence[str]) -> dict[str, str]:
    """The state of each alarm that there is (`OK`, `ALARM`, `INSUFFICIENT_DATA`), by its name."""
    if not names:
        return {}
    with translated(f"describing alarms {', '.join(names)}"):
        found = client("cloudwatch").describe_alarms(AlarmNames=list(names))
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found.get("MetricAlarms", [])}


@dataclass(frozen=True)
class SeenAlarm:
    """An alarm's state, CloudWatch's reason for it, and the figures that the reason rests on.

    `values` are the newest datapoints, in the metric's own unit, like the alarm's `threshold`.
    """

    name: str
    state: str
    reason: str
    values: tuple[float, ...]
    threshold: float


def see_alarms(names: Sequence[str]) -> list[SeenAlarm]:
    """Each of these alarms that there is, as it is now."""
    with translated(f"describing alarms {', '.join(names)}"):
        found = client("cloudwatch").describe_alarms(AlarmNames=list(names))
    return [_seen(each) for each in found.get("MetricAlarms", [])]


def _seen(alarm: Mapping[str, Any]) -> SeenAlarm:
    data = json.loads(alarm.get("StateReasonData") or "{}")
    return SeenAlarm(
        name=alarm["AlarmName"],
        state=alarm["StateValue"],
        reason=alarm.get("StateReason", ""),
        values=tuple(float(value) for value in data.get("recentDatapoints", [])),
        threshold=float(alarm["Threshold"]),
    )


def list_alarms(prefix: str) -> list[str]:
    """The names of all metric alarms that begin so."""
    paginator: Any = client("cloudwatch").get_paginator("describe_alarms")
    with translated(f"listing alarms {prefix}*"):
        pages = paginator.paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"])
        return [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]


def delete_alarms(names: Sequence[str]) -> None:
    """Remove alarms; those that are gone stay gone."""
    # One that does not exist would keep CloudWatch from deleting all others of the request.
    for name in names:
        try:
            with translated(f"deleting alarm {name}"):
                client("cloudwatch").delete_alarms(AlarmNames=[name])
        except NotFound:
            continue
