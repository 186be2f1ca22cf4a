"""What requests must say, and AWS's errors; what the local cloud has not is refused by name."""

import re
from collections.abc import Mapping
from typing import Any

from local.jsonapi.errors import ApiError, invalid, unsupported
from local.scaling.book import DIMENSION, NAMESPACE, Place, Policy, Target

METRIC = "SageMakerVariantInvocationsPerInstance"
RESOURCE = re.compile(r"endpoint/([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})/variant/([a-zA-Z0-9-]{1,63})")
SUSPENSIONS = (
    "DynamicScalingInSuspended",
    "DynamicScalingOutSuspended",
    "ScheduledScalingSuspended",
)
COOLDOWN_SECONDS = 300  # AWS's default for variants
LONGEST_COOLDOWN = 3600
MOST = 1000  # instances
OTHER_CONFIGURATIONS = (
    "StepScalingPolicyConfiguration",
    "PredictiveScalingPolicyConfiguration",
)


def check_namespace(parameters: Mapping[str, Any]) -> None:
    """Refuse services and dimensions that nothing here scales."""
    namespace = parameters["ServiceNamespace"]
    if namespace != NAMESPACE:
        raise unsupported(f"the ServiceNamespace {namespace} of Application Auto Scaling")
    dimension = parameters.get("ScalableDimension", DIMENSION)
    if dimension.startswith("sagemaker:") and dimension != DIMENSION:
        raise unsupported(f"the ScalableDimension {dimension}")
    if dimension != DIMENSION:
        raise invalid(f"Unsupported service namespace, resource type or dimension: {dimension}")


def place_of(parameters: Mapping[str, Any]) -> Place:
    """The variant that a request names."""
    check_namespace(parameters)
    resource = parameters["ResourceId"]
    found = RESOURCE.fullmatch(resource)
    if found is None:
        raise invalid(
            f"Unsupported ResourceId '{resource}' for {DIMENSION}: "
            "endpoint/<endpoint>/variant/<variant> is expected"
        )
    return Place(found[1], found[2])


def bounds_of(parameters: Mapping[str, Any], known: Target | None) -> tuple[int, int]:
    """MinCapacity and MaxCapacity; a known target keeps what is not given."""
    least = parameters.get("MinCapacity", known.least if known else None)
    most = parameters.get("MaxCapacity", known.most if known else None)
    if least is None or most is None:
        raise invalid(
            "MinCapacity and MaxCapacity are required when a scalable target is registered"
        )
    if least == 0:
        raise unsupported("a MinCapacity of 0")
    if least < 0:
        raise invalid("Minimum capacity cannot be less than 0")
    if most < least:
        raise invalid("Maximum capacity cannot be less than minimum capacity")
    if most > MOST:
        raise invalid(f"Maximum capacity cannot be greater than {MOST}")
    return least, most


def suspended(parameters: Mapping[str, Any], known: Target | None) -> dict[str, bool]:
    """SuspendedState with every member."""
    before = known.suspended if known else dict.fromkeys(SUSPENSIONS, False)
    return {**before, **parameters.get("SuspendedState", {})}


def tracking_of(parameters: Mapping[str, Any], known: Policy | None) -> dict[str, Any]:
    """TargetTrackingScalingPolicyConfiguration with AWS's defaults."""
    kind = parameters.get("PolicyType") or ("TargetTrackingScaling" if known else None)
    if kind is None:
        raise invalid("PolicyType is required when a scaling policy is created")
    if kind != "TargetTrackingScaling":
        raise unsupported(f"the PolicyType {kind}")
    for name in OTHER_CONFIGURATIONS:
        if parameters.get(name):
            raise invalid(f"{name} does not belong to the PolicyType TargetTrackingScaling")
    given = parameters.get("TargetTrackingScalingPolicyConfiguration")
    if given is None:
        raise invalid("TargetTrackingScalingPolicyConfiguration is required")
    _check_metric(given)
    if not 0 < given["TargetValue"] < float("inf"):
        raise invalid(f"TargetValue {given['TargetValue']} must be greater than 0")
    made = {"ScaleOutCooldown": COOLDOWN_SECONDS, "ScaleInCooldown": COOLDOWN_SECONDS, **given}
    for name in ("ScaleOutCooldown", "ScaleInCooldown"):
        if not 0 <= made[name] <= LONGEST_COOLDOWN:
            raise invalid(f"{name} must be between 0 and {LONGEST_COOLDOWN} seconds")
    return {**made, "DisableScaleIn": bool(made.get("DisableScaleIn"))}


def _check_metric(given: Mapping[str, Any]) -> None:
    if given.get("CustomizedMetricSpecification"):
        if given.get("PredefinedMetricSpecification"):
            raise invalid("Only one of predefined and customized metric may be specified")
        raise unsupported("a CustomizedMetricSpecification")
    predefined = given.get("PredefinedMetricSpecification")
    if not predefined:
        raise invalid("A PredefinedMetricSpecification is required")
    kind = predefined["PredefinedMetricType"]
    if kind != METRIC:
        raise unsupported(f"the PredefinedMetricType {kind}")
    if predefined.get("ResourceLabel"):
        raise invalid(f"ResourceLabel must not be given for {METRIC}")


def check_only_one(target: Target, name: str) -> None:
    """AWS takes one target tracking policy for a metric."""
    others = [policy.name for policy in target.policies.values() if policy.name != name]
    if others:
        raise invalid(
            "Only one TargetTrackingScaling policy for a given metric specification is allowed; "
            f"{target.place.resource} has {others[0]}"
        )


def no_target(place: Place) -> ApiError:
    """Nothing is registered there."""
    return ApiError(
        "ObjectNotFoundException",
        f"No scalable target registered for service namespace: {NAMESPACE}, resource ID: "
        f"{place.resource}, scalable dimension: {DIMENSION}",
    )


def no_policy(place: Place, name: str) -> ApiError:
    """The target has no such policy."""
    return ApiError(
        "ObjectNotFoundException",
        f"No scaling policy found for service namespace: {NAMESPACE}, resource ID: "
        f"{place.resource}, scalable dimension: {DIMENSION}, policy name: {name}",
    )
