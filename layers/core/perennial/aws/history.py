"""The path of one execution, read from its history: each state, when entered, left, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated

JOB_NAMES = ("ProcessingJobName", "TrainingJobName", "HyperParameterTuningJobName")
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
    """The states that an execution visited, in the order in which they were entered."""
    found: list[Visit] = []
    place_of: dict[int, int] = {}  # which visit an event belongs to; branches run side by side
    for event in _events(execution):
        place = _apply(found, event, place_of.get(int(event.get("previousEventId", 0))))
        if place is not None:
            place_of[int(event["id"])] = place
    return tuple(found)


def _apply(found: list[Visit], event: Mapping[str, Any], place: int | None) -> int | None:
    """Let one event change the visit that it follows from, or begin one; the visit's place."""
    kind, at_ms = str(event["type"]), int(event["timestamp"].timestamp() * 1000)
    if kind.endswith("StateEntered"):
        name = event["stateEnteredEventDetails"]["name"]
        found.append(Visit(name, kind.removesuffix("StateEntered"), at_ms))
        return len(found) - 1
    if kind in ENDINGS:
        _end(found, kind, at_ms)
        return place
    if kind.endswith("StateExited"):
        place = _of_name(found, event["stateExitedEventDetails"]["name"], place)
    if place is None:
        return None
    visit = found[place]
    if kind.endswith("StateExited"):
        found[place] = replace(visit, left_ms=at_ms)
    elif kind == "TaskScheduled":
        parameters = event.get("taskScheduledEventDetails", {}).get("parameters", "")
        again = visit.attempts + 1 if visit.error else visit.attempts
        job = _job_name(parameters) or visit.job
        found[place] = replace(visit, job=job, attempts=again, error="", cause="")
    elif kind in FAILURES:
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
        found[place] = replace(
            visit, error=str(details.get("error", kind)), cause=str(details.get("cause", ""))
        )
    return place


def _of_name(found: Sequence[Visit], name: str, place: int | None) -> int | None:
    """A Parallel state is left after the last event of a branch: by name, it is another visit."""
    if place is not None and found[place].state == name:
        return place
    places = [i for i, visit in enumerate(found) if visit.state == name and visit.left_ms is None]
    return places[-1] if places else place


def _end(found: list[Visit], kind: str, at_ms: int) -> None:
    """The execution is over, and with it every state that had not been left."""
    for place, visit in enumerate(found):
        if visit.left_ms is None:
            error = CUT_OFF.get(kind, visit.error)
            found[place] = replace(visit, left_ms=at_ms, error=error)


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
