"""One execution of a state machine, from start to its one end, and again when redriven."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.states import announcements
from local.states.errors import TIMEOUT, CancelledError, PathError, StateError
from local.states.history import Event, History, data, dumps
from local.states.interpreter import Frame
from local.states.life import Life

if TYPE_CHECKING:
    from local.clock import Clock
    from local.states.callbacks import Callbacks
    from local.states.integrations import Call
    from local.states.machines import Machine, Machines

RUNNING = "RUNNING"
ERROR_LIMIT, CAUSE_LIMIT = 256, 32_768  # characters, as in the API's model
_END_EVENTS = {
    "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails"),
    "FAILED": ("ExecutionFailed", "executionFailedEventDetails"),
    "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails"),
    "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails"),
}


class Execution:
    """Runs in a thread of its own; every public attribute is what Describe shows."""

    def __init__(self, machines: "Machines", machine: "Machine", name: str, text: str) -> None:
        self.machines = machines
        self.machine = machine  # as it was at the start: a later update does not change it
        self.name = name
        self.arn = f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}"
        self.input = text
        self.status = RUNNING
        self.start_date = round(time.time(), 3)
        self.stop_date: float | None = None
        self.output: str | None = None
        self.error: str | None = None
        self.cause: str | None = None
        self.redrive_count = 0
        self.redrive_date: float | None = None
        self.redrive_tokens: set[str] = set()
        self.history = History(self._observe)
        self._lock = threading.RLock()
        self._listeners: list[threading.Event] = []
        self._life = Life()
        self._top: Frame | None = None
        self._position: tuple[str, Any, dict[str, Any]] | None = None

    # --- what states use --------------------------------------------------------------------
    @property
    def clock(self) -> "Clock":
        """The services' clock: waits and retries follow it."""
        return self.machines.cloud.clock

    @property
    def region(self) -> str:
        """Where services are called."""
        return self.machines.cloud.region

    @property
    def callbacks(self) -> "Callbacks":
        """The task tokens of this cloud."""
        return self.machines.callbacks

    def client(self, service: str) -> Any:
        """A client of Step Functions' own, which never repeats a call by itself."""
        return self.machines.client(service)

    def watch_job(self, key: str, told: threading.Event) -> None:
        """Set `told` at the end of a SageMaker job (`training-job/name`)."""
        self.machines.watch_job(key, told)

    def start_child(self, call: "Call") -> Any:
        """`states:startExecution`."""
        return self.machines.start_child(call)

    def context(self) -> dict[str, Any]:
        """The part of `$$` that the execution knows."""
        started = datetime.fromtimestamp(self.start_date, UTC)
        found: dict[str, Any] = {
            "Execution": {
                "Id": self.arn,
                "Input": json.loads(self.input),
                "Name": self.name,
                "RoleArn": self.machine.role,
                "StartTime": announcements.iso_ms(started),
                "RedriveCount": self.redrive_count,
            },
            "StateMachine": {"Id": self.machine.arn, "Name": self.machine.name},
        }
        if self.redrive_date is not None:
            moment = datetime.fromtimestamp(self.redrive_date, UTC)
            found["Execution"]["RedriveTime"] = announcements.iso_ms(moment)
        return found

    def at(self, frame: Frame, state: str, value: Any) -> None:
        """The walk has come to this state; the top level is where a redrive would go on."""
        if frame is self._top:
            self._position = (state, value, dict(frame.variables))

    # --- the life ---------------------------------------------------------------------------
    def start(self) -> None:
        """Begin; returns at once."""
        started = {**data("input", json.loads(self.input)), "roleArn": self.machine.role}
        self.history.add("ExecutionStarted", 0, executionStartedEventDetails=started)
        announcements.status_changed(self)
        self._walk(self.machine.definition["StartAt"], json.loads(self.input), {})

    def redrive(self) -> None:
        """Go on from the state in which it ended, with the definition it was started with."""
        with self._lock:
            if self._position is None:
                raise RuntimeError(f"{self.arn} has never entered a state")
            state, value, variables = self._position
            self.status, self.stop_date = RUNNING, None
            self.error = self.cause = None
            self.redrive_count += 1
            self.redrive_date = round(time.time(), 3)
            details = {"redriveCount": self.redrive_count}
            previous = self.history.last()
            self.history.add("ExecutionRedriven", previous, executionRedrivenEventDetails=details)
            announcements.status_changed(self)
        self._walk(state, value, variables)

    def redrive_state(self) -> str | None:
        """The state in which it ended."""
        return self._position[0] if self._position else None

    def _walk(self, state: str, value: Any, variables: dict[str, Any]) -> None:
        definition = self.machine.definition
        life = self._life = Life(seconds=definition.get("TimeoutSeconds"))
        frame = self._top = Frame(
            self, definition, life, previous=self.history.last(), variables=variables
        )
        work = threading.Thread(
            target=self._run, args=(frame, life, state, value), name=self.arn, daemon=True
        )
        work.start()

    def _run(self, frame: Frame, life: Life, state: str, value: Any) -> None:
        try:
            output = frame.run(state, value)
        except CancelledError:
            # StopExecution has written its end already; a deadline has not.
            if life.timed_out:
                self._end("TIMED_OUT", life, error=None, cause=None)
        except StateError as error:
            self._end("FAILED", life, error=error.name, cause=error.cause)
        except PathError as error:
            failure = frame.runtime_error(str(error))
            self._end("FAILED", life, error=failure.name, cause=failure.cause)
        except Exception as error:
            announcements.log.exception("execution %s", self.arn)
            text = f"the local cloud failed: {type(error).__name__}: {error}"
            self._end("FAILED", life, error="States.Runtime", cause=text)
        else:
            self._end("SUCCEEDED", life, output=output)

    def stop(self, error: str | None, cause: str | None) -> float:
        """StopExecution: aborted at once, whatever it waits for; the stop date."""
        with self._lock:
            if self.status == RUNNING:
                self._end("ABORTED", self._life, error=error or None, cause=cause or None)
            self._life.cancel()
            return self.stop_date or round(time.time(), 3)

    def _end(
        self,
        status: str,
        life: Life,
        *,
        error: str | None = None,
        cause: str | None = None,
        output: Any = None,
    ) -> None:
        """The one end of this run: whoever comes first has it."""
        with self._lock:
            if self.status != RUNNING or life is not self._life:
                return
            self.stop_date = round(time.time(), 3)
            error = error if error is None else error[:ERROR_LIMIT]
            cause = cause if cause is None else cause[:CAUSE_LIMIT]
            self.error, self.cause = error, cause
            details: dict[str, Any] = {
                key: text for key, text in (("error", error), ("cause", cause)) if text is not None
            }
            if status == "SUCCEEDED":
                self.output = dumps(output)
                details = data("output", output)
            kind, member = _END_EVENTS[status]
            previous = self._top.previous if self._top else self.history.last()
            self.history.add(kind, previous, **{member: details})
            self.status = status
            listeners, self._listeners = self._listeners, []
        announcements.status_changed(self)
        announcements.measure(self)
        for listener in listeners:
            listener.set()

    def tell(self, listener: threading.Event) -> None:
        """Set the event at the end, or now if that has come."""
        with self._lock:
            if self.status == RUNNING:
                self._listeners.append(listener)
            else:
                listener.set()

    def _observe(self, event: Event) -> None:
        announcements.log_event(self, event)

    def redrivable(self) -> tuple[str, str | None]:
        """redriveStatus and its reason."""
        if self.status in (RUNNING, "SUCCEEDED"):
            return "NOT_REDRIVABLE", f"Execution is {self.status} and cannot be redriven"
        return "REDRIVABLE", None

    def described(self) -> Mapping[str, Any]:
        """DescribeExecution."""
        with self._lock:
            status, reason = self.redrivable()
            found = {
                "executionArn": self.arn,
                "stateMachineArn": self.machine.arn,
                "name": self.name,
                "status": self.status,
                "startDate": self.start_date,
                "stopDate": self.stop_date,
                "input": self.input,
                "inputDetails": {"included": True},
                "output": self.output,
                "outputDetails": {"included": True} if self.output is not None else None,
                "error": self.error,
                "cause": self.cause,
                "redriveCount": self.redrive_count,
                "redriveDate": self.redrive_date,
                "redriveStatus": status,
                "redriveStatusReason": reason,
            }
        return {key: value for key, value in found.items() if value is not None}


__all__ = ["RUNNING", "TIMEOUT", "Execution"]
