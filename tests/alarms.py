"""Alarms that sound when a test says so."""

from __future__ import annotations

from typing import Any


def put_alarm(cloudwatch: Any, name: str, **more: Any) -> None:
    """An alarm on a metric that nobody writes."""
    quiet = {
        "Namespace": "Test",
        "MetricName": "none",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    }
    cloudwatch.put_metric_alarm(AlarmName=name, **{**quiet, **more})


def sound(cloudwatch: Any, name: str) -> None:
    """Let an alarm sound."""
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
