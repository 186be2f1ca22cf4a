"""What an execution tells the rest of the cloud: status events, metrics, log lines."""

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.states.history import Event

if TYPE_CHECKING:
    from local.states.execution import Execution

log = logging.getLogger(__name__)
# EventBridge carries input and output only while the escaped pair is not larger than this.
EVENT_DATA_LIMIT = 248 * 1024
METRICS = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "ABORTED": "ExecutionsAborted",
    "TIMED_OUT": "ExecutionsTimedOut",
}
_FATAL = {"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"}
_DATA_MEMBERS = {"input", "output", "parameters", "inputDetails", "outputDetails"}


def iso_ms(moment: datetime) -> str:
    """A time as the context object shows it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def status_changed(execution: "Execution") -> None:
    """The event "Step Functions Execution Status Change"."""
    status, reason = execution.redrivable()
    given, made = execution.input, execution.output
    pair = len(json.dumps(given)) + (len(json.dumps(made)) if made is not None else 0)
    included = pair <= EVENT_DATA_LIMIT
    detail = {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _ms(execution.start_date),
        "stopDate": _ms(execution.stop_date),
        "input": given if included else None,
        "inputDetails": {"included": included},
        "output": made if included else None,
        "outputDetails": None if made is None else {"included": included},
        "error": execution.error,
        "cause": execution.cause,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": execution.redrive_count,
        "redriveDate": _ms(execution.redrive_date),
        "redriveStatus": status,
        "redriveStatusReason": reason,
    }
    name = "Step Functions Execution Status Change"
    cloud = execution.machines.cloud
    cloud.publish_event("aws.states", name, detail, [execution.arn])
    if execution.status == "RUNNING":
        where = {"StateMachineArn": execution.machine.arn}
        cloud.put_metric("AWS/States", "ExecutionsStarted", 1, where, "Count")


def measure(execution: "Execution") -> None:
    """Metrics of an execution's end."""
    cloud = execution.machines.cloud
    where = {"StateMachineArn": execution.machine.arn}
    cloud.put_metric("AWS/States", METRICS[execution.status], 1, where, "Count")
    took = ((execution.stop_date or 0) - execution.start_date) * 1000
    cloud.put_metric("AWS/States", "ExecutionTime", took, where, "Milliseconds")


def log_event(execution: "Execution", event: Event) -> None:
    """One line in the machine's log group, if its level asks for this event."""
    settings: dict[str, Any] = execution.machine.logging
    level = settings.get("level", "OFF")
    kind: str = event["type"]
    bad = kind in _FATAL or kind.endswith(("Failed", "TimedOut", "Aborted"))
    wanted = level == "ALL" or (level == "ERROR" and bad) or (level == "FATAL" and kind in _FATAL)
    if not wanted:
        return
    found = (value for key, value in event.items() if key.endswith("Details"))
    details: dict[str, Any] = next(found, {})
    if not settings.get("includeExecutionData", False):
        details = {key: value for key, value in details.items() if key not in _DATA_MEMBERS}
    line = {
        "id": str(event["id"]),
        "type": kind,
        "details": details,
        "previous_event_id": str(event["previousEventId"]),
        "event_timestamp": str(_ms(event["timestamp"])),
        "execution_arn": execution.arn,
        "redrive_count": str(execution.redrive_count),
    }
    day = datetime.fromtimestamp(event["timestamp"], UTC).strftime("%Y-%m-%d-%H-%M")
    stream = f"states/{execution.machine.name}/{day}/{execution.name}"
    for destination in settings.get("destinations", []):
        arn = destination["cloudWatchLogsLogGroup"]["logGroupArn"]
        group = arn.split(":log-group:", 1)[-1].removesuffix(":*")
        execution.machines.cloud.put_log_events(group, stream, [json.dumps(line)])
