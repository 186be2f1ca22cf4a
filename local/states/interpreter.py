"""The Amazon States Language, JSONPath flavour, one thread a branch."""

import copy
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.states.choice import holds
from local.states.errors import (
    DATA_LIMIT,
    PAYLOAD_LIMIT,
    RUNTIME,
    CancelledError,
    PathError,
    StateError,
)
from local.states.handlers import Retries, catcher
from local.states.history import data, dumps
from local.states.intrinsics import evaluate, is_intrinsic, template
from local.states.life import Life
from local.states.paths import Scope, read, write
from local.states.tasks import run_task

if TYPE_CHECKING:
    from local.states.execution import Execution

MAP_CONCURRENCY = 40  # what Step Functions runs of an inline Map at most
State = Mapping[str, Any]


class Frame:
    """One level of states on its way: the machine, a branch, or an iteration of a Map."""

    def __init__(  # noqa: PLR0913 - what a level inherits from the one above it
        self,
        execution: "Execution",
        level: Mapping[str, Any],
        life: Life,
        *,
        previous: int,
        variables: dict[str, Any] | None = None,
        map_item: Mapping[str, Any] | None = None,
    ) -> None:
        self.execution = execution
        self.level = level
        self.life = life
        self.previous = previous
        self.variables = variables if variables is not None else {}
        self.map_item = map_item
        self.state_name = ""
        self.retry_count = 0
        self.task_token: str | None = None
        self._entered = ""
        self._entered_event = 0

    # --- what states use --------------------------------------------------------------------
    def event(self, kind: str, **details: Any) -> int:
        """Add a history event to this level's chain."""
        self.previous = self.execution.history.add(kind, self.previous, **details)
        return self.previous

    def context(self) -> dict[str, Any]:
        """The context object, `$$`."""
        found = self.execution.context()
        found["State"] = {
            "EnteredTime": self._entered,
            "Name": self.state_name,
            "RetryCount": self.retry_count,
        }
        if self.map_item is not None:
            found["Map"] = {"Item": dict(self.map_item)}
        if self.task_token is not None:
            found["Task"] = {"Token": self.task_token}
        return found

    def scope(self, value: Any) -> Scope:
        """What paths see over this data."""
        return Scope(value, self.context(), self.variables)

    def runtime_error(self, cause: str) -> StateError:
        """A States.Runtime error in Step Functions' words."""
        where = f"(entered at the event id #{self._entered_event})"
        text = f"An error occurred while executing the state '{self.state_name}' {where}. {cause}"
        return StateError(RUNTIME, text)

    # --- the walk ---------------------------------------------------------------------------
    def run(self, start: str, value: Any) -> Any:
        """From a state to the end of the level; the output. Raises StateError, CancelledError."""
        name: str | None = start
        while name is not None:
            self.life.check()
            state = self.level["States"][name]
            self.execution.at(self, name, value)
            value, name = self._visit(name, state, value)
        return value

    def _visit(self, name: str, state: State, value: Any) -> tuple[Any, str | None]:
        self.state_name, self.retry_count = name, 0
        self._entered = _timestamp(time.time())
        kind: str = state["Type"]
        entered = {"name": name, **data("input", value)}
        self._entered_event = self.event(f"{kind}StateEntered", stateEnteredEventDetails=entered)
        try:
            if kind == "Fail":
                raise self._fail(state, value)
            output, following = self._handled(state, value)
        except PathError as error:
            raise self.runtime_error(str(error)) from error
        _check_size(output, name)
        exited = {"name": name, **data("output", output)}
        self.event(f"{kind}StateExited", stateExitedEventDetails=exited)
        return output, following

    def _handled(self, state: State, value: Any) -> tuple[Any, str | None]:
        """The state with its retriers and catchers around it."""
        retries = Retries(state)
        while True:
            try:
                return self._work(state, value)
            except StateError as error:
                wait = retries.wait_before_next(error)
                if wait is not None:
                    self.retry_count = retries.total
                    self.life.sleep(self.execution.clock.real_seconds(wait))
                    continue
                entry = catcher(state, error)
                if entry is None:
                    raise
                failure = {"Error": error.name, "Cause": error.cause}
                self._assign(entry, failure)
                return self._placed(entry, value, failure), entry["Next"]

    def _work(self, state: State, value: Any) -> tuple[Any, str | None]:
        effective = self._filtered(state, "InputPath", value)
        if state["Type"] == "Choice":
            output, following, assign = self._choose(state, effective)
            self._assign(assign, effective)
            return self._filtered(state, "OutputPath", output), following
        work = _KINDS[state["Type"]]
        result = work(self, state, self._parameters(state, effective))
        self._assign(state, result)
        if "ResultSelector" in state:
            result = template(state["ResultSelector"], self.scope(result))
        output = self._placed(state, effective, result)
        return self._filtered(state, "OutputPath", output), state.get("Next")

    def _parameters(self, state: State, effective: Any) -> Any:
        """The work's input; a Map fills its parameters for each item, a Task fills its own."""
        if state["Type"] in ("Map", "Task") or "Parameters" not in state:
            return effective
        return template(state["Parameters"], self.scope(effective))

    def _filtered(self, state: State, field: str, value: Any) -> Any:
        path = state.get(field, "$")
        if path is None:
            return {}
        try:
            return read(path, self.scope(value))
        except PathError as error:
            text = f"Invalid path '{path}' : it selects nothing in '{dumps(value)[:1024]}'"
            raise PathError(text) from error

    def _placed(self, state: State, value: Any, result: Any) -> Any:
        path = state.get("ResultPath", "$")
        if path is None:
            return value
        if path == "$":
            return result
        try:
            return write(path, value, result)
        except PathError as error:
            text = f"Unable to apply step '{path}' to input {dumps(value)[:1024]}"
            raise StateError("States.ResultPathMatchFailure", text) from error

    def _assign(self, holder: Mapping[str, Any], value: Any) -> None:
        if "Assign" in holder:
            self.variables.update(template(holder["Assign"], self.scope(value)))

    # --- kinds of states --------------------------------------------------------------------
    def _fail(self, state: State, value: Any) -> StateError:
        def text(field: str) -> str:
            expression = state.get(f"{field}Path")
            if expression is None:
                return str(state.get(field, ""))
            scope = self.scope(value)
            if is_intrinsic(expression):
                found = evaluate(expression, scope)
            else:
                found = read(expression, scope)
            if not isinstance(found, str):
                raise PathError(f"{field}Path '{expression}' must select a text")
            return found

        return StateError(text("Error"), text("Cause"))

    def _choose(self, state: State, value: Any) -> tuple[Any, str, Mapping[str, Any]]:
        scope = self.scope(value)
        for rule in state["Choices"]:
            try:
                if holds(rule, scope):
                    return value, rule["Next"], rule
            except PathError as error:
                shown = dumps(value)[:1024]
                raise PathError(
                    f"Invalid path '{error}': The choice state's condition path references an "
                    f"invalid value. Input: {shown}"
                ) from error
        if "Default" not in state:
            text = "No choice rule matched, and the state has no Default"
            raise StateError("States.NoChoiceMatched", text)
        return value, state["Default"], state

    def pass_(self, state: State, value: Any) -> Any:
        """Pass: the result, or the input."""
        return copy.deepcopy(state["Result"]) if "Result" in state else value

    def wait(self, state: State, value: Any) -> Any:
        """Wait: so many seconds or until a moment, on the services' clock."""
        clock, scope = self.execution.clock, self.scope(value)
        seconds = state.get("Seconds")
        if "SecondsPath" in state:
            seconds = read(state["SecondsPath"], scope)
        if seconds is not None:
            if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
                raise self.runtime_error(f"The SecondsPath selects no whole number: {seconds!r}")
            self.life.sleep(clock.real_seconds(seconds))
            return value
        text = state.get("Timestamp") or read(state["TimestampPath"], scope)
        try:
            until = datetime.fromisoformat(str(text)).timestamp()
        except ValueError as error:
            raise self.runtime_error(f"The Timestamp is none: {text!r}") from error
        self.life.sleep(max(0.0, clock.real_seconds(until - clock.service_now())))
        return value

    def succeed(self, _state: State, value: Any) -> Any:
        """Succeed: nothing but the paths around it."""
        return value

    def task(self, state: State, value: Any) -> Any:
        """Task: see `tasks`."""
        return run_task(self, state, value)

    def parallel(self, state: State, value: Any) -> Any:
        """Parallel: every branch gets the input; the first failure ends the others."""
        self.event("ParallelStateStarted")
        works = [
            _branch(self, branch, copy.deepcopy(value), self.previous)
            for branch in state["Branches"]
        ]
        try:
            results = _all(self, works, len(works))
        except StateError:
            self.event("ParallelStateFailed")
            raise
        self.event("ParallelStateSucceeded")
        return results

    def map(self, state: State, value: Any) -> Any:
        """Map, inline: one iteration an item, at most MaxConcurrency at a time."""
        items = read(state.get("ItemsPath", "$"), self.scope(value))
        if not isinstance(items, list):
            raise self.runtime_error("The ItemsPath of a Map must select an array")
        self.event("MapStateStarted", mapStateStartedEventDetails={"length": len(items)})
        limit = state.get("MaxConcurrency", 0)
        if "MaxConcurrencyPath" in state:
            limit = read(state["MaxConcurrencyPath"], self.scope(value))
        works = [_iteration(self, state, value, entry) for entry in enumerate(items)]
        try:
            results = _all(self, works, limit or MAP_CONCURRENCY)
        except StateError:
            self.event("MapStateFailed")
            raise
        self.event("MapStateSucceeded")
        return results


_KINDS: dict[str, Callable[[Frame, State, Any], Any]] = {
    "Pass": Frame.pass_,
    "Wait": Frame.wait,
    "Succeed": Frame.succeed,
    "Task": Frame.task,
    "Parallel": Frame.parallel,
    "Map": Frame.map,
}
Work = Callable[[Life], Any]


def _branch(frame: Frame, level: Mapping[str, Any], value: Any, previous: int) -> Work:
    def work(life: Life) -> Any:
        variables = dict(frame.variables)
        inner = Frame(
            frame.execution,
            level,
            life,
            previous=previous,
            variables=variables,
            map_item=frame.map_item,
        )
        return inner.run(level["StartAt"], value)

    return work


def _iteration(frame: Frame, state: State, value: Any, entry: tuple[int, Any]) -> Work:
    level = state.get("ItemProcessor") or state["Iterator"]
    index, item = entry
    previous = frame.previous
    names = {"name": frame.state_name, "index": index}

    def work(life: Life) -> Any:
        variables = dict(frame.variables)
        known = {"Index": index, "Value": item}
        inner = Frame(
            frame.execution, level, life, previous=previous, variables=variables, map_item=known
        )
        inner.state_name = frame.state_name
        inner.event("MapIterationStarted", mapIterationStartedEventDetails=names)
        given = item
        selector = state.get("ItemSelector", state.get("Parameters"))
        if selector is not None:
            given = template(selector, inner.scope(value))
        try:
            result = inner.run(level["StartAt"], copy.deepcopy(given))
        except StateError:
            inner.event("MapIterationFailed", mapIterationFailedEventDetails=names)
            raise
        except CancelledError:
            inner.event("MapIterationAborted", mapIterationAbortedEventDetails=names)
            raise
        inner.event("MapIterationSucceeded", mapIterationSucceededEventDetails=names)
        return result

    return work


def _all(frame: Frame, works: list[Work], limit: int) -> list[Any]:
    """Run works side by side; their results in order; the first StateError ends the rest."""
    if not works:
        return []
    life = frame.life.child()
    failures: list[BaseException] = []
    lock = threading.Lock()

    def guarded(work: Work) -> Any:
        try:
            life.check()
            return work(life)
        except BaseException as error:
            with lock:
                failures.append(error)
            life.cancel()
            raise

    with ThreadPoolExecutor(max(1, min(limit, len(works)))) as pool:
        futures = [pool.submit(guarded, work) for work in works]
    life.close()
    frame.previous = frame.execution.history.last()
    frame.life.check()
    for error in failures:
        if not isinstance(error, CancelledError):
            raise error
    return [future.result() for future in futures]


def _check_size(value: Any, name: str) -> None:
    if len(dumps(value).encode()) > PAYLOAD_LIMIT:
        raise StateError(
            DATA_LIMIT,
            f"The state/task '{name}' returned a result with a size exceeding the maximum number "
            "of bytes service limit.",
        )


def _timestamp(moment: float) -> str:
    found = datetime.fromtimestamp(moment, UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.") + f"{found.microsecond // 1000:03d}Z"
