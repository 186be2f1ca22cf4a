"""An endpoint's figures on their way to CloudWatch: of requests, and of the machines.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

import collections
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.cloud import Cloud
from local.metrics.store import Point

REQUESTS = "AWS/SageMaker"
MACHINES = "/aws/sagemaker/Endpoints"
FLUSH_SECONDS = 0.2  # real seconds until a request's figures are in CloudWatch
MACHINE_SECONDS = 60.0  # service seconds between two looks at the processes
LEAST_SECONDS = 1.0  # real seconds between two looks, however fast the clock runs
DIGITS = 3  # of a latency that are kept, so that equal ones share one data point
FEW = 20  # requests in one round that are kept so finely
BUCKET = 1.02  # of more requests, latencies within 2% share one data point
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Served:
    """One request as it is counted: latencies in microseconds, instances that shared the load.

    `setup` is the start of a serverless variant's server that the request waited for; 0: none.
    """

    endpoint: str
    variant: str
    config: str
    instances: int
    moment: float
    client_error: bool
    server_error: bool
    model_latency: float | None
    overhead_latency: float
    setup: float = 0.0


class RequestMeter:
    """Collects what was served without a lock; a thread of its own publishes it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._served: collections.deque[Served] = collections.deque()
        self._started = threading.Event()

    def add(self, served: Served) -> None:
        """Count one request."""
        self._served.append(served)
        if not self._started.is_set():
            self._started.set()
            self._cloud.background("endpoint metrics", self._serve)

    def _serve(self) -> None:
        while not self._cloud.stopping.is_set():
            time.sleep(FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Publish what was counted since the last time."""
        groups: dict[tuple[str, str, str, int], list[Served]] = {}
        for _ in range(len(self._served)):
            served = self._served.popleft()
            key = (served.endpoint, served.variant, served.config, int(served.moment))
            groups.setdefault(key, []).append(served)
        for (endpoint, variant, config, _), found in groups.items():
            dimensions = {"EndpointName": endpoint, "VariantName": variant}
            for one in (dimensions, {**dimensions, "EndpointConfigName": config}):
                for name, point in points(found):
                    self._cloud.metrics.put_point(REQUESTS, name, one, point)


def points(found: list[Served]) -> Iterable[tuple[str, Point]]:
    """The data points of requests of one variant within one second."""
    moment = found[-1].moment
    count = len(found)
    yield "Invocations", _point(moment, 1.0, count, "None")
    share = 1.0 / max(1, found[-1].instances)
    yield "InvocationsPerInstance", _point(moment, share, count, "None")
    for name, hits in (
        ("Invocation4XXErrors", sum(served.client_error for served in found)),
        ("Invocation5XXErrors", sum(served.server_error for served in found)),
        ("InvocationModelErrors", sum(s.client_error or s.server_error for s in found)),
    ):
        # Every request is a 0 or a 1, so that the average is the rate of errors.
        if hits:
            yield name, _point(moment, 1.0, hits, "None")
        if count - hits:
            yield name, _point(moment, 0.0, count - hits, "None")
    model = [served.model_latency for served in found if served.model_latency is not None]
    for name, values in (
        ("ModelLatency", model),
        ("OverheadLatency", [served.overhead_latency for served in found]),
        ("ModelSetupTime", [served.setup for served in found if served.setup]),
    ):
        for value, times in _rounded(values).items():
            yield name, _point(moment, value, times, "Microseconds")


def _rounded(values: Sequence[float]) -> "collections.Counter[float]":
    """How often each latency came, so coarse that a flood of requests costs little memory."""
    if len(values) <= FEW:
        return collections.Counter(float(f"{value:.{DIGITS}g}") for value in values)
    buckets = collections.Counter(round(math.log(max(value, 1.0), BUCKET)) for value in values)
    return collections.Counter(
        {float(f"{BUCKET**bucket:.{DIGITS}g}"): times for bucket, times in buckets.items()}
    )


def _point(moment: float, value: float, count: int, unit: str) -> Point:
    return Point(moment, value * count, count, value, value, unit)


@dataclass(frozen=True)
class Usage:
    """What the processes of one session have used: CPU seconds since their start, and bytes."""

    cpu_seconds: float
    memory: int


def usages(sessions: Collection[int]) -> dict[int, Usage]:
    """Sums over each session's processes, from /proc; what has just ended counts nothing."""
    found = dict.fromkeys(sessions, Usage(0.0, 0))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        session = int(fields[3])
        if session in found:
            cpu = (int(fields[11]) + int(fields[12])) / TICKS
            memory = int(fields[21]) * PAGE
            before = found[session]
            found[session] = Usage(before.cpu_seconds + cpu, before.memory + memory)
    return found


@dataclass(frozen=True)
class Machine:
    """One instance as the meter of machines sees it."""

    endpoint: str
    variant: str
    instance: str
    session: int
    memory: int | None = None  # bytes that it may use; None: all that the machine has
    models: int | None = None  # that it has loaded; None: it is no server of several


class MachineMeter:
    """CPUUtilization (100 a core), MemoryUtilization and DiskUtilization in percent."""

    def __init__(self, cloud: Cloud, machines: Callable[[], list[Machine]]) -> None:
        self._cloud = cloud
        self._machines = machines
        self._before: dict[tuple[str, int], tuple[float, float]] = {}
        self._memory = PAGE * os.sysconf("SC_PHYS_PAGES")

    def serve(self) -> None:
        """Look again and again, until the cloud ends."""
        while not self._cloud.stopping.is_set():
            self.look()
            clock, stopping = self._cloud.clock, self._cloud.stopping
            due = clock.service_now() + MACHINE_SECONDS
            # By short waits: the clock may be set to go faster meanwhile.
            while not stopping.wait(LEAST_SECONDS) and clock.service_now() < due:
                pass

    def look(self) -> None:
        """Publish one data point an instance; its first look has no CPU figure yet."""
        now = time.monotonic()
        before, self._before = self._before, {}
        machines = self._machines()
        used = usages({machine.session for machine in machines})
        for machine in machines:
            found = used[machine.session]
            key = (machine.instance, machine.session)
            self._before[key] = (now, found.cpu_seconds)
            figures: dict[str, float] = {
                "MemoryUtilization": 100 * found.memory / (machine.memory or self._memory),
                "DiskUtilization": _disk(self._cloud.state_dir),
            }
            if machine.models is not None:
                figures["LoadedModelCount"] = float(machine.models)
            if key in before:
                since, spent = before[key]
                figures["CPUUtilization"] = 100 * (found.cpu_seconds - spent) / (now - since)
            self._put({"EndpointName": machine.endpoint, "VariantName": machine.variant}, figures)

    def _put(self, dimensions: Mapping[str, str], figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            unit = "Count" if name == "LoadedModelCount" else "Percent"
            self._cloud.put_metric(MACHINES, name, value, dimensions, unit)


def _disk(place: Path) -> float:
    total, used, _ = shutil.disk_usage(place)
    return 100 * used / total
