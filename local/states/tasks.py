"""Task states: what is recorded, how long it may take, and which integration does it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.states.errors import (
    DATA_LIMIT,
    HEARTBEAT,
    PAYLOAD_LIMIT,
    TIMEOUT,
    PathError,
    StateError,
)
from local.states.history import data, dumps
from local.states.integrations import Call, invoke_function, submit
from local.states.intrinsics import template
from local.states.paths import read
from local.states.resources import SYNC, SYNC2, TOKEN, Resource, parse_resource
from local.states.synchronous import follow

if TYPE_CHECKING:
    from local.states.interpreter import Frame


def run_task(frame: "Frame", state: Mapping[str, Any], value: Any) -> Any:
    """Do the Task once; its result. Raises StateError after it is recorded in the history."""
    resource = parse_resource(state["Resource"])
    token = None
    if resource.pattern == TOKEN:
        token = frame.task_token = frame.execution.callbacks.open()
    try:
        parameters = (
            template(state["Parameters"], frame.scope(value)) if "Parameters" in state else value
        )
        call = Call(
            frame,
            resource,
            parameters,
            _seconds(frame, state, "TimeoutSeconds", value),
            _seconds(frame, state, "HeartbeatSeconds", value),
            token,
        )
        record = _FunctionRecord(call) if resource.kind == "function" else _ServiceRecord(call)
        record.scheduled()
        try:
            result = _carry_out(call, record)
            _check_result(result, frame.state_name)
        except StateError as error:
            record.failed(error)
            raise
        record.succeeded(result)
        return result
    finally:
        if token is not None:
            frame.execution.callbacks.close(token)
        frame.task_token = None


def _carry_out(call: Call, record: "_FunctionRecord | _ServiceRecord") -> Any:
    if call.resource.kind == "function":
        return invoke_function(call)
    result = submit(call)
    if not call.resource.pattern:
        return result
    record.submitted(result)
    if call.resource.pattern == TOKEN:
        return call.frame.execution.callbacks.wait(call)
    if call.resource.pattern in (SYNC, SYNC2):
        return follow(call, result)
    raise StateError("States.Runtime", f"unknown pattern {call.resource.pattern}")


def _seconds(frame: "Frame", state: Mapping[str, Any], field: str, value: Any) -> float | None:
    found = state.get(field)
    if f"{field}Path" in state:
        found = read(state[f"{field}Path"], frame.scope(value))
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise PathError(f"The {field}Path must select a positive integer, not {found!r}")
    return found


def _check_result(result: Any, name: str) -> None:
    if len(dumps(result).encode()) > PAYLOAD_LIMIT:
        raise StateError(
            DATA_LIMIT,
            f"The state/task '{name}' returned a result with a size exceeding the maximum number "
            "of bytes service limit.",
        )


class _ServiceRecord:
    """Events of a service integration: Task…"""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._names = {
            "resourceType": call.resource.resource_type,
            "resource": call.resource.resource,
        }
        self._submitted = False

    def scheduled(self) -> None:
        """TaskScheduled and TaskStarted."""
        call = self._call
        details: dict[str, Any] = {
            **self._names,
            "region": call.frame.execution.region,
            "parameters": dumps(call.parameters),
        }
        if call.timeout is not None:
            details["timeoutInSeconds"] = call.timeout
        if call.heartbeat is not None:
            details["heartbeatInSeconds"] = call.heartbeat
        call.frame.event("TaskScheduled", taskScheduledEventDetails=details)
        call.frame.event("TaskStarted", taskStartedEventDetails=self._names)

    def submitted(self, result: Any) -> None:
        """TaskSubmitted, of the patterns that wait."""
        details = {**self._names, **data("output", result)}
        self._call.frame.event("TaskSubmitted", taskSubmittedEventDetails=details)
        self._submitted = True

    def succeeded(self, result: Any) -> None:
        """TaskSucceeded."""
        details = {**self._names, **data("output", result)}
        self._call.frame.event("TaskSucceeded", taskSucceededEventDetails=details)

    def failed(self, error: StateError) -> None:
        """TaskTimedOut or TaskFailed."""
        details = {**self._names, "error": error.name, "cause": error.cause}
        if error.name in (TIMEOUT, HEARTBEAT):
            self._call.frame.event("TaskTimedOut", taskTimedOutEventDetails=details)
        else:
            self._call.frame.event("TaskFailed", taskFailedEventDetails=details)


class _FunctionRecord:
    """Events of a function named by its ARN: LambdaFunction…"""

    def __init__(self, call: Call) -> None:
        self._call = call

    def scheduled(self) -> None:
        """LambdaFunctionScheduled and LambdaFunctionStarted."""
        call = self._call
        details = {"resource": call.resource.arn, **data("input", call.parameters)}
        if call.timeout is not None:
            details["timeoutInSeconds"] = call.timeout
        call.frame.event("LambdaFunctionScheduled", lambdaFunctionScheduledEventDetails=details)
        call.frame.event("LambdaFunctionStarted")

    def submitted(self, result: Any) -> None:
        """A function's call has no such step."""
        raise StateError("States.Runtime", f"unexpected submission: {result}")

    def succeeded(self, result: Any) -> None:
        """LambdaFunctionSucceeded."""
        details = data("output", result)
        self._call.frame.event(
            "LambdaFunctionSucceeded", lambdaFunctionSucceededEventDetails=details
        )

    def failed(self, error: StateError) -> None:
        """LambdaFunctionTimedOut or LambdaFunctionFailed."""
        details = {"error": error.name, "cause": error.cause}
        if error.name == TIMEOUT:
            kind, member = "LambdaFunctionTimedOut", "lambdaFunctionTimedOutEventDetails"
        else:
            kind, member = "LambdaFunctionFailed", "lambdaFunctionFailedEventDetails"
        self._call.frame.event(kind, **{member: details})


__all__ = ["Resource", "run_task"]
