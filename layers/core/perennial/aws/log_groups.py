"""CloudWatch Logs: the newest lines of a group, of some of its streams, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound

TRAINING_GROUP, PROCESSING_GROUP = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"
LARGEST_READ = 10_000


@dataclass(frozen=True)
class LogLine:
    """One line of a log; `id` names it for ever, so that nothing is told twice."""

    id: str
    at_ms: int
    stream: str
    text: str


def read_lines(
    group: str, *, stream_prefix: str = "", since_ms: int | None = None, most: int = 200
) -> Sequence[LogLine]:
    """The newest `most` lines since a moment, oldest first; none when the group is missing."""
    request: dict[str, Any] = {"logGroupName": group}
    if stream_prefix:
        request["logStreamNamePrefix"] = stream_prefix
    if since_ms is not None:
        request["startTime"] = max(0, since_ms)
    found: list[LogLine] = []
    paginator: Any = client("logs").get_paginator("filter_log_events")
    try:
        with translated(f"reading log group {group}"):
            for page in paginator.paginate(
                **request, PaginationConfig={"MaxItems": LARGEST_READ}
            ):
                found += [_line(event) for event in page["events"]]
    except NotFound:
        return []
    return sorted(found, key=lambda line: line.at_ms)[-most:]


def _line(event: Any) -> LogLine:
    return LogLine(
        id=str(event.get("eventId") or f"{event['logStreamName']}{event['timestamp']}"),
        at_ms=int(event["timestamp"]),
        stream=event["logStreamName"],
        text=str(event["message"]).rstrip("\n"),
    )


def log_group_of(function_name: str) -> str:
    """The log group that a function writes to: the configured one, else Lambda's default."""
    with translated(f"describing function {function_name}"):
        found: Any = client("lambda").get_function_configuration(FunctionName=function_name)
    configured = found.get("LoggingConfig", {}).get("LogGroup")
    return str(configured or f"/aws/lambda/{function_name}")
