"""What Lambda itself writes into a function's log, as text or as JSON.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
"""

import json
from datetime import UTC, datetime
from typing import Any

from local.lambdas.environment import FunctionSpec, Outcome


def platform_lines(
    spec: FunctionSpec, outcome: Outcome, request_id: str, init_ms: float | None, moment: float
) -> tuple[list[str], list[str]]:
    """The lines before and after the function's own; `init_ms` only after a cold start."""
    if spec.log_format == "JSON":
        return _as_json(spec, outcome, request_id, init_ms, moment)
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {outcome.duration_ms:.2f} ms\t"
        f"Billed Duration: {int(outcome.duration_ms) + 1} ms\tMemory Size: {spec.memory} MB\t"
        f"Max Memory Used: {outcome.memory_mb} MB\t"
    )
    if init_ms is not None:
        report += f"Init Duration: {init_ms:.2f} ms\t"
    if outcome.kind == "timeout":
        report += "Status: timeout"
    elif outcome.kind in ("exit", "init-error"):
        report += f"Status: error\tError Type: {_error_type(outcome.payload)}"
    start = f"START RequestId: {request_id} Version: {spec.version}"
    return [start], [f"END RequestId: {request_id}", report]


def _as_json(
    spec: FunctionSpec, outcome: Outcome, request_id: str, init_ms: float | None, moment: float
) -> tuple[list[str], list[str]]:
    at = datetime.fromtimestamp(moment, UTC)
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    metrics: dict[str, Any] = {
        "durationMs": round(outcome.duration_ms, 3),
        "billedDurationMs": int(outcome.duration_ms) + 1,
        "memorySizeMB": spec.memory,
        "maxMemoryUsedMB": outcome.memory_mb,
    }
    if init_ms is not None:
        metrics["initDurationMs"] = round(init_ms, 3)
    record: dict[str, Any] = {"requestId": request_id, "metrics": metrics, "status": "success"}
    if outcome.kind == "timeout":
        record["status"] = "timeout"
    elif outcome.failed:
        record |= {"status": "error", "errorType": _error_type(outcome.payload)}
    start = {"requestId": request_id, "functionArn": spec.arn, "version": spec.version}
    return (
        [json.dumps({"time": stamp, "type": "platform.start", "record": start})],
        [json.dumps({"time": stamp, "type": "platform.report", "record": record})],
    )


def _error_type(payload: bytes) -> str:
    try:
        return str(json.loads(payload).get("errorType", ""))
    except (ValueError, AttributeError):
        return ""
