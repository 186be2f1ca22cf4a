"""Warm environments, how many may run, and when old ones end."""

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.lambdas.environment import Environment, FunctionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cloud import Cloud

# A laptop's limits. AWS would go on scaling; here the next invocation waits for its turn.
PER_FUNCTION = 10
IN_ALL = 40
IDLE_LIMIT = 600.0  # seconds


class ThrottledError(Exception):
    """The function's reserved concurrency is used up."""


class Pool:
    """All environments of all functions."""

    def __init__(self, cloud: "Cloud", python: "Callable[[], Path]") -> None:
        self._cloud = cloud
        self._python = python
        self._changed = threading.Condition()
        self._idle: list[Environment] = []
        self._busy: dict[str, int] = {}
        self._starting = threading.Semaphore(max(2, os.cpu_count() or 2))
        self._waiting = 0

    def under_way(self) -> int:
        """Invocations that run or wait for an environment."""
        with self._changed:
            return sum(self._busy.values()) + self._waiting

    def take(self, spec: FunctionSpec, reserved: int | None) -> Environment:
        """A warm environment, or a new one; waits where the laptop's limits are reached.

        Raises `ThrottledError` where AWS would: beyond the reserved concurrency.
        """
        key = spec.arn
        with self._changed:
            if reserved is not None and self._busy.get(key, 0) >= reserved:
                raise ThrottledError(spec.name)
            self._waiting += 1
            try:
                warm = self._wait_for_place(spec)
            finally:
                self._waiting -= 1
            self._busy[key] = self._busy.get(key, 0) + 1
        if warm is not None:
            return warm
        try:
            return Environment(self._cloud, spec, self._python())
        except BaseException:
            self._leave(key)
            raise

    def _wait_for_place(self, spec: FunctionSpec) -> Environment | None:
        while True:
            self._retire(spec)
            for environment in reversed(self._idle):  # the most recent is the warmest
                if environment.spec.arn == spec.arn:
                    self._idle.remove(environment)
                    return environment
            in_all = sum(self._busy.values())
            if self._busy.get(spec.arn, 0) < PER_FUNCTION and in_all < IN_ALL:
                if in_all + len(self._idle) >= IN_ALL:
                    oldest = min(self._idle, key=lambda e: e.last_used)
                    self._idle.remove(oldest)
                    oldest.close()
                return None
            self._changed.wait()

    def _retire(self, spec: FunctionSpec) -> None:
        """End idle environments that died, are out of date, or have not been used for long."""
        now = time.monotonic()
        for environment in list(self._idle):
            same = environment.spec.arn == spec.arn
            outdated = same and environment.spec.revision != spec.revision
            if environment.dead or outdated or now - environment.last_used > IDLE_LIMIT:
                self._idle.remove(environment)
                environment.close()

    def starting(self) -> threading.Semaphore:
        """Held during a cold start: as many at once as there are processors."""
        return self._starting

    def give_back(self, environment: Environment, current_revision: str) -> None:
        """Keep the environment warm, unless it died or the function has changed meanwhile."""
        keep = not environment.dead and environment.spec.revision == current_revision
        if not keep:
            environment.close()
        with self._changed:
            if keep:
                self._idle.append(environment)
        self._leave(environment.spec.arn)

    def _leave(self, key: str) -> None:
        with self._changed:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
            self._changed.notify_all()

    def end(self, name: str) -> None:
        """The function is deleted or changed: end its idle environments."""
        with self._changed:
            gone = [e for e in self._idle if e.spec.name == name]
            self._idle = [e for e in self._idle if e.spec.name != name]
        for environment in gone:
            environment.close()
