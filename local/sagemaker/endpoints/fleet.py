"""The instances of one endpoint configuration: a variant's, and all variants' together."""

import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.sagemaker.endpoints.capture import CapturePlan
from local.sagemaker.endpoints.connections import Connections, Ports
from local.sagemaker.endpoints.instance import IN_SERVICE, Instance, Post
from local.sagemaker.endpoints.models import container_of
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

HEALTH_CHECK_SECONDS = 240.0  # SageMaker's own limit until the first /ping
START_FLOOR = 20.0  # real seconds that a server has at least: it does real work
RANDOM = "RANDOM"
BODY_LIMIT = 6 * 1024 * 1024  # bytes of a request
Taken = tuple[Instance, Connections]


class FleetError(Exception):
    """Instances did not come into service; the text is the endpoint's failure reason."""


@dataclass(frozen=True)
class Variant:
    """One production variant with the model that it names, as they were when it was made."""

    endpoint: str
    config: str
    settings: Mapping[str, Any]
    model: Mapping[str, Any]
    isolated: bool
    capture: CapturePlan | None = None

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.settings["VariantName"])

    @property
    def container(self) -> Record:
        """The only container of its model."""
        return container_of(self.model)

    @property
    def post(self) -> Post:
        """What each of its instances serves."""
        return Post(self.endpoint, self.config, self.name, self.container, self.isolated)

    @property
    def health_seconds(self) -> float:
        """Service seconds until the first answer of /ping."""
        name = "ContainerStartupHealthCheckTimeoutInSeconds"
        return float(self.settings.get(name, HEALTH_CHECK_SECONDS))


class VariantFleet:
    """The instances of one variant of one configuration. `desired` is what was asked for last."""

    body_limit = BODY_LIMIT

    def __init__(self, runtime: JobRuntime, ports: Ports, variant: Variant, desired: int) -> None:
        self._runtime = runtime
        self._ports = ports
        self.variant = variant
        self.desired = desired
        self.instances: tuple[Instance, ...] = ()
        self._random = variant.settings.get("RoutingConfig", {}).get("RoutingStrategy") == RANDOM

    def in_service(self) -> int:
        """How many instances answer now."""
        return sum(instance.state == IN_SERVICE for instance in self.instances)

    def grow(self, count: int) -> None:
        """Start instances until there are so many; returns at once."""
        fresh = [
            Instance(self._runtime, self._ports, self.variant.post)
            for _ in range(count - len(self.instances))
        ]
        self.instances += tuple(fresh)
        for instance in fresh:
            instance.start()

    def shrink(self, count: int) -> tuple[Instance, ...]:
        """Take the newest instances out of the fleet; the caller stops them."""
        kept, gone = self.instances[:count], self.instances[count:]
        self.instances = kept
        return gone

    def wait(self) -> None:
        """Until every instance is in service; FleetError when one cannot be or takes too long."""
        real = self._runtime.cloud.clock.real_seconds(self.variant.health_seconds)
        for instance in self.instances:
            if instance.wait(max(START_FLOOR, real)):
                continue
            raise FleetError(
                instance.failure
                or f"The primary container for production variant {self.variant.name} did not "
                "pass the ping health check. Please check CloudWatch logs for this endpoint."
            )

    def take(self, target: str = "") -> Taken | None:
        """An instance for one request: the one with the fewest under way, if any is in service.

        Instances that have the target model loaded come before the others.
        """
        instances = [one for one in self.instances if one.state == IN_SERVICE]
        while instances:
            ready = [one for one in instances if target and one.cache and one.cache.has(target)]
            if ready:
                least = min(one.outstanding for one in ready)
                chosen = next(one for one in ready if one.outstanding <= least)
            elif self._random:
                chosen = random.choice(instances)  # noqa: S311 - load, not secrets
            else:
                least = min(one.outstanding for one in instances)
                chosen = random.choice(  # noqa: S311
                    [one for one in instances if one.outstanding <= least] or instances
                )
            connections = chosen.take()
            if connections is not None:
                return chosen, connections
            instances.remove(chosen)
        return None

    def give_back(self, instance: Instance) -> None:
        """The request is answered."""
        instance.give_back()

    @property
    def memory(self) -> int | None:
        """Bytes that one server may use; None: all that the machine has."""
        return None

    def summary(self, weight: float, desired_weight: float) -> Record:
        """The variant as DescribeEndpoint shows it."""
        settings = self.variant.settings
        image = self.variant.container["Image"]
        deployed = {"SpecifiedImage": image, "ResolvedImage": image}
        shown: Record = {
            "VariantName": self.variant.name,
            "DeployedImages": [deployed],
            "CurrentWeight": weight,
            "DesiredWeight": desired_weight,
            "CurrentInstanceCount": self.in_service(),
            "DesiredInstanceCount": self.desired,
        }
        if "RoutingConfig" in settings:
            shown["RoutingConfig"] = settings["RoutingConfig"]
        return shown


class Fleet:
    """The variants of one configuration, with their weights."""

    def __init__(
        self, config: Record, variants: Iterable[VariantFleet], weights: Mapping[str, float]
    ) -> None:
        self.config = config
        self.variants = {one.variant.name: one for one in variants}
        self.weights = dict(weights)

    @property
    def name(self) -> str:
        """The configuration's name."""
        return str(self.config["EndpointConfigName"])

    def grow(self, counts: Mapping[str, int]) -> None:
        """Start what is missing."""
        for name, count in counts.items():
            self.variants[name].grow(count)

    def wait(self) -> None:
        """Until all instances are in service; FleetError otherwise."""
        for variant in self.variants.values():
            variant.wait()

    def instances(self) -> list[Instance]:
        """All instances of all variants."""
        return [one for variant in self.variants.values() for one in variant.instances]

    def retire(self) -> None:
        """Drain and stop every instance; returns when all processes are gone."""
        gone: list[Instance] = []
        for variant in self.variants.values():
            gone += variant.shrink(0)
        stop_all(gone)


def stop_all(instances: Iterable[Instance]) -> None:
    """Stop instances side by side; returns when the last one is gone."""
    threads = [
        threading.Thread(target=one.stop, name=f"stop {one.id}", daemon=True) for one in instances
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
