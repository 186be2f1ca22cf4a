"""The two alarms of a target tracking policy, named and made as Application Auto Scaling does."""

import uuid
from typing import Any

from local.scaling.book import Place, Policy

NAMESPACE = "AWS/SageMaker"
EACH, ALL = "InvocationsPerInstance", "Invocations"
PERIOD = 60
HIGH_PERIODS, LOW_PERIODS = 3, 15
LOW_SHARE = 0.9  # of the target, below which the lower alarm goes off
DESCRIPTION = "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {arn}."


def names(place: Place) -> tuple[str, str]:
    """Fresh names of the upper and the lower alarm."""
    prefix = f"TargetTracking-{place.resource}"
    return f"{prefix}-AlarmHigh-{uuid.uuid4()}", f"{prefix}-AlarmLow-{uuid.uuid4()}"


def dimensions(place: Place) -> dict[str, str]:
    """The dimensions of a variant's metrics."""
    return {"EndpointName": place.endpoint, "VariantName": place.variant}


def requests(place: Place, policy: Policy) -> list[dict[str, Any]]:
    """PutMetricAlarm's parameters for the alarms that the policy has."""
    common = {
        "AlarmDescription": DESCRIPTION.format(arn=policy.arn),
        "ActionsEnabled": True,
        "AlarmActions": [policy.arn],
        "Namespace": NAMESPACE,
        "MetricName": EACH,
        "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions(place).items()],
        "Statistic": "Sum",
        "Period": PERIOD,
    }
    high = {
        **common,
        "AlarmName": policy.high,
        "EvaluationPeriods": HIGH_PERIODS,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": policy.target,
    }
    low = {
        **common,
        "AlarmName": policy.low,
        "EvaluationPeriods": LOW_PERIODS,
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": policy.target * LOW_SHARE,
    }
    return [high, low] if policy.can_shrink else [high]


def cause(policy: Policy, alarm: str) -> str:
    """AWS's words for a change that an alarm asked for."""
    return f"monitor alarm {alarm} in state ALARM triggered policy {policy.name}"
