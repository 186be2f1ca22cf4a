"""A job's printed output: into the log stream while it runs, searched for metrics, bounded."""

import math
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LINE_LIMIT = 16 * 1024  # characters of one line that are kept; longer ones are cut with a mark
STREAM_LIMIT = 4 * 1024 * 1024  # bytes that go to the log stream as they come
LAST_LINES = 200  # of what goes beyond, so many last lines still reach it at the end
BATCH_SECONDS = 0.1

# Name, value and epoch seconds of the figures found since the last batch.
Measured = Callable[[Sequence[tuple[str, float, float]]], None]


def _nobody(_: Sequence[tuple[str, float, float]]) -> None:
    """Nobody asked for the figures."""


class Output:
    """Reads a job's stream to its end, in a thread of its own, so that the job never waits.

    The whole stream goes to the end of `file`; the first megabytes and the last lines go to the
    log stream. What the patterns of `metrics` find goes to `measured` in batches while the job
    runs, and the last value of each stays in `metrics`.
    """

    def __init__(
        self,
        stream: IO[bytes],
        file: Path,
        publish: Callable[[Sequence[str]], None],
        metrics: Sequence[Mapping[str, str]] = (),
        measured: Measured = _nobody,
    ) -> None:
        self._stream = stream
        self._file = file
        self._publish = publish
        self._measured = measured
        self._points: list[tuple[str, float, float]] = []
        self._patterns = [(m["Name"], re.compile(m["Regex"])) for m in metrics]
        self.metrics: dict[str, tuple[float, float]] = {}
        self.last: deque[str] = deque(maxlen=40)
        self._waiting: list[str] = []
        self._published = 0
        self._beyond: deque[str] = deque(maxlen=LAST_LINES)
        self._beyond_lines = 0
        self._sent = time.monotonic()
        self._thread = threading.Thread(target=self._pump, name=f"output {file.name}", daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the stream has ended and everything is published."""
        self._thread.join(timeout)

    def _pump(self) -> None:
        rest = b""
        number = self._stream.fileno()
        poll = select.poll()
        poll.register(number, select.POLLIN | select.POLLHUP)
        with self._file.open("ab") as file:
            while True:
                if (self._waiting or self._points) and not poll.poll(BATCH_SECONDS * 1000):
                    file.flush()
                    self._send()  # the job is silent: show what it said
                    continue
                piece = os.read(number, 1 << 16)
                if not piece:
                    break
                file.write(piece)
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > LINE_LIMIT:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._take(line)
                if time.monotonic() - self._sent > BATCH_SECONDS or len(self._waiting) > 500:
                    file.flush()
                    self._send()
            if rest:
                self._take(rest)
        self._finish()

    def _take(self, raw: bytes) -> None:
        line = raw.rstrip(b"\r").decode("utf-8", "replace")
        if len(line) > LINE_LIMIT:
            line = line[:LINE_LIMIT] + " […]"
        self.last.append(line)
        for name, pattern in self._patterns:
            for found in pattern.finditer(line):
                self._measure(name, found)
        if self._published < STREAM_LIMIT:
            self._published += len(line) + 26  # CloudWatch counts 26 bytes beside each event
            self._waiting.append(line)
        else:
            self._beyond_lines += 1
            self._beyond.append(line)

    def _measure(self, name: str, found: "re.Match[str]") -> None:
        try:
            value = float(found.group(1))
        except (ValueError, IndexError):
            return  # as in SageMaker, what is no number is no data point
        if math.isfinite(value):  # CloudWatch takes neither NaN nor infinity
            moment = time.time()
            self.metrics[name] = (value, moment)
            self._points.append((name, value, moment))

    def _send(self) -> None:
        if self._points:
            self._measured(self._points)
            self._points = []
        if self._waiting:
            self._publish(self._waiting)
            self._waiting = []
        self._sent = time.monotonic()

    def _finish(self) -> None:
        dropped = self._beyond_lines - len(self._beyond)
        if dropped:
            self._waiting.append(f"[local cloud] {dropped} lines left out here; all: {self._file}")
        self._waiting.extend(self._beyond)
        self._send()
