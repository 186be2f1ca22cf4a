"""What the cloud did, in order, for tests and benches: deliveries, invocations, faults hit."""

import threading
import time
from collections import deque
from typing import Any


class Journal:
    """A bounded list of facts; each has a running number, a time and a kind."""

    def __init__(self, limit: int = 200_000) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=limit)
        self._lock = threading.Lock()
        self._next = 1

    def add(self, kind: str, **facts: Any) -> None:
        """Append one fact."""
        with self._lock:
            entry = {"n": self._next, "time_ms": int(time.time() * 1000), "kind": kind, **facts}
            self._entries.append(entry)
            self._next += 1

    def since(self, number: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        """Entries after running number `number`, of one kind if named."""
        with self._lock:
            return [
                entry
                for entry in self._entries
                if entry["n"] > number and (kind is None or entry["kind"] == kind)
            ]
