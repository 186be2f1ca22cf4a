"""Serverless variants: servers that start when a request needs one, and end when none comes.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from local.sagemaker.endpoints.connections import Connections, Ports
from local.sagemaker.endpoints.fleet import (
    START_FLOOR,
    Fleet,
    FleetError,
    Taken,
    Variant,
    VariantFleet,
    stop_all,
)
from local.sagemaker.endpoints.instance import IN_SERVICE, Instance
from local.sagemaker.errors import invalid
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

STAND_UP_SECONDS = 180.0  # SageMaker's own limit for download, start and the first /ping
IDLE_SECONDS = 300.0  # service seconds without a request; AWS does not tell how many it waits
LOOK_SECONDS = 0.5  # real seconds between two looks at most: the clock may be changed
BODY_LIMIT = 4 * 1024 * 1024  # bytes of a request
NO_STAND_UP = (
    "Unable to successfully stand up your model within the allotted 180 second timeout. Please "
    "ensure that downloading your model artifacts, starting your model container and passing the "
    "ping health checks can be completed within 180 seconds."
)


class TooManyError(Exception):
    """As many requests as MaxConcurrency allows are under way."""


class ServerlessFleet(VariantFleet):
    """A server a request that is under way, at most MaxConcurrency of them, and none at rest."""

    body_limit = BODY_LIMIT

    def __init__(self, runtime: JobRuntime, ports: Ports, variant: Variant) -> None:
        super().__init__(runtime, ports, variant, 0)
        self._settings = variant.settings["ServerlessConfig"]
        self._changed = threading.Condition()
        self._requests = 0
        self._idle: dict[Instance, float] = {}  # since when, by the service's clock; oldest first
        self._keeper = False
        self._closed = False
        self._proven = False

    @property
    def memory(self) -> int:
        """Bytes that one server may use."""
        return int(self._settings["MemorySizeInMB"]) * 1024 * 1024

    def wait(self) -> None:
        """Prove that the model can be served, and leave no server behind; FleetError otherwise."""
        if self._proven:
            return
        instance = self._start()
        try:
            if not instance.wait(self._stand_up_seconds()):
                raise FleetError(instance.failure or NO_STAND_UP)
        finally:
            self._drop(instance)
        self._proven = True

    def take(self, target: str = "") -> Taken | None:
        """A server for one request: an idle one, or a new one when it stands.

        Raises `TooManyError` at MaxConcurrency and `FleetError` when the new server does not
        stand up; None when the variant has just left the endpoint.
        """
        with self._changed:
            if self._closed:
                return None
            if self._requests >= self._settings["MaxConcurrency"]:
                raise TooManyError
            self._requests += 1
            found = self._awake()
        if found is not None:
            return found
        try:
            return self._cold()
        except FleetError:
            self._end_request()
            if self._closed:
                return None
            raise

    def give_back(self, instance: Instance) -> None:
        """The request is answered; its server waits for the next one."""
        instance.give_back()
        self._end_request()
        with self._changed:
            keep = instance.state == IN_SERVICE and not self._closed
            if keep:
                self._idle[instance] = self._runtime.cloud.clock.service_now()
            begin = keep and not self._keeper
            self._keeper = self._keeper or begin
        if not keep:  # crashed, or the variant leaves: a new server is as good
            self._drop(instance)
        if begin:
            self._runtime.cloud.background("serverless idle", self._keep)

    def shrink(self, count: int) -> tuple[Instance, ...]:
        """Every server; there is no number of them that could be kept."""
        with self._changed:
            self._closed = True
            self._idle.clear()
            gone, self.instances = self.instances, ()
            self._changed.notify_all()
        return gone

    def summary(self, weight: float, desired_weight: float) -> Record:
        """The variant as DescribeEndpoint shows it: its settings in place of instances."""
        shown = super().summary(weight, desired_weight)
        settings = dict(self._settings)
        shown |= {"CurrentInstanceCount": 0, "DesiredInstanceCount": 0}
        return {**shown, "CurrentServerlessConfig": settings, "DesiredServerlessConfig": settings}

    # --- servers ----------------------------------------------------------------------------
    def _stand_up_seconds(self) -> float:
        return max(START_FLOOR, self._runtime.cloud.clock.real_seconds(STAND_UP_SECONDS))

    def _awake(self) -> Taken | None:
        """The server that was used last, so that the others may go to sleep."""
        while self._idle:
            instance, _ = self._idle.popitem()
            connections = instance.take()
            if connections is not None:
                return instance, connections
            self._leave(instance)
        return None

    def _leave(self, instance: Instance) -> None:
        """A server that is of no use any more; its end is not waited for."""
        self._runtime.cloud.background("serverless end", lambda: self._drop(instance))

    def _cold(self) -> Taken:
        began = time.perf_counter()
        instance = self._start()
        served = instance.wait(self._stand_up_seconds())
        connections: Connections | None = instance.take() if served else None
        if connections is not None:
            instance.setup_microseconds = (time.perf_counter() - began) * 1e6
            return instance, connections
        self._drop(instance)
        raise FleetError(instance.failure or NO_STAND_UP)

    def _start(self) -> Instance:
        instance = Instance(self._runtime, self._ports, self.variant.post)
        with self._changed:
            closed = self._closed
            if not closed:
                self.instances += (instance,)
        if closed:
            raise FleetError(f"Variant {self.variant.name} leaves the endpoint.")
        instance.start()
        return instance

    def _drop(self, instance: Instance) -> None:
        stop_all([instance])
        with self._changed:
            self.instances = tuple(one for one in self.instances if one is not instance)

    def _end_request(self) -> None:
        with self._changed:
            self._requests -= 1

    def _keep(self) -> None:
        """Let servers go to sleep, until there is none."""
        clock: Any = self._runtime.cloud.clock
        while True:
            with self._changed:
                now = clock.service_now()
                due = [one for one, since in self._idle.items() if now - since >= IDLE_SECONDS]
                for instance in due:
                    del self._idle[instance]
                if not self._idle:
                    self._keeper = False
                asleep = not self._keeper
                if not asleep and not due:
                    left = clock.real_seconds(min(self._idle.values()) + IDLE_SECONDS - now)
                    self._changed.wait(max(0.01, min(left, LOOK_SECONDS)))
            stop_all(due)
            with self._changed:
                self.instances = tuple(one for one in self.instances if one not in due)
            if asleep:
                return


def check_change(
    endpoint: str, before: Fleet | None, config: Mapping[str, Any], *, guarded: bool
) -> None:
    """Refuse the updates that AWS does not do where one of the sides is serverless."""
    was = before is not None and any(
        isinstance(one, ServerlessFleet) for one in before.variants.values()
    )
    will_be = any(variant.get("ServerlessConfig") for variant in config["ProductionVariants"])
    if will_be and not was:
        raise invalid(
            f'The endpoint "{endpoint}" runs on instances and cannot be converted to a serverless '
            "endpoint; create another endpoint."
        )
    if guarded and (was or will_be):
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
