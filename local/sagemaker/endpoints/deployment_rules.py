"""What a deployment may ask for, and the steps that it takes; decisions only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import invalid, unsupported

ALL_AT_ONCE, CANARY, LINEAR = "ALL_AT_ONCE", "CANARY", "LINEAR"
SIZES = {CANARY: "CanarySize", LINEAR: "LinearStepSize"}
MOST, LEAST_LINEAR = 0.5, 0.1  # of a variant's capacity, as AWS limits a step
PERCENT = "CAPACITY_PERCENT"
EPSILON = 1e-9


@dataclass(frozen=True)
class Step:
    """Traffic on the green fleet after this step, by variant, and the bake that follows.

    `parts` are parts of each variant's traffic (0 to 1), `counts` instances that must be up.
    """

    parts: Mapping[str, float]
    counts: Mapping[str, int]
    wait_seconds: float
    wait_name: str

    @property
    def whole(self) -> bool:
        """Whether all traffic is on the green fleet."""
        return all(part >= 1 for part in self.parts.values())


def check_policy(config: Mapping[str, Any]) -> None:
    """Raise AWS's error for a DeploymentConfig that contradicts itself."""
    if config.get("RollingUpdatePolicy"):
        raise unsupported("rolling deployments (RollingUpdatePolicy)")
    policy = config.get("BlueGreenUpdatePolicy")
    if policy is None:
        raise invalid("DeploymentConfig needs BlueGreenUpdatePolicy.")
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    for name_of, size in SIZES.items():
        given = routing.get(size)
        if kind == name_of and not given:
            raise invalid(f"{size} must be given for the traffic routing type {kind}.")
        if kind != name_of and given:
            raise invalid(f"{size} must not be given for the traffic routing type {kind}.")
    limit = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = policy.get("TerminationWaitInSeconds", 0)
    waits += 0 if kind == ALL_AT_ONCE else routing["WaitIntervalInSeconds"]
    if limit is not None and limit <= waits:
        raise invalid(
            f"MaximumExecutionTimeoutInSeconds ({limit}) must be larger than the waiting times "
            f"of the deployment ({waits} seconds)."
        )


def check_guarded(
    config: Mapping[str, Any], old: Mapping[str, int], new: Mapping[str, int]
) -> None:
    """Refuse what guarded deployment excludes: `old` and `new` are instances by variant."""
    if set(old) != set(new):
        raise invalid(
            "A deployment with DeploymentConfig needs the same variant names in both endpoint "
            f"configurations: the endpoint has {', '.join(sorted(old))}, the new configuration "
            f"{', '.join(sorted(new))}."
        )
    routing = config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    if kind == ALL_AT_ONCE:
        return
    size = routing[SIZES[kind]]
    for name, count in new.items():
        part = part_of(size, count)
        least = LEAST_LINEAR if kind == LINEAR else 0.0
        if count < 2 or part > MOST + EPSILON or part < least - EPSILON:
            bounds = "10-50%" if kind == LINEAR else "at most 50%"
            raise invalid(
                f"{SIZES[kind]} must be {bounds} of the variant's total instance count, and at "
                f"least one instance: {size['Value']} {size['Type']} of {count} instance(s) of "
                f"variant {name} is not."
            )


def part_of(size: Mapping[str, Any], count: int) -> float:
    """A step's size as a part of the traffic: what was asked for, however instances round."""
    value = float(size["Value"])
    return value / 100 if size["Type"] == PERCENT else value / count


def steps(config: Mapping[str, Any] | None, desired: Mapping[str, int]) -> list[Step]:
    """The steps of a blue/green deployment; without a configuration, all at once."""
    policy = (config or {}).get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": ALL_AT_ONCE})
    last = Step(
        dict.fromkeys(desired, 1.0),
        dict(desired),
        float(policy.get("TerminationWaitInSeconds", 0)),
        "TerminationWaitInSeconds",
    )
    kind = routing["Type"]
    if kind == ALL_AT_ONCE:
        return [last]
    size = routing[SIZES[kind]]
    first = {name: part_of(size, count) for name, count in desired.items()}
    rounds = 1 if kind == CANARY else max(math.ceil(1 / part - EPSILON) for part in first.values())
    rounds = rounds if kind == CANARY else rounds - 1
    found = []
    for number in range(1, rounds + 1):
        parts = {name: min(1.0, part * number) for name, part in first.items()}
        counts = {
            name: min(desired[name], max(1, math.ceil(part * desired[name] - EPSILON)))
            for name, part in parts.items()
        }
        wait = float(routing["WaitIntervalInSeconds"])
        found.append(Step(parts, counts, wait, "WaitIntervalInSeconds"))
    return [*found, last]
