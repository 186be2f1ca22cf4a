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
MOST_STREAMS = 100  # names that FilterLogEvents takes at once


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
    if since_ms is not None:
        request["startTime"] = max(0, since_ms)
    found: list[LogLine] = []
    try:
        with translated(f"reading log group {group}"):
            # By name and not by `logStreamNamePrefix`, which moto's Logs does not filter by.
            for names in _batches(group, stream_prefix) if stream_prefix else [[]]:
                wanted = {**request, "logStreamNames": names} if names else request
                found += _filtered(wanted)
    except NotFound:
        return []
    return sorted(found, key=lambda line: line.at_ms)[-most:]


def _batches(group: str, prefix: str) -> list[list[str]]:
    """The names of the streams that begin so, as many at a time as one request may carry."""
    paginator: Any = client("logs").get_paginator("describe_log_streams")
    names = [
        stream["logStreamName"]
        for page in paginator.paginate(logGroupName=group, logStreamNamePrefix=prefix)
        for stream in page["logStreams"]
    ]
    return [names[i : i + MOST_STREAMS] for i in range(0, len(names), MOST_STREAMS)]


def _filtered(request: dict[str, Any]) -> list[LogLine]:
    paginator: Any = client("logs").get_paginator("filter_log_events")
    pages = paginator.paginate(**request, PaginationConfig={"MaxItems": LARGEST_READ})
    return [_line(event) for page in pages for event in page["events"]]


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
