"""Take a model's endpoint away, with everything that its releases made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import alarms, endpoints, scaling
from perennial.aws.shared_archives import list_archives
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain import naming, shared_naming
from perennial.domain.errors import Retryable
from perennial.domain.ledger.releases import forget_endpoint
from perennial.domain.ledger.store import Transaction
from perennial.keep_watch import remove_watches
from perennial.leave_shared import leave_shared

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
    remove_watches(ports, model)
    deployment = ports.deployment
    deadline = time.monotonic() + LONGEST_S
    removed = remove_served(deployment.stack, deployment.artifact_bucket, model, deadline)

    def decide() -> Transaction:
        return forget_endpoint(known_model(ports.ledger, model))

    commit_change(ports, decide)
    return removed


def remove_served(stack: str, bucket: str, model: str, deadline: float) -> RemovedEndpoint:
    """Remove a model's endpoints, configurations, SageMaker Models, scaling and guarding alarms.

    Its archives leave the endpoint that it shares with others; `bucket` has them. By name, so also
    those that no ledger knows any more. Raises `Retryable` at the monotonic `deadline`; again is
    harmless.
    """
    serving = (naming.live_endpoint(stack, model), naming.next_endpoint(stack, model))
    for name in serving:
        scaling.remove_scaling(name)  # nobody may scale what is about to go
    names = (*serving, naming.staging_endpoint(stack, model))
    gone = tuple(name for name in names if endpoints.describe_endpoint(name) is not None)
    if bucket and list_archives(bucket, shared_naming.prefix(model)):
        gone = (*gone, f"{shared_naming.endpoint(stack)}: the archives of {model}")
    while _are_left([*names], leave_shared(stack, bucket, model)):
        if time.monotonic() > deadline:
            raise Retryable(f"{' and '.join(gone)} are not gone yet; ask again in some minutes")
        time.sleep(PAUSE_S)
    configs = tuple(_ours(stack, model, endpoints.list_configs))
    for name in configs:
        endpoints.delete_config(name)
    for name in _ours(stack, model, endpoints.list_models):
        endpoints.delete_model(name)
    for name in list(endpoints.list_models(naming.batch_name(stack, model, "b"))):
        if naming.is_batch_of(stack, model, name):
            endpoints.delete_model(name)
    ours = _alarms(stack, model)
    alarms.delete_alarms(ours)
    return RemovedEndpoint(gone, configs, ours)


def _are_left(names: Iterable[str], is_shared_left: bool) -> bool:
    """Ask for the removal of each; whether any is still there."""
    left = [endpoints.remove_endpoint_named(name) for name in names]
    return any(left) or is_shared_left


def _ours(stack: str, model: str, listing: Callable[[str], Iterable[str]]) -> list[str]:
    """The names among a listing that releases and A/B tests of exactly this model gave."""
    parts = (
        naming.release_prefix(stack, model, 1)[:-1],
        naming.ab_config(stack, model, 1)[:-1],
    )
    return [
        name
        for part in parts
        for name in list(listing(part))
        if naming.release_of_name(stack, model, name) is not None
        or naming.ab_of_name(stack, model, name) is not None
    ]


def _alarms(stack: str, model: str) -> tuple[str, ...]:
    """The alarms that guard releases and challengers of exactly this model."""
    guards = alarms.list_alarms(naming.guard_prefix(stack, model))
    tests = alarms.list_alarms(naming.ab_alarm_prefix(stack, model))
    mark = naming.token(stack)
    return (
        *(name for name in guards if naming.is_guard_of(stack, model, name)),
        *(name for name in tests if (naming.parse_ab_alarm(name, mark) or ("",))[0] == model),
    )
