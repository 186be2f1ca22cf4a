"""The habits of a real cloud, on demand: duplicates, reordering, delay, throttling, sudden death,
writes that were done although the caller was told that they failed, spot machines taken away, and
model servers that are slow, fail or crash.

Set through `POST /_local/faults`; everything is off unless asked for. Choices come from one
seeded generator, so that a failing test can be repeated.
"""

import fnmatch
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from local.journal import Journal

_RATES = ("duplicates", "reorder")
_LISTS = ("kill", "lie", "interrupt", "serve")


READS = ("Get", "Describe", "List", "Query", "Head", "Scan")


def is_write(call: str) -> bool:
    """Whether a call (`service.Operation`) changes anything."""
    return not call.partition(".")[2].startswith(READS)


@dataclass(frozen=True)
class Call:
    """One call of a function's: which worker makes it, and all calls of the invocation so far."""

    function: str
    worker: int
    calls: tuple[str, ...]

    @property
    def number(self) -> int:
        """Its number in the invocation, from 1."""
        return len(self.calls)

    @property
    def writes(self) -> list[str]:
        """The calls so far that changed something, this one included."""
        return [call for call in self.calls if is_write(call)]


NOBODY = Call("", 0, ())  # a caller that is no function


@dataclass
class Kill:
    """End a function's process before or after an AWS call of one invocation.

    Which call: the `call`-th; or the one that completes exactly these `calls`; or the one that
    completes exactly these `writes` (whatever was read in between).
    """

    function: str
    when: str
    call: int = 0
    calls: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    times: int = 1

    def is_at(self, call: Call) -> bool:
        """Whether this is the call."""
        if self.function != call.function:
            return False
        if self.writes:
            return is_write(call.calls[-1]) and call.writes == self.writes
        return list(call.calls) == self.calls if self.calls else call.number == self.call


@dataclass
class Lie:
    """Carry out the n-th matching call, then answer HTTP 500. `caller`: only this function's.

    `writes`: only the call that completes exactly these writes of an invocation, and the
    repetitions that follow it (`times` in all).
    """

    operation: str
    nth: int
    times: int = 1
    caller: str = ""
    writes: list[str] = field(default_factory=list)
    seen: int = 0

    def is_at(self, operation: str, call: Call) -> bool:
        """Whether this is a call that it is about."""
        if self.operation.lower() != operation.lower() or self.caller not in ("", call.function):
            return False
        if not self.writes:
            return True
        repeated = call.writes[len(self.writes) :]
        is_same = call.writes[: len(self.writes)] == self.writes
        return is_same and len(repeated) < self.times and set(repeated) <= {self.writes[-1]}


@dataclass
class Interrupt:
    """Take the machine away from managed spot training jobs whose names match `job`.

    Not before `after_seconds` of the process's life on that machine, and, with `checkpoint`, not
    before it has left a checkpoint there that it was not given at its start. `times` counts over
    all jobs. Another machine comes after `capacity_after_seconds`. All in real seconds.
    """

    job: str = "*"
    after_seconds: float = 0.0
    checkpoint: bool = False
    times: int = 1
    capacity_after_seconds: float = 1.0

    def is_at(self, job: str, seconds: float, checkpoint: bool) -> bool:
        """Whether the machine goes now."""
        ready = seconds >= self.after_seconds and (checkpoint or not self.checkpoint)
        return self.times > 0 and ready and fnmatch.fnmatchcase(job, self.job)


@dataclass
class ServerFault:
    """Let model servers be slow, fail or crash; each name is a pattern.

    A request waits `delay_ms`; then its server is killed (`crash`), or answers with `status`
    (0: its own answer). It hits the `rate` of the requests, at most `times` of them (0: no limit).
    `target`: the model that is asked of an endpoint with several.
    """

    endpoint: str = "*"
    config: str = "*"
    variant: str = "*"
    target: str = "*"
    delay_ms: int = 0
    status: int = 0
    crash: bool = False
    rate: float = 1.0
    times: int = 0
    hits: int = 0

    def is_at(self, endpoint: str, config: str, variant: str, target: str) -> bool:
        """Whether a request to this variant, or to a model on it, can be hit."""
        if self.times and self.hits >= self.times:
            return False
        pairs = (
            (endpoint, self.endpoint),
            (config, self.config),
            (variant, self.variant),
            (target, self.target),
        )
        return all(fnmatch.fnmatchcase(name, pattern) for name, pattern in pairs)


@dataclass
class Plan:
    """All faults that are on. Rates lie in [0, 1]; `delay_ms` applies to deliveries."""

    duplicates: float = 0.0
    reorder: float = 0.0
    delay_ms: int = 0
    throttle: dict[str, float] = field(default_factory=dict)
    kill: list[Kill] = field(default_factory=list)
    lie: list[Lie] = field(default_factory=list)
    interrupt: list[Interrupt] = field(default_factory=list)
    serve: list[ServerFault] = field(default_factory=list)


class FaultsInvalidError(ValueError):
    """A fault plan that names something unknown or out of range."""


def parse_plan(document: dict[str, Any]) -> Plan:
    """Read a plan from the control API's JSON; raises `FaultsInvalidError` naming the mistake."""
    unknown = set(document) - {*_RATES, *_LISTS, "delay_ms", "throttle", "seed"}
    if unknown:
        raise FaultsInvalidError(f"unknown faults: {', '.join(sorted(unknown))}")
    plan = Plan()
    try:
        for name in _RATES:
            setattr(plan, name, _rate(name, document.get(name, 0)))
        plan.delay_ms = int(document.get("delay_ms", 0))
        for service, rate in document.get("throttle", {}).items():
            plan.throttle[str(service).lower()] = _rate(f"throttle.{service}", rate)
        plan.kill = [Kill(**entry) for entry in _entries(document.get("kill"))]
        plan.lie = [Lie(**entry) for entry in _entries(document.get("lie"))]
        plan.interrupt = [Interrupt(**entry) for entry in _entries(document.get("interrupt"))]
        plan.serve = [ServerFault(**entry) for entry in _entries(document.get("serve"))]
    except TypeError as error:
        raise FaultsInvalidError(str(error)) from None
    _check_plan(plan)
    return plan


def _check_plan(plan: Plan) -> None:
    """Raise for a figure that is out of range."""
    for kill in plan.kill:
        if kill.when not in ("before", "after"):
            raise FaultsInvalidError(f"kill.when is {kill.when!r}; it is before or after")
    for found in plan.interrupt:
        if not isinstance(found.job, str) or not isinstance(found.checkpoint, bool):
            raise FaultsInvalidError(f"interrupt.job is a text and .checkpoint a bool: {found}")
        if min(found.after_seconds, found.capacity_after_seconds, found.times) < 0:
            raise FaultsInvalidError(f"interrupt has a negative figure: {found}")
    for fault in plan.serve:
        _rate("serve.rate", fault.rate)
        if fault.delay_ms < 0 or fault.times < 0 or fault.status not in (0, *range(400, 600)):
            raise FaultsInvalidError(
                f"serve has a negative figure, or a status that is no error (400 to 599): {fault}"
            )


def _entries(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _rate(name: str, value: Any) -> float:
    rate = float(value)
    if not 0 <= rate <= 1:
        raise FaultsInvalidError(f"{name} is {value}; a rate lies between 0 and 1")
    return rate


class Faults:
    """The plan in force, asked at each point where something can go wrong."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._plan = Plan()
        self._random = random.Random(0)  # noqa: S311 - repeatable, not secret

    def replace(self, document: dict[str, Any]) -> None:
        """Put a whole new plan in force (an empty one switches all off)."""
        plan = parse_plan(document)
        with self._lock:
            self._plan = plan
            self._random = random.Random(document.get("seed", 0))  # noqa: S311

    @property
    def active(self) -> bool:
        """Whether any fault of requests is on."""
        with self._lock:
            return bool(self._plan.throttle or self._plan.kill or self._plan.lie)

    def throttled(self, service: str, operation: str) -> bool:
        """Whether this request is to be refused with a throttling error."""
        with self._lock:
            keys = (service, f"{service}.{operation}".lower())
            rate = max(self._plan.throttle.get(key, 0.0) for key in keys)
            hit = rate > 0 and self._random.random() < rate
        if hit:
            self._journal.add("fault", fault="throttle", service=service, operation=operation)
        return hit

    def kills(self, call: Call, when: str) -> bool:
        """Whether the function's process dies at this call; each planned death happens once."""
        with self._lock:
            for kill in self._plan.kill:
                if kill.when == when and kill.times > 0 and kill.is_at(call):
                    kill.times -= 1
                    break
            else:
                return False
        self._note("kill", call, when=when)
        return True

    def lies(self, service: str, operation: str, call: Call) -> bool:
        """Whether this call, once done, is to be reported as failed."""
        with self._lock:
            for lie in self._plan.lie:
                if not lie.is_at(f"{service}.{operation}", call):
                    continue
                lie.seen += 1
                if lie.nth <= lie.seen < lie.nth + lie.times:
                    break
            else:
                return False
        self._note("lie", call, service=service, operation=operation)
        return True

    @property
    def interrupting(self) -> bool:
        """Whether any interruption is still to come."""
        with self._lock:
            return any(found.times > 0 for found in self._plan.interrupt)

    def interrupts(self, job: str, seconds: float, checkpoint: bool) -> Interrupt | None:
        """What takes the machine of a spot job away now, `seconds` after its process began.

        `checkpoint`: the process has left a checkpoint of its own.
        """
        with self._lock:
            for found in self._plan.interrupt:
                if found.is_at(job, seconds, checkpoint):
                    found.times -= 1
                    break
            else:
                return None
        self._journal.add("fault", fault="interrupt", job=job, seconds=round(seconds, 3))
        return found

    @property
    def serving(self) -> bool:
        """Whether any fault of model servers is on."""
        return bool(self._plan.serve)

    def serves(
        self, endpoint: str, config: str, variant: str, target: str = ""
    ) -> ServerFault | None:
        """What happens to this request to a model server, if anything."""
        with self._lock:
            for found in self._plan.serve:
                at = found.is_at(endpoint, config, variant, target)
                if at and self._random.random() < found.rate:
                    found.hits += 1
                    break
            else:
                return None
        where = {"endpoint": endpoint, "config": config, "variant": variant, "target": target}
        self._journal.add("fault", fault="serve", **where)
        return found

    def _note(self, fault: str, call: Call, **facts: Any) -> None:
        """Journal what hit a call."""
        where = {"function": call.function, "worker": call.worker, "call": call.number}
        self._journal.add("fault", fault=fault, **where, **facts)

    def deliveries(self) -> list[float]:
        """When to deliver one event or message: seconds from now, one entry a copy."""
        with self._lock:
            plan = self._plan
            if not (plan.duplicates or plan.reorder or plan.delay_ms):
                return [0.0]
            base = plan.delay_ms / 1000
            times = [base]
            if plan.duplicates and self._random.random() < plan.duplicates:
                times.append(base + self._random.random() * 0.5)
                self._journal.add("fault", fault="duplicate")
            if plan.reorder and self._random.random() < plan.reorder:
                times[0] += 0.05 + self._random.random() * 0.5
                self._journal.add("fault", fault="reorder")
            return times
