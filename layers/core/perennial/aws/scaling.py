"""Application Auto Scaling: the bounds of an endpoint's variant, its policies, what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound
from perennial.domain.scaling_plan import (
    CONFIGURATION,
    DIMENSION,
    NAMESPACE,
    SeenPolicy,
    SeenScaling,
    place,
)

SERVICE = "application-autoscaling"


@dataclass(frozen=True)
class Activity:
    """One change that was made: what, why, how it went (`Successful`, `Failed`, `InProgress`)."""

    description: str
    cause: str
    status: str
    message: str
    started_ms: int


def describe_scaling(endpoint: str) -> SeenScaling | None:
    """The bounds and policies of an endpoint's variant; None: it is not scaled."""
    targets = _targets(endpoint)
    if not targets:
        return None
    with translated(f"describing the scaling of {endpoint}"):
        policies = client(SERVICE).describe_scaling_policies(**place(endpoint))["ScalingPolicies"]
    return SeenScaling(
        least=int(targets[0]["MinCapacity"]),
        most=int(targets[0]["MaxCapacity"]),
        policies=tuple(
            SeenPolicy(each["PolicyName"], each.get(CONFIGURATION, {})) for each in policies
        ),
    )


def _targets(endpoint: str) -> list[dict[str, Any]]:
    with translated(f"describing what scales {endpoint}"):
        found: list[dict[str, Any]] = client(SERVICE).describe_scalable_targets(
            ServiceNamespace=NAMESPACE,
            ResourceIds=[place(endpoint)["ResourceId"]],
            ScalableDimension=DIMENSION,
        )["ScalableTargets"]
    return found


def put_target(request: Mapping[str, Any]) -> None:
    """RegisterScalableTarget; the same request again changes nothing."""
    with translated(f"bounding the instances of {request['ResourceId']}"):
        client(SERVICE).register_scalable_target(**request)


def put_policy(request: Mapping[str, Any]) -> None:
    """PutScalingPolicy; the same request again changes nothing."""
    with translated(f"putting the scaling policy of {request['ResourceId']}"):
        client(SERVICE).put_scaling_policy(**request)


def remove_scaling(endpoint: str) -> bool:
    """Let nothing scale the endpoint's variant any more; False when nothing did.

    Its policies and their alarms go with it.
    """
    if not _targets(endpoint):
        return False
    try:
        with translated(f"ending the scaling of {endpoint}"):
            client(SERVICE).deregister_scalable_target(**place(endpoint))
    except NotFound:
        return False
    return True


def last_activity(endpoint: str) -> Activity | None:
    """The newest change of the endpoint's count; None: there was none in the last six weeks."""
    with translated(f"asking what scaled {endpoint}"):
        found = client(SERVICE).describe_scaling_activities(**place(endpoint), MaxResults=1)
    for each in found["ScalingActivities"]:
        started: datetime = each["StartTime"]
        return Activity(
            description=each["Description"],
            cause=each["Cause"],
            status=each["StatusCode"],
            message=each.get("StatusMessage", ""),
            started_ms=int(started.timestamp() * 1000),
        )
    return None
