"""Bring a version to the endpoint that several models share, and the endpoint itself first.

Repeatable at any point: an archive is written once, and what is there already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import endpoints, shared_archives, variants
from perennial.domain import shared_naming
from perennial.domain.errors import Unavailable
from perennial.domain.release_truth import IN_SERVICE
from perennial.domain.shared_plan import Shared, variables_of
from perennial.leave_shared import remove_shared_configs
from perennial.own_release import own_release
from perennial.write_manifest import network_of

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class SharedModel:
    """Where a version can be asked: the shared endpoint, and its TargetModel there."""

    endpoint: str
    target: str


def share_model(
    ports: Ports, model: str, release: int, execution: str, container: Mapping[str, Any]
) -> SharedModel:
    """Put the release's archive there and see that the endpoint is asked for as the stack has it.

    `container`: what the version would be served with alone. Raises `NotClaimed` and `Withdrawn`
    as `own_release` does, `Rejected` for an archive that cannot be shared, `Unavailable` while an
    endpoint that never came up is being removed.
    """
    row = own_release(ports, model, release, execution)
    bucket = ports.deployment.artifact_bucket
    server = shared_archives.share(
        container["ModelDataUrl"],
        container["Environment"]["PERENNIAL_MODEL_SHA256"],
        bucket,
        shared_naming.archive(model, row.config),
        variables_of(container),
    )
    _bring_endpoint(_shared(ports, container["Image"], server))
    return SharedModel(row.endpoint, shared_naming.target(model, row.config))


def _shared(ports: Ports, image: str, server: str) -> Shared:
    deployment = ports.deployment
    return Shared(
        stack=deployment.stack,
        bucket=deployment.artifact_bucket,
        image=image,
        server=server,
        instance=deployment.shared_instance,
        count=int(deployment.shared_count),
        role=deployment.endpoint_role_arn,
        network=network_of(deployment),
        key=deployment.optional("KMS_KEY_ARN"),
    )


def _bring_endpoint(shared: Shared) -> None:
    """Make the endpoint, or change it to what the stack asks for now; nothing while it changes."""
    seen = endpoints.describe_endpoint(shared.endpoint)
    if seen is not None and seen.config == shared.config and seen.status == IN_SERVICE:
        remove_shared_configs(shared.stack, but=shared.config)
    if seen is not None and seen.status == "Failed":
        endpoints.delete_endpoint(shared.endpoint)
        raise Unavailable(f"{shared.endpoint} never came up ({seen.reason}) and is being removed")
    if seen is not None and (seen.config == shared.config or seen.status != IN_SERVICE):
        return
    variants.make_model(shared.model_request())
    variants.make_config(shared.config_request())
    if seen is None:
        variants.make_endpoint(shared.endpoint_request())
    else:
        variants.ask_for_config(shared.endpoint, shared.config, keeps_counts=False)
