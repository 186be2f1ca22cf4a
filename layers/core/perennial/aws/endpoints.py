"""Endpoints in SageMaker with their configurations and models: what serves now, and its removal.

For what is not there SageMaker has no error of its own: it answers a ValidationException, whose
words alone tell ("Could not find endpoint ..."); `translated` makes them `NotFound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound
from perennial.domain.release_truth import SeenEndpoint


def describe_endpoint(name: str) -> SeenEndpoint | None:
    """The state of an endpoint, or None when there is none."""
    try:
        with translated(f"describing endpoint {name}"):
            found: Any = client("sagemaker").describe_endpoint(EndpointName=name)
    except NotFound:
        return None
    return SeenEndpoint(
        status=found["EndpointStatus"],
        config=found.get("EndpointConfigName", ""),
        reason=found.get("FailureReason", ""),
        modified_ms=int(found["LastModifiedTime"].timestamp() * 1000),
    )


@dataclass(frozen=True)
class ServedVersion:
    """What one variant of a configuration serves: `package` is the model package's ARN, if any.

    `environment` and `artifact` are the container's; `count` and `instance` are 0 and empty for
    what runs on no instances of its own.
    """

    variant: str
    model: str
    instance: str
    count: int
    package: str
    artifact: str
    environment: dict[str, str]


def describe_config(name: str) -> tuple[ServedVersion, ...]:
    """The variants of a configuration with what each serves; raises `NotFound`."""
    sagemaker: Any = client("sagemaker")
    with translated(f"describing endpoint config {name}"):
        found = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    return tuple(_served(sagemaker, each) for each in found["ProductionVariants"])


def _served(sagemaker: Any, variant: Any) -> ServedVersion:
    model = variant.get("ModelName", "")
    with translated(f"describing model {model}"):
        described = sagemaker.describe_model(ModelName=model)
    container = described.get("PrimaryContainer") or (described.get("Containers") or [{}])[0]
    return ServedVersion(
        variant=variant["VariantName"],
        model=model,
        instance=variant.get("InstanceType", ""),
        count=int(variant.get("InitialInstanceCount", 0)),
        package=container.get("ModelPackageName", ""),
        artifact=container.get("ModelDataUrl", ""),
        environment=dict(container.get("Environment", {})),
    )


def describe_variants(name: str) -> tuple[Any, ...]:
    """What DescribeEndpoint tells of each production variant now; raises `NotFound`."""
    with translated(f"describing endpoint {name}"):
        found: Any = client("sagemaker").describe_endpoint(EndpointName=name)
    return tuple(found.get("ProductionVariants", ()))


@dataclass(frozen=True)
class Deployment:
    """A deployment that is under way: the new configuration, its share of the traffic, its stage.

    `share` is a fraction. `stage` is SageMaker's name for it (`Creating`, `ActivatingTraffic`,
    `Baking`, ...), `words` are its own; both are empty before the first one.
    """

    config: str
    share: float
    stage: str
    words: str


def describe_deployment(name: str) -> Deployment | None:
    """What changes an endpoint now; None when nothing does, or when there is no endpoint.

    Of several new variants the first tells the stage.
    """
    try:
        with translated(f"describing endpoint {name}"):
            found: Any = client("sagemaker").describe_endpoint(EndpointName=name)
    except NotFound:
        return None
    pending = found.get("PendingDeploymentSummary")
    if pending is None:
        return None
    variants = pending.get("ProductionVariants") or [{}]
    (status, *_) = variants[0].get("VariantStatus") or [{}]
    return Deployment(
        config=pending["EndpointConfigName"],
        share=float(variants[0].get("CurrentWeight", 0.0)),
        stage=status.get("Status", ""),
        words=status.get("StatusMessage", ""),
    )


def delete_endpoint(name: str) -> bool:
    """Remove an endpoint; False when there is none. It is gone some time later."""
    try:
        with translated(f"deleting endpoint {name}"):
            client("sagemaker").delete_endpoint(EndpointName=name)
    except NotFound:
        return False
    return True


def remove_endpoint_named(name: str) -> bool:
    """Ask for an endpoint's removal; False once it is gone. One that changes is asked later."""
    found = describe_endpoint(name)
    if found is None:
        return False
    if found.status not in ("Deleting", "Creating", "Updating", "RollingBack", "SystemUpdating"):
        delete_endpoint(name)
    return True


def delete_config(name: str) -> bool:
    """Remove a configuration that no endpoint serves; False when there is none."""
    try:
        with translated(f"deleting endpoint config {name}"):
            client("sagemaker").delete_endpoint_config(EndpointConfigName=name)
    except NotFound:
        return False
    return True


def delete_model(name: str) -> bool:
    """Remove a SageMaker Model (not a version of the registry); False when there is none."""
    try:
        with translated(f"deleting model {name}"):
            client("sagemaker").delete_model(ModelName=name)
    except NotFound:
        return False
    return True


def list_configs(part: str) -> Iterator[str]:
    """The names of all configurations that contain a text."""
    sagemaker: Any = client("sagemaker")
    with translated(f"listing endpoint configs of {part}"):
        for page in sagemaker.get_paginator("list_endpoint_configs").paginate(NameContains=part):
            yield from (each["EndpointConfigName"] for each in page["EndpointConfigs"])


def list_models(part: str) -> Iterator[str]:
    """The names of all SageMaker Models that contain a text."""
    sagemaker: Any = client("sagemaker")
    with translated(f"listing models of {part}"):
        for page in sagemaker.get_paginator("list_models").paginate(NameContains=part):
            yield from (each["ModelName"] for each in page["Models"])
