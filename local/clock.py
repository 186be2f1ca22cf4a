"""The clock of the services' own waits: schedules, alarm periods, visibility, retries."""

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Stretch:
    """From one change of the factor on: both clocks then, and the factor."""

    real: float
    service: float
    factor: float


class Clock:
    """Real time for time stamps, and waits shortened by a factor.

    `now()` is the machine's clock, since callers stamp their data with it. `service_now()` runs
    `factor` times as fast from the start of the cloud on: schedules and alarm periods follow it.
    What was stamped keeps its place on that clock when the factor changes.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._lock = threading.Lock()
        now = time.time()
        self._stretches = [Stretch(now, now, _valid(factor))]

    @property
    def factor(self) -> float:
        """How many service seconds pass in one real second."""
        return self._stretches[-1].factor

    @factor.setter
    def factor(self, factor: float) -> None:
        factor = _valid(factor)
        with self._lock:
            now = time.time()
            self._stretches.append(Stretch(now, self.service_at(now), factor))

    def now(self) -> float:
        """Epoch seconds of the machine's clock."""
        return time.time()

    def service_now(self) -> float:
        """Epoch seconds of the scaled clock that schedules follow."""
        return self.service_at(time.time())

    def service_at(self, real: float) -> float:
        """What the scaled clock shows at a moment of the machine's; before the start as then."""
        place = bisect_right(self._stretches, real, key=lambda each: each.real)
        then = self._stretches[max(place - 1, 0)]
        return then.service + (real - then.real) * then.factor

    def real_at(self, service: float) -> float:
        """The moment of the machine's clock at which the scaled one shows this."""
        place = bisect_right(self._stretches, service, key=lambda each: each.service)
        then = self._stretches[max(place - 1, 0)]
        return then.real + (service - then.service) / then.factor

    def real_seconds(self, service_seconds: float) -> float:
        """The real length of a wait that lasts so many service seconds."""
        return service_seconds / self.factor

    def sleep(self, service_seconds: float) -> None:
        """Wait for so many service seconds."""
        time.sleep(max(0.0, self.real_seconds(service_seconds)))


def _valid(factor: float) -> float:
    if not 0 < factor <= 100_000:
        raise ValueError(f"the clock factor is {factor}; it must lie in (0, 100000]")
    return float(factor)
