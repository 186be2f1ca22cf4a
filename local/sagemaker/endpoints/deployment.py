"""Blue/green: a second fleet takes the traffic over step by step, or gives it back.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from local.cloud import Cloud
from local.sagemaker.endpoints.deployment_rules import Step, steps
from local.sagemaker.endpoints.endpoint import (
    IN_SERVICE,
    ROLLBACK_FAILED,
    ROLLING_BACK,
    Endpoint,
    Pending,
)
from local.sagemaker.endpoints.fleet import Fleet, FleetError
from local.sagemaker.endpoints.routes import settled, shifting

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.02  # real seconds between two looks at the alarms


class RolledBackError(Exception):
    """The deployment must be taken back; the text says why."""


class Deployment:
    """One update of an endpoint, from the new fleet's start to the old one's end."""

    def __init__(self, endpoint: Endpoint, green: Fleet, config: Mapping[str, Any] | None) -> None:
        if endpoint.fleet is None:
            raise RuntimeError(f"endpoint {endpoint.name} has no fleet")
        self._endpoint = endpoint
        self._cloud = endpoint.cloud
        self._blue = endpoint.fleet
        self._green = green
        self._alarms = alarm_names(config)
        desired = {name: one.desired for name, one in green.variants.items()}
        self._steps: Sequence[Step] = steps(config, desired)
        policy = (config or {}).get("BlueGreenUpdatePolicy", {})
        self._limit: float | None = policy.get("MaximumExecutionTimeoutInSeconds")
        self._began = self._cloud.clock.service_now()
        endpoint.pending = Pending(green, round(time.time(), 3), dict.fromkeys(desired, 0.0))

    def run(self) -> None:
        """To its end, good or bad; the endpoint's status says which."""
        try:
            self._check()
            for step in self._steps:
                self._take(step)
        except (FleetError, RolledBackError) as error:
            self._roll_back(str(error))
        except Exception as error:
            log.exception("deployment of endpoint %s", self._endpoint.name)
            self._roll_back(f"InternalServerError: the local cloud failed: {error}")
        else:
            self._endpoint.progress("Deleting", f"Deleting the old fleet ({self._blue.name}).")
            self._endpoint.adopt(self._green)
            self._blue.retire()
            self._endpoint.move(IN_SERVICE)

    def _take(self, step: Step) -> None:
        """More capacity, then traffic on it, then the bake."""
        green, endpoint = self._green, self._endpoint
        total = sum(step.counts.values())
        endpoint.progress("Creating", f"Creating capacity of {total} instance(s).")
        green.grow(step.counts)
        green.wait()
        self._check()
        words = "all traffic" if step.whole else f"traffic ({_percent(step)})"
        endpoint.progress(
            "ActivatingTraffic", f"Activating {words} on capacity of {total} instance(s)."
        )
        with endpoint.lock:
            if endpoint.pending is not None:
                endpoint.pending.parts = step.parts
            blue = self._blue
            endpoint.routes = settled(green) if step.whole else shifting(blue, green, step.parts)
        self._bake(step, total)

    def _bake(self, step: Step, total: int) -> None:
        """Watch the alarms for the step's time; without a wait there is no last look either."""
        words = "full" if step.whole else "canary"
        self._endpoint.progress(
            "Baking",
            f"Baking for {step.wait_seconds:g} seconds ({step.wait_name}) with traffic enabled on "
            f"{words} capacity of {total} instance(s).",
        )
        end = self._cloud.clock.service_now() + step.wait_seconds
        while True:
            self._check()
            left = self._cloud.clock.real_seconds(end - self._cloud.clock.service_now())
            if left <= 0:
                return
            time.sleep(min(left, LOOK_SECONDS))

    def _check(self) -> None:
        """Raise when an alarm is in ALARM, an alarm is gone, or the deployment takes too long."""
        raised = alarms_in(self._cloud, self._alarms, "ALARM")
        if raised:
            raise RolledBackError(
                f"The deployment of {self._green.name} was rolled back: alarm in state ALARM: "
                f"{', '.join(raised)}."
            )
        lost = missing_alarms(self._cloud, self._alarms)
        if lost:
            raise RolledBackError(
                f"The deployment of {self._green.name} was rolled back: the alarm "
                f"{', '.join(lost)} does not exist any more."
            )
        spent = self._cloud.clock.service_now() - self._began
        if self._limit is not None and spent > self._limit:
            raise RolledBackError(
                f"The deployment of {self._green.name} was rolled back: it took longer than "
                f"MaximumExecutionTimeoutInSeconds ({self._limit:g})."
            )

    def _roll_back(self, reason: str) -> None:
        """All traffic to the old fleet at once; the new one answers what it has and goes."""
        endpoint, blue = self._endpoint, self._blue
        endpoint.move(ROLLING_BACK, reason)
        with endpoint.lock:
            endpoint.routes = settled(blue)
            if endpoint.pending is not None:
                endpoint.pending.parts = dict.fromkeys(endpoint.pending.parts, 0.0)
        endpoint.progress("Deleting", f"Deleting the new fleet ({self._green.name}).")
        self._green.retire()
        status = IN_SERVICE
        try:
            blue.wait()
        except FleetError as error:
            status = ROLLBACK_FAILED
            reason = f"{reason} The old fleet is not in service: {error}"
        with endpoint.lock:
            endpoint.pending = None
        endpoint.move(status, reason)


def _percent(step: Step) -> str:
    parts = sorted({f"{100 * part:g}%" for part in step.parts.values()})
    return ", ".join(parts)


def alarm_names(config: Mapping[str, Any] | None) -> list[str]:
    """The alarms of AutoRollbackConfiguration."""
    alarms = (config or {}).get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [alarm["AlarmName"] for alarm in alarms if alarm.get("AlarmName")]


def missing_alarms(cloud: Cloud, names: Sequence[str]) -> list[str]:
    """Those that do not exist."""
    with cloud.alarms.lock:
        return [name for name in names if name not in cloud.alarms.alarms]


def alarms_in(cloud: Cloud, names: Sequence[str], state: str) -> list[str]:
    """Those that are in a state."""
    with cloud.alarms.lock:
        known = cloud.alarms.alarms
        return [name for name in names if name in known and known[name].state == state]
