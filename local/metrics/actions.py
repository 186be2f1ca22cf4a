"""What an alarm's change of state sets off: the event, and the state's actions."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.delivery import DeliveryError, invoke_later, publish_to_topic

if TYPE_CHECKING:
    from local.cloud import Cloud
    from local.metrics.alarms import Alarm

ACTION_SERVICES = ("sns", "lambda")
OWN_ACTION = "autoscaling"  # a policy of Application Auto Scaling, which watches its own alarms
REGION_WORDS = "EU (Ireland)"
_KEYS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
Before = tuple[str, str, str | None, float]


def unsupported_action(arn: str) -> str:
    """Why this action cannot be run; empty if it can."""
    parts = arn.split(":")
    if len(parts) < 6 or parts[2] not in ACTION_SERVICES:
        return f"The local cloud does not run the alarm action {arn} (it runs SNS and Lambda)."
    return ""


def announce(cloud: "Cloud", alarm: "Alarm", before: Before) -> None:
    """Publish the state change, then run the actions of the new state."""
    detail = {
        "alarmName": alarm.name,
        "state": _state(alarm.state, alarm.reason, alarm.reason_data, alarm.changed),
        "previousState": _state(*before),
        "configuration": _configuration(alarm),
    }
    cloud.publish_event("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm.arn])
    if not alarm.actions_enabled:
        return
    for action in alarm.configuration.get(_KEYS[alarm.state]) or []:
        if action.split(":")[2] == OWN_ACTION:
            continue
        try:
            _run(cloud, alarm, before, action, detail)
            cloud.journal.add("alarm-action", alarm=alarm.name, action=action, ok=True)
        except DeliveryError as error:
            cloud.journal.add(
                "alarm-action", alarm=alarm.name, action=action, ok=False, error=str(error)
            )


def _run(
    cloud: "Cloud", alarm: "Alarm", before: Before, action: str, detail: dict[str, Any]
) -> None:
    if action.split(":")[2] == "sns":
        subject = f'{alarm.state}: "{alarm.name}" in {REGION_WORDS}'
        message = json.dumps(_notification(cloud, alarm, before))
        publish_to_topic(cloud, action, message, subject[:100])
        return
    event = {
        "source": "aws.cloudwatch",
        "alarmArn": alarm.arn,
        "accountId": cloud.account,
        "time": _stamp(alarm.changed),
        "region": cloud.region,
        "alarmData": detail,
    }
    invoke_later(cloud, action, json.dumps(event).encode())


def _stamp(moment: float) -> str:
    at = datetime.fromtimestamp(moment, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def _state(value: str, reason: str, data: str | None, changed: float) -> dict[str, Any]:
    state = {"value": value, "reason": reason, "timestamp": _stamp(changed)}
    if data:
        state["reasonData"] = data
    return state


def _configuration(alarm: "Alarm") -> dict[str, Any]:
    made = alarm.configuration
    configuration: dict[str, Any] = {}
    if made.get("AlarmDescription"):
        configuration["description"] = made["AlarmDescription"]
    if alarm.composite:
        configuration["alarmRule"] = made["AlarmRule"]
        return configuration
    configuration["metrics"] = [_metric(query) for query in alarm.queries()]
    return configuration


def _metric(query: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"id": query["Id"], "returnData": query.get("ReturnData", True)}
    if query.get("Expression"):
        made["expression"] = query["Expression"]
        if query.get("Label"):
            made["label"] = query["Label"]
        return made
    stat = query["MetricStat"]
    dimensions = {d["Name"]: d["Value"] for d in stat["Metric"].get("Dimensions") or []}
    made["metricStat"] = {
        "metric": {
            "namespace": stat["Metric"]["Namespace"],
            "name": stat["Metric"]["MetricName"],
            "dimensions": dimensions,
        },
        "period": stat["Period"],
        "stat": stat["Stat"],
    }
    return made


def _notification(cloud: "Cloud", alarm: "Alarm", before: Before) -> dict[str, Any]:
    """The message on the topic, as CloudWatch writes it."""
    made = alarm.configuration
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": made.get("AlarmDescription"),
        "AWSAccountId": cloud.account,
        "AlarmConfigurationUpdatedTimestamp": _stamp(alarm.updated),
        "NewStateValue": alarm.state,
        "NewStateReason": alarm.reason,
        "StateChangeTime": _stamp(alarm.changed),
        "Region": REGION_WORDS,
        "AlarmArn": alarm.arn,
        "OldStateValue": before[0],
        "OKActions": made.get("OKActions") or [],
        "AlarmActions": made.get("AlarmActions") or [],
        "InsufficientDataActions": made.get("InsufficientDataActions") or [],
    }
    if alarm.composite:
        return {**message, "AlarmRule": made["AlarmRule"]}
    trigger = {
        "Period": made.get("Period"),
        "EvaluationPeriods": made["EvaluationPeriods"],
        "DatapointsToAlarm": made.get("DatapointsToAlarm") or made["EvaluationPeriods"],
        "ComparisonOperator": made["ComparisonOperator"],
        "Threshold": made["Threshold"],
        "TreatMissingData": made.get("TreatMissingData") or "",
    }
    if made.get("MetricName"):
        trigger |= {
            "MetricName": made["MetricName"],
            "Namespace": made["Namespace"],
            "StatisticType": "Statistic" if made.get("Statistic") else "ExtendedStatistic",
            "Statistic": str(made.get("Statistic") or made.get("ExtendedStatistic")).upper(),
            "Unit": made.get("Unit"),
            "Dimensions": [
                {"name": d["Name"], "value": d["Value"]} for d in made.get("Dimensions") or []
            ],
        }
    else:
        trigger["Metrics"] = made["Metrics"]
    return {**message, "Trigger": trigger}
