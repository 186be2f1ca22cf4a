"""How many requests a route takes: a token bucket a stage and route, as API Gateway's."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

# An account's limits, which hold where a stage sets none.
ACCOUNT_RATE, ACCOUNT_BURST = 10_000.0, 5_000


class Throttle:
    """The buckets of every route that was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def admits(
        self, place: tuple[str, str, str], settings: Mapping[str, Any], now: float | None = None
    ) -> bool:
        """Take one token of (API, stage, route); False when the bucket is empty."""
        rate = float(settings.get("throttlingRateLimit", ACCOUNT_RATE))
        burst = float(settings.get("throttlingBurstLimit", ACCOUNT_BURST))
        moment = time.monotonic() if now is None else now
        with self._lock:
            left, since = self._buckets.get(place, (burst, moment))
            left = min(burst, left + (moment - since) * rate)
            self._buckets[place] = (left - 1 if left >= 1 else left, moment)
            return left >= 1


def settings_of(stage: Any, route_key: str) -> dict[str, Any]:
    """A route's settings: the stage's own for it, above the stage's default."""
    return {
        **(stage.default_route_settings or {}),
        **(stage.route_settings or {}).get(route_key, {}),
    }
