"""What the scaling of an endpoint asks of Application Auto Scaling, as parts of its requests.

One scalable target a production variant, and one policy of ours that tracks the requests an
instance gets a minute. `tests/unit/domain/test_scaling_plan.py` holds the requests against
botocore's own description of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.release_plan import MAIN
from perennial.domain.settings import Endpoint, Scaling

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
#: The name of the policy; it is unique within its target.
POLICY = "perennial-invocations"
CONFIGURATION = "TargetTrackingScalingPolicyConfiguration"


@dataclass(frozen=True)
class SeenPolicy:
    """A scaling policy as Application Auto Scaling describes it."""

    name: str
    configuration: Mapping[str, Any]


@dataclass(frozen=True)
class SeenScaling:
    """The bounds that a variant has now, and its policies."""

    least: int
    most: int
    policies: tuple[SeenPolicy, ...] = ()


def place(endpoint: str) -> dict[str, str]:
    """The members that name the scaled variant of an endpoint."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{endpoint}/variant/{MAIN}",
        "ScalableDimension": DIMENSION,
    }


def target(endpoint: str, scaling: Scaling) -> dict[str, Any]:
    """RegisterScalableTarget: the bounds."""
    return {**place(endpoint), "MinCapacity": scaling.min, "MaxCapacity": scaling.max}


def policy(endpoint: str, scaling: Scaling) -> dict[str, Any]:
    """PutScalingPolicy: as many instances as bring each to the wanted requests a minute."""
    return {
        "PolicyName": POLICY,
        **place(endpoint),
        "PolicyType": "TargetTrackingScaling",
        CONFIGURATION: {
            "TargetValue": scaling.invocations_per_instance,
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
            "ScaleInCooldown": scaling.in_cooldown,
            "ScaleOutCooldown": scaling.out_cooldown,
            "DisableScaleIn": False,
        },
    }


def has_bounds(seen: SeenScaling | None, scaling: Scaling) -> bool:
    """Whether the bounds are those of the settings."""
    return seen is not None and (seen.least, seen.most) == (scaling.min, scaling.max)


def has_policy(seen: SeenScaling | None, scaling: Scaling) -> bool:
    """Whether our policy is there, as the settings ask; what AWS adds to it does not count."""
    wanted = policy("", scaling)[CONFIGURATION]
    for found in seen.policies if seen is not None else ():
        if found.name == POLICY:
            return all(found.configuration.get(name) == wanted[name] for name in wanted)
    return False


def keeps_count(endpoint: Endpoint, desired: int | None) -> bool:
    """Whether a deployment keeps the count that the endpoint has (`desired`) now.

    Only scaling may have changed it, and only a count within its bounds is one of its choice:
    else the count of the settings would never come into force.
    """
    scaling = endpoint.scaling
    return scaling is not None and desired is not None and scaling.min <= desired <= scaling.max


def why(cause: str, policies: Sequence[str] = (POLICY,)) -> str:
    """A scaling activity's cause in words; AWS's own where we know none."""
    ours = any(cause.endswith(f"triggered policy {name}") for name in policies)
    if ours and "-AlarmHigh-" in cause:
        return "each instance got more requests than wanted"
    if ours and "-AlarmLow-" in cause:
        return "fewer instances are enough"
    return cause
