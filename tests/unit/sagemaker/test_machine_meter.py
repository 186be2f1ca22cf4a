"""When the machines of endpoints are measured."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from local.clock import Clock
from local.sagemaker.endpoints.meters import Machine, MachineMeter


def test_a_clock_that_is_set_faster_shortens_the_present_wait() -> None:
    """The next look comes when a minute of the clock has passed, not when it was to pass before."""
    cloud: Any = SimpleNamespace(clock=Clock(1), stopping=threading.Event())
    first, second = threading.Event(), threading.Event()

    def machines() -> list[Machine]:
        (second if first.is_set() else first).set()
        return []

    thread = threading.Thread(target=MachineMeter(cloud, machines).serve)
    thread.start()
    try:
        assert first.wait(30)
        cloud.clock.factor = 10_000
        assert second.wait(30)
    finally:
        cloud.stopping.set()
        thread.join()
