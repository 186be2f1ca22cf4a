"""The habits of a real cloud, on demand: duplicates, reordering, delay, throttling, sudden death,
and writes that were done although the caller was told that they failed.

Set through `POST /_local/faults`; everything is off unless asked for. Choices come from one
seeded generator, so that a failing test can be repeated.
"""

import random
import threading
from dataclasses import dataclass, field
from typing import Any

from local.journal import Journal

_RATES = ("duplicates", "reorder")


@dataclass
class Kill:
    """End a function's process before or after the k-th AWS call of one invocation."""

    function: str
    call: int
    when: str
    times: int = 1


@dataclass
class Lie:
    """Carry out the n-th matching call, then answer HTTP 500.

    `caller`: only this function's; `call`: only an invocation's call of this number, and the
    repetitions that follow it (`times` in all).
    """

    operation: str
    nth: int
    times: int = 1
    caller: str = ""
    call: int = 0
    seen: int = 0


@dataclass
class Plan:
    """All faults that are on. Rates lie in [0, 1]; `delay_ms` applies to deliveries."""

    duplicates: float = 0.0
    reorder: float = 0.0
    delay_ms: int = 0
    throttle: dict[str, float] = field(default_factory=dict)
    kill: list[Kill] = field(default_factory=list)
    lie: list[Lie] = field(default_factory=list)


class FaultsInvalidError(ValueError):
    """A fault plan that names something unknown or out of range."""


def parse_plan(document: dict[str, Any]) -> Plan:
    """Read a plan from the control API's JSON; raises `FaultsInvalidError` naming the mistake."""
    unknown = set(document) - {*_RATES, "delay_ms", "throttle", "kill", "lie", "seed"}
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
    except TypeError as error:
        raise FaultsInvalidError(str(error)) from None
    for kill in plan.kill:
        if kill.when not in ("before", "after"):
            raise FaultsInvalidError(f"kill.when is {kill.when!r}; it is before or after")
    return plan


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

    def kills(self, function: str, call: int, when: str, worker: int) -> bool:
        """Whether the function's process dies at this call; each planned death happens once."""
        with self._lock:
            for kill in self._plan.kill:
                if (kill.function, kill.call, kill.when) != (function, call, when):
                    continue
                if kill.times < 1:
                    continue
                kill.times -= 1
                break
            else:
                return False
        self._journal.add(
            "fault", fault="kill", function=function, call=call, when=when, worker=worker
        )
        return True

    def lies(self, service: str, operation: str, caller: str, call: int, worker: int) -> bool:
        """Whether this call, once done, is to be reported as failed."""
        with self._lock:
            for lie in self._plan.lie:
                if lie.operation.lower() != f"{service}.{operation}".lower():
                    continue
                if lie.caller and lie.caller != caller:
                    continue
                if lie.call and not lie.call <= call < lie.call + lie.times:
                    continue
                lie.seen += 1
                if lie.nth <= lie.seen < lie.nth + lie.times:
                    break
            else:
                return False
        self._journal.add(
            "fault",
            fault="lie",
            service=service,
            operation=operation,
            caller=caller,
            call=call,
            worker=worker,
        )
        return True

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
