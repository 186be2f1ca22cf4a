"""Errors inside an execution, by their ASL names, and which handler matches which."""

from collections.abc import Sequence

RUNTIME = "States.Runtime"
DATA_LIMIT = "States.DataLimitExceeded"
TIMEOUT = "States.Timeout"
HEARTBEAT = "States.HeartbeatTimeout"
TASK_FAILED = "States.TaskFailed"
PAYLOAD_LIMIT = 256 * 1024  # bytes of JSON text in UTF-8


class StateError(Exception):
    """A state has failed with an error name and a cause."""

    def __init__(self, name: str, cause: str = "") -> None:
        super().__init__(f"{name}: {cause}")
        self.name = name
        self.cause = cause


class CancelledError(Exception):
    """The execution, or the branch, is told to end; no handler may catch it."""


class PathError(Exception):
    """A path selects nothing, or is none."""


def matches(equals: Sequence[str], error: str, *, task: bool) -> bool:
    """Whether an ErrorEquals list names this error, with the wildcards of the language.

    `States.ALL` leaves out the two errors that end an execution whatever is said; a runtime error
    cannot be named either. `States.TaskFailed` means any error of a Task but a timeout.
    """
    if error == RUNTIME:
        return False
    if error in equals:
        return True
    if error == DATA_LIMIT:
        return False
    if "States.ALL" in equals:
        return True
    if error == HEARTBEAT and TIMEOUT in equals:
        return True
    return task and TASK_FAILED in equals and error not in (TIMEOUT, HEARTBEAT)
