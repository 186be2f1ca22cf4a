"""The clock of the services' own waits: schedules, alarm periods, visibility, retries."""

import threading
import time


class Clock:
    """Real time for time stamps, and waits shortened by a factor.

    `now()` is the machine's clock, since callers stamp their data with it. `service_now()` runs
    `factor` times as fast from the start of the cloud on: schedules and alarm periods follow it.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._factor = 1.0
        self._anchor_real = time.time()
        self._anchor_service = self._anchor_real
        self.factor = factor

    @property
    def factor(self) -> float:
        """How many service seconds pass in one real second."""
        return self._factor

    @factor.setter
    def factor(self, factor: float) -> None:
        if not 0 < factor <= 100_000:
            raise ValueError(f"the clock factor is {factor}; it must lie in (0, 100000]")
        with self._lock:
            now = time.time()
            self._anchor_service += (now - self._anchor_real) * self._factor
            self._anchor_real = now
            self._factor = float(factor)

    def now(self) -> float:
        """Epoch seconds of the machine's clock."""
        return time.time()

    def service_now(self) -> float:
        """Epoch seconds of the scaled clock that schedules follow."""
        with self._lock:
            return self._anchor_service + (time.time() - self._anchor_real) * self._factor

    def real_seconds(self, service_seconds: float) -> float:
        """The real length of a wait that lasts so many service seconds."""
        return service_seconds / self._factor

    def sleep(self, service_seconds: float) -> None:
        """Wait for so many service seconds."""
        time.sleep(max(0.0, self.real_seconds(service_seconds)))
