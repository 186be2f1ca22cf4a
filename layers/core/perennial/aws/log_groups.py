"""CloudWatch Logs: the newest lines of a group, of some of its streams, and what follows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound

TRAINING_GROUP, PROCESSING_GROUP = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"
ENDPOINTS = "/aws/sagemaker/Endpoints/"
HOUR_MS = 3_600_000
WINDOWS_MS = (HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS)
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
    """The newest `most` lines since a moment, oldest first; none when the group is missing.

    CloudWatch tells the oldest first. A group that has filled for months is therefore asked for
    its last hour, then for more, until that holds enough.
    """
    starts: list[int | None] = [since_ms]
    if since_ms is None and not stream_prefix:
        now_ms = int(time.time() * 1000)
        starts = [*(now_ms - window for window in WINDOWS_MS), None]
    found: list[LogLine] = []
    try:
        with translated(f"reading log group {group}"):
            for start in starts:
                found = _newest(group, stream_prefix, start, most)
                if len(found) >= most:
                    break
    except NotFound:
        return []
    return found


def _newest(group: str, stream_prefix: str, since_ms: int | None, most: int) -> list[LogLine]:
    request: dict[str, Any] = {"logGroupName": group}
    if since_ms is not None:
        request["startTime"] = max(0, since_ms)
    found: list[LogLine] = []
    # By name and not by `logStreamNamePrefix`, which moto's Logs does not filter by.
    for names in _batches(group, stream_prefix) if stream_prefix else [[]]:
        wanted = {**request, "logStreamNames": names} if names else request
        found += deque(_filtered(wanted), maxlen=most)
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


def _filtered(request: dict[str, Any]) -> Iterator[LogLine]:
    paginator: Any = client("logs").get_paginator("filter_log_events")
    for page in paginator.paginate(**request):
        yield from map(_line, page["events"])


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
