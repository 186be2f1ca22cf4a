"""How long an execution, or a branch of one, may go on: cancellation, deadline, and waits."""

import threading
import time
from collections.abc import Callable
from typing import Any

from local.states.errors import TIMEOUT, CancelledError, StateError


class Life:
    """Ends when it is cancelled, when its parent ends, or at the execution's deadline."""

    def __init__(self, parent: "Life | None" = None, seconds: float | None = None) -> None:
        self._parent = parent
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._waiters: set[threading.Event] = set()
        self._children: set[Life] = set()
        self.timed_out = False

    def child(self) -> "Life":
        """A life within this one."""
        made = Life(self)
        with self._lock:
            self._children.add(made)
        if self._cancelled.is_set():
            made.cancel()
        return made

    def close(self) -> None:
        """This life is over in the ordinary way."""
        if self._parent is not None:
            with self._parent._lock:
                self._parent._children.discard(self)

    def cancel(self) -> None:
        """End it, and every wait in it, now."""
        self._cancelled.set()
        with self._lock:
            waiters, children = list(self._waiters), list(self._children)
        for waiter in waiters:
            waiter.set()
        for child in children:
            child.cancel()

    def check(self) -> None:
        """Raise CancelledError if this life is over."""
        left = self._left()
        if left is not None and left <= 0:
            self._time_out()
        if self._cancelled.is_set():
            raise CancelledError

    def _left(self) -> float | None:
        here = None if self._deadline is None else self._deadline - time.monotonic()
        above = self._parent._left() if self._parent else None
        known = [left for left in (here, above) if left is not None]
        return min(known) if known else None

    def _time_out(self) -> None:
        root = self
        while root._parent is not None:
            root = root._parent
        if not root._cancelled.is_set():
            root.timed_out = True
            root.cancel()

    def wait(self, event: threading.Event, seconds: float | None = None) -> bool:
        """Wait for an event, at most so long; False when the time is up.

        The event must be this wait's own: the end of this life sets it, to end the wait.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self._lock:
            self._waiters.add(event)
        try:
            while True:
                self.check()
                if event.is_set():
                    return True
                rest = None if until is None else until - time.monotonic()
                if rest is not None and rest <= 0:
                    return False
                limits = [limit for limit in (rest, self._left()) if limit is not None]
                event.wait(min(limits) if limits else None)
        finally:
            with self._lock:
                self._waiters.discard(event)

    def sleep(self, seconds: float) -> None:
        """Pause for so many real seconds."""
        if seconds > 0:
            self.wait(threading.Event(), seconds)
        else:
            self.check()

    def call(self, work: Callable[[], Any], seconds: float | None) -> Any:
        """Run a blocking call beside, so that a timeout or an abort does not wait for it."""
        done = threading.Event()
        result: list[Any] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                result.append(work())
            except BaseException as error:
                failure.append(error)
            done.set()

        threading.Thread(target=run, name="task call", daemon=True).start()
        if not self.wait(done, seconds):
            raise StateError(TIMEOUT)
        if failure:
            raise failure[0]
        return result[0]
