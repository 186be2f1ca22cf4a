"""Retry and Catch."""

import random
from collections.abc import Mapping
from typing import Any

from local.states.errors import StateError, matches


class Retries:
    """The retriers of one visit of a state, each with a count of its own."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._retriers: list[Mapping[str, Any]] = state.get("Retry", [])
        self._counts = [0] * len(self._retriers)
        self._task = state["Type"] == "Task"
        self.total = 0

    def wait_before_next(self, error: StateError) -> float | None:
        """Seconds to wait before another attempt; None when there is none."""
        for number, retrier in enumerate(self._retriers):
            if not matches(retrier["ErrorEquals"], error.name, task=self._task):
                continue
            if self._counts[number] >= retrier.get("MaxAttempts", 3):
                return None
            rate = float(retrier.get("BackoffRate", 2.0))
            delay = float(retrier.get("IntervalSeconds", 1)) * rate ** self._counts[number]
            delay = min(delay, float(retrier.get("MaxDelaySeconds", float("inf"))))
            if retrier.get("JitterStrategy") == "FULL":
                delay = random.uniform(0, delay)  # noqa: S311 - jitter is no secret
            self._counts[number] += 1
            self.total += 1
            return delay
        return None


def catcher(state: Mapping[str, Any], error: StateError) -> Mapping[str, Any] | None:
    """The Catch entry that takes this error."""
    task = state["Type"] == "Task"
    catchers: list[Mapping[str, Any]] = state.get("Catch", [])
    for entry in catchers:
        if matches(entry["ErrorEquals"], error.name, task=task):
            return entry
    return None
