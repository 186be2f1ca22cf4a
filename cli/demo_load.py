"""A client that never stops asking: so many predictions a second, each counted, none repeated."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

# More may wait at once than a slow server lets pile up, so a slow answer delays no other request.
MOST_AT_ONCE = 100
SPREAD = 4.0  # standard deviations: by luck alone a share leaves them once in 15,000 times


@dataclass(frozen=True)
class Asked:
    """One request: when it was due and how long its answer took (s), by which version or error."""

    due: float
    seconds: float
    version: int = 0
    error: str = ""


@dataclass(frozen=True)
class Share:
    """How many of some answers one version gave, beside the share that was asked for."""

    version: int
    hits: int
    answers: int
    wanted: float

    @property
    def measured(self) -> float:
        """The share as a fraction; 0 without answers."""
        return self.hits / self.answers if self.answers else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Where the share of so many answers lies if each goes by chance (binomial, 4 sigma)."""
        spread = SPREAD * math.sqrt(self.wanted * (1 - self.wanted) / max(1, self.answers))
        return max(0.0, self.wanted - spread), min(1.0, self.wanted + spread)

    @property
    def is_within(self) -> bool:
        """Whether there were answers, and the share lies within its bounds."""
        low, high = self.bounds
        return self.answers > 0 and low <= self.measured <= high


@dataclass(frozen=True)
class Latency:
    """How many answers a version gave, and how long they took, in milliseconds."""

    answers: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Figures:
    """What the client counted; latencies in milliseconds, of all requests that were answered."""

    sent: int
    failed: int
    p50_ms: float
    p99_ms: float
    by_version: dict[str, Latency]
    errors: dict[str, int]


class Load:
    """Asks at a constant rate from threads of its own, whatever the answers take.

    `ask(n)` sends the n-th request and returns the version that answered; what it raises is
    a failed request. Requests that are due are sent also while earlier ones wait.
    """

    def __init__(self, ask: Callable[[int], int], per_second: float) -> None:
        self._ask = ask
        self._every = 1 / per_second
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, "asks")
        self._thread = threading.Thread(target=self._send, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more, and wait for the answers that are under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True)

    def _send(self) -> None:
        number, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._pool.submit(self._one, number, due)
            number, due = number + 1, due + self._every

    def _one(self, number: int, due: float) -> None:
        version, error = 0, ""
        try:
            version = self._ask(number)
        except Exception as caught:  # whatever it is, the client got no answer: it counts
            error = f"{type(caught).__name__}: {caught}"
        asked = Asked(due, time.monotonic() - due, version, error)
        with self._lock:
            self._asked.append(asked)

    @property
    def asked(self) -> list[Asked]:
        """Every request that has ended so far."""
        with self._lock:
            return list(self._asked)

    def share(self, version: int, wanted: float, since: float, until: float) -> Share:
        """A version's share of the answers to requests that were due between two moments."""
        answered = [each for each in self.asked if each.version and since <= each.due <= until]
        hits = sum(each.version == version for each in answered)
        return Share(version, hits, len(answered), wanted)


def figures(asked: Sequence[Asked]) -> Figures:
    """The counts and latencies of some requests."""
    answered = [each for each in asked if not each.error]
    errors = Counter(each.error for each in asked if each.error)
    whole = latency(answered)
    return Figures(
        sent=len(asked),
        failed=errors.total(),
        p50_ms=whole.p50_ms,
        p99_ms=whole.p99_ms,
        by_version={
            str(version): latency([each for each in answered if each.version == version])
            for version in sorted({each.version for each in answered})
        },
        errors=dict(errors),
    )


def latency(answered: Sequence[Asked]) -> Latency:
    """The latencies of some answers."""
    times = sorted(1000 * each.seconds for each in answered)
    return Latency(len(times), round(quantile(times, 0.5), 1), round(quantile(times, 0.99), 1))


def quantile(times: Sequence[float], q: float) -> float:
    """The smallest of sorted times that a share `q` of them does not exceed; 0 without any."""
    return times[max(0, math.ceil(q * len(times)) - 1)] if times else 0.0


def endpoint_client(endpoint: str, rows: Sequence[dict[str, Any]]) -> Callable[[int], int]:
    """Ask an endpoint by `invoke_endpoint`, without retries, for one row after the other."""
    from perennial.aws.clients import hurried_client  # noqa: PLC0415 - boto3 costs 0.2 s

    runtime = hurried_client("sagemaker-runtime", 60)

    def ask(number: int) -> int:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint,
            ContentType="application/json",
            Body=json.dumps({"instances": [rows[number % len(rows)]]}),
        )
        document = json.loads(answer["Body"].read())
        if len(document["predictions"]) != 1:
            raise ValueError(f"{len(document['predictions'])} predictions for one row")
        return int(document["version"])

    return ask
