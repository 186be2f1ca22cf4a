"""Describe a model's endpoint: what it serves now beside what the ledger says is live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import endpoints
from perennial.aws.shared_archives import list_archives
from perennial.describe_model import known_model, read_settings_of
from perennial.describe_scaling import ScalingDescription, describe_scaling
from perennial.domain import naming, shared_naming
from perennial.domain.errors import NotFound
from perennial.domain.ledger.moves import moving_words
from perennial.domain.ledger.rows import Live, ModelRow
from perennial.domain.release_truth import IN_SERVICE, SeenEndpoint
from perennial.see_place import see_live

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Fleet:
    """The instances of one variant, and its share of the traffic as weights say.

    A serverless one has no instances; `instance` tells its size in words.
    """

    variant: str
    instance: str
    count: int
    wanted: int
    weight: float


@dataclass(frozen=True)
class EndpointDescription:
    """The endpoint as it is; `status` is empty when there is none.

    `version` is what the ledger says is live (0: nothing). `words` name what is not as it should
    be, and what to do; empty: all is well. `moving` tells how requests are divided while a release
    takes them to a second endpoint. `shared_with`: the other models that are served there too.
    """

    model: str
    endpoint: str
    status: str
    config: str
    reason: str
    version: int
    live: Live | None
    previous: Live | None
    open_release: int | None
    open_ab: int | None
    fleets: tuple[Fleet, ...]
    words: str
    scaling: ScalingDescription | None = None
    moving: str = ""
    shared_with: tuple[str, ...] = ()


def describe_endpoint(ports: Ports, model: str) -> EndpointDescription:
    """The model's endpoint now; raises `NotFound` when it neither has nor should have one."""
    row = known_model(ports.ledger, model)
    name = live_place(ports, row)
    seen = endpoints.describe_endpoint(name)
    wants = read_settings_of(ports.ledger, row).release.endpoint is not None
    if seen is None and row.live is None and row.open_release is None:
        how = (
            "approve a version" if wants else "add release.endpoint to model.yaml, push and approve"
        )
        raise NotFound(f"{model} has no endpoint; to have one: {how}")
    config = seen.config if seen is not None else ""
    if seen is not None and row.live is not None:
        seen = see_live(ports, model, row.live)
    return EndpointDescription(
        model=model,
        endpoint=name,
        status=seen.status if seen is not None else "",
        config=config,
        reason=seen.reason if seen is not None else "",
        version=row.live.version if row.live else 0,
        live=row.live,
        previous=row.previous,
        open_release=row.open_release,
        open_ab=row.ab.number if row.ab else None,
        fleets=_fleets(name, config) if seen is not None else (),
        words="" if row.open_release is not None else _trouble(name, model, seen, row),
        scaling=describe_scaling(ports, row, name) if seen is not None else None,
        moving=moving_words(row.move, row.live),
        shared_with=_shared_with(ports, row),
    )


def _shared_with(ports: Ports, row: ModelRow) -> tuple[str, ...]:
    """The other models on the endpoint that this one shares; none on one of its own."""
    if row.live is None or row.live.kind != "multi-model":
        return ()
    keys = list_archives(ports.deployment.artifact_bucket, shared_naming.prefix())
    return tuple(sorted({key.split("/")[1] for key in keys} - {row.model}))


def live_trouble(ports: Ports, model: str) -> str:
    """What is not as it should be with what is live, in words; empty: nothing, or nothing is live.

    While a release is at work the endpoint changes, and nothing is said. Raises `NotFound`.
    """
    row = known_model(ports.ledger, model)
    if row.live is None or row.open_release is not None:
        return ""
    return _trouble(row.live.endpoint, model, see_live(ports, model, row.live), row)


def live_place(ports: Ports, row: ModelRow) -> str:
    """The name of the endpoint that is live; before there is one, of the one that comes first."""
    if row.live is not None:
        return row.live.endpoint
    if row.move is not None:
        return row.move.endpoint
    stack, asked = ports.deployment.stack, read_settings_of(ports.ledger, row).release.endpoint
    if asked is not None and asked.kind == "multi-model":
        return shared_naming.endpoint(stack)
    return naming.live_endpoint(stack, row.model)


def _trouble(name: str, model: str, seen: SeenEndpoint | None, row: ModelRow) -> str:
    """What is wrong while no release is at work; empty: nothing. An A/B test is ours."""
    live, test = row.live, row.ab
    if seen is None:
        return f"{name} was deleted by someone; `perennial release {model}` makes it anew"
    if seen.status != IN_SERVICE:
        return f"{name} is {seen.status}{f': {seen.reason}' if seen.reason else ''}"
    if test is not None and seen.config in (test.config, test.main_config):
        return ""
    if live is not None and not seen.config:
        return f"{live.config} was taken from {name} by someone; `perennial release {model}`"
    if live is None or live.config != seen.config:
        return (
            f"{name} serves {seen.config}, which no release of the ledger put there; `perennial "
            f"adopt {model}` records it, `perennial release {model}` replaces it"
        )
    return ""


def _fleets(name: str, config: str) -> tuple[Fleet, ...]:
    try:
        instances = {each.variant: each.instance for each in endpoints.describe_config(config)}
        variants = endpoints.describe_variants(name)
    except NotFound:  # it went away between the questions
        return ()
    return tuple(
        Fleet(
            variant=each["VariantName"],
            instance=_size(each) or instances.get(each["VariantName"], ""),
            count=int(each.get("CurrentInstanceCount", 0)),
            wanted=int(each.get("DesiredInstanceCount", 0)),
            weight=float(each.get("CurrentWeight", 0)),
        )
        for each in variants
    )


def _size(variant: Mapping[str, Any]) -> str:
    """What a serverless variant has in place of instances, in words; empty for others."""
    size = variant.get("CurrentServerlessConfig")
    if size is None:
        return ""
    return f"serverless, {size['MemorySizeInMB']} MB, {size['MaxConcurrency']} at once"
