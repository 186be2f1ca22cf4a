"""The path of one execution, read from its history: each state, when entered, left, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated

JOB_NAMES = ("ProcessingJobName", "TrainingJobName")
ENDINGS = ("ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut", "ExecutionSucceeded")
# A state that was at work when its execution was ended from outside.
CUT_OFF = {"ExecutionAborted": "Aborted", "ExecutionTimedOut": "TimedOut"}
FAILURES = ("TaskFailed", "LambdaFunctionFailed", "TaskTimedOut", "LambdaFunctionTimedOut")


@dataclass(frozen=True)
class Visit:
    """One visit of a state; `left_ms` is None while it lasts, `job` names its SageMaker job."""

    state: str
    type: str
    entered_ms: int
    left_ms: int | None = None
    job: str = ""
    attempts: int = 1
    error: str = ""
    cause: str = ""


def visits(execution: str) -> tuple[Visit, ...]:
    """The states that an execution visited, in order. Parallel branches do not occur here."""
    found: list[Visit] = []
    for event in _events(execution):
        _apply(found, event)
    return tuple(found)


def _apply(found: list[Visit], event: Mapping[str, Any]) -> None:
    """Let one event of the history change the newest visit, or begin one."""
    kind, at_ms = str(event["type"]), int(event["timestamp"].timestamp() * 1000)
    if kind.endswith("StateEntered"):
        name = event["stateEnteredEventDetails"]["name"]
        found.append(Visit(name, kind.removesuffix("StateEntered"), at_ms))
        return
    if not found:
        return
    newest = found[-1]
    if kind.endswith("StateExited"):
        found[-1] = replace(newest, left_ms=at_ms)
    elif kind == "TaskScheduled":
        job = (
            _job_name(event.get("taskScheduledEventDetails", {}).get("parameters", ""))
            or newest.job
        )
        again = newest.attempts + 1 if newest.error else newest.attempts
        found[-1] = replace(newest, job=job, attempts=again, error="", cause="")
    elif kind in FAILURES:
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
        found[-1] = replace(
            newest, error=str(details.get("error", kind)), cause=str(details.get("cause", ""))
        )
    elif kind in ENDINGS and newest.left_ms is None:
        error = CUT_OFF.get(kind, newest.error)
        found[-1] = replace(newest, left_ms=at_ms, error=error)


def _job_name(parameters: str) -> str:
    """The SageMaker job that a task's parameters name, or nothing."""
    try:
        document = json.loads(parameters or "{}")
    except ValueError:
        return ""
    return next((str(document[name]) for name in JOB_NAMES if name in document), "")


def _events(execution: str) -> Iterator[Mapping[str, Any]]:
    paginator: Any = client("stepfunctions").get_paginator("get_execution_history")
    with translated(f"reading the history of {execution}"):
        for page in paginator.paginate(executionArn=execution):
            yield from page["events"]
