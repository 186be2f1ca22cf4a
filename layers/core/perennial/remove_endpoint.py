"""Take a model's endpoint away, with everything that its releases made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import alarms, endpoints
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain import naming
from perennial.domain.errors import Retryable
from perennial.domain.ledger.releases import forget_endpoint
from perennial.domain.ledger.store import Transaction
from perennial.settle_release import remove_endpoint_named

if TYPE_CHECKING:
    from perennial.wiring import Ports

PAUSE_S = 1.0
LONGEST_S = 900


@dataclass(frozen=True)
class RemovedEndpoint:
    """What was taken away, by name."""

    endpoints: tuple[str, ...]
    configs: tuple[str, ...]
    alarms: tuple[str, ...]


def remove_endpoint(ports: Ports, model: str) -> RemovedEndpoint:
    """Remove the model's endpoints and let the ledger know; the champion stays champion.

    Raises `NotFound`, `NotAllowed` while a release is at work, and `Retryable` when the endpoint is
    not gone in time; ask again then.
    """
    forget_endpoint(known_model(ports.ledger, model))  # refuses before anything is touched
    removed = remove_served(ports.deployment.stack, model, time.monotonic() + LONGEST_S)

    def decide() -> Transaction:
        return forget_endpoint(known_model(ports.ledger, model))

    commit_change(ports, decide)
    return removed


def remove_served(stack: str, model: str, deadline: float) -> RemovedEndpoint:
    """Remove a model's endpoints, configurations, SageMaker Models and guarding alarms.

    By name, so also those that no ledger knows any more. Raises `Retryable` at the monotonic
    `deadline`; again is harmless.
    """
    names = (naming.live_endpoint(stack, model), naming.staging_endpoint(stack, model))
    gone = tuple(name for name in names if endpoints.describe_endpoint(name) is not None)
    while any([remove_endpoint_named(name) for name in names]):  # noqa: C419  # asks for each
        if time.monotonic() > deadline:
            raise Retryable(f"{' and '.join(gone)} are not gone yet; ask again in some minutes")
        time.sleep(PAUSE_S)
    part = naming.release_prefix(stack, model, 1)[:-1]
    configs = tuple(
        name
        for name in endpoints.list_configs(part)
        if naming.release_of_name(stack, model, name) is not None
    )
    for name in configs:
        endpoints.delete_config(name)
    for name in list(endpoints.list_models(part)):
        if naming.release_of_name(stack, model, name) is not None:
            endpoints.delete_model(name)
    guards = alarms.list_alarms(naming.guard_prefix(stack, model))
    ours = tuple(name for name in guards if naming.is_guard_of(stack, model, name))
    alarms.delete_alarms(ours)
    return RemovedEndpoint(gone, configs, ours)
