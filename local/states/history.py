"""An execution's history: every event numbered, dated and chained to the one before it."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from local.states.errors import RUNTIME, StateError

LIMIT = 25_000
Event = dict[str, Any]


def dumps(value: Any) -> str:
    """JSON as Step Functions writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class History:
    """Append-only; `observe` gets each event, for the log group."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._observe = observe

    def add(self, kind: str, previous: int, **details: Any) -> int:
        """Append an event; its number. `details` is named after the event's detail member."""
        with self._lock:
            number = len(self._events) + 1
            ending = kind.startswith("Execution")
            if number > LIMIT and not ending:
                raise StateError(RUNTIME, f"The execution reached {LIMIT} history events.")
            event = {
                "timestamp": round(time.time(), 3),
                "type": kind,
                "id": number,
                "previousEventId": previous,
                **details,
            }
            self._events.append(event)
        self._observe(event)
        return number

    def last(self) -> int:
        """The newest event's number."""
        with self._lock:
            return len(self._events)

    def events(self) -> list[Event]:
        """All events so far."""
        with self._lock:
            return list(self._events)


def data(name: str, value: Any) -> dict[str, Any]:
    """An input or output member with its details."""
    return {name: dumps(value), f"{name}Details": {"truncated": False}}
