"""Work for later and work for now, on a bounded pool; what is under way can be counted."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

log = logging.getLogger(__name__)


class Timers:
    """One clock thread and a pool of workers."""

    def __init__(self, name: str, workers: int = 24) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._running = 0
        threading.Thread(target=self._serve, name=f"{name}-timer", daemon=True).start()

    def now(self, work: Callable[[], Any]) -> None:
        """Run work in the background as soon as a worker is free."""
        with self._changed:
            self._running += 1
        self._start(work)

    def after(self, real_seconds: float, work: Callable[[], Any]) -> None:
        """Run work in the background after so many real seconds."""
        if real_seconds <= 0:
            self.now(work)
            return
        with self._changed:
            due = time.monotonic() + real_seconds
            heapq.heappush(self._heap, (due, next(self._order), work))
            self._changed.notify()

    def pending(self) -> int:
        """How much is running or waits for its time."""
        with self._changed:
            return self._running + len(self._heap)

    def _start(self, work: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("background work failed")
            finally:
                with self._changed:
                    self._running -= 1

        try:
            self._pool.submit(run)
        except RuntimeError:  # the interpreter is shutting down
            with self._changed:
                self._running -= 1

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._heap:
                    self._changed.wait()
                wait = self._heap[0][0] - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, work = heapq.heappop(self._heap)
                self._running += 1
            self._start(work)
