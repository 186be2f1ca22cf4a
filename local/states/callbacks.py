"""Task tokens: `.waitForTaskToken` waits, SendTaskSuccess, -Failure and -Heartbeat answer."""

import base64
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from local.jsonapi.errors import ApiError
from local.states.errors import HEARTBEAT, TIMEOUT, StateError

if TYPE_CHECKING:
    from local.states.integrations import Call


class _Waiting:
    def __init__(self) -> None:
        self.told = threading.Event()
        self.outcome: tuple[str, Any, str] | None = None
        self.open = True


class Callbacks:
    """The tokens of one cloud."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def open(self) -> str:
        """A fresh token."""
        token = base64.b64encode(secrets.token_bytes(96)).decode()
        with self._lock:
            self._waiting[token] = _Waiting()
        return token

    def close(self, token: str) -> None:
        """Nobody waits for it any more; it stays known as timed out."""
        with self._lock:
            self._waiting[token].open = False

    def wait(self, call: "Call") -> Any:
        """The output that somebody sends; StateError for their failure, or for silence."""
        waiting = self._waiting[call.token or ""]
        beat = time.monotonic()
        while waiting.outcome is None:
            waiting.told.clear()
            left, quiet = call.left(), None
            if call.heartbeat is not None:
                quiet = max(0.0, call.heartbeat - (time.monotonic() - beat))
            known = [limit for limit in (left, quiet) if limit is not None]
            if waiting.outcome is None and not call.frame.life.wait(
                waiting.told, min(known) if known else None
            ):
                raise StateError(TIMEOUT if left is not None and left == min(known) else HEARTBEAT)
            beat = time.monotonic()
        kind, output, cause = waiting.outcome
        if kind == "failure":
            raise StateError(output, cause)
        return output

    def answer(self, token: str, outcome: tuple[str, Any, str] | None) -> None:
        """Somebody's answer, or (None) a heartbeat."""
        with self._lock:
            waiting = self._waiting.get(token)
            if waiting is None:
                raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
            if not waiting.open or waiting.outcome is not None:
                text = "Task Timed Out: 'Provided task does not exist anymore'"
                raise ApiError("TaskTimedOut", text)
            waiting.outcome = outcome
            waiting.told.set()
