"""See what serves at a place of production: an endpoint, or a model's archive on a shared one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.aws import objects
from perennial.aws.endpoints import describe_endpoint
from perennial.domain import shared_naming
from perennial.domain.ledger.rows import Live, ReleaseRow
from perennial.domain.release_truth import SeenEndpoint

if TYPE_CHECKING:
    from perennial.wiring import Ports


def see_target(ports: Ports, release: ReleaseRow) -> SeenEndpoint | None:
    """Where a release goes, as it is now; None: there is no such endpoint."""
    return _see(ports, release.model, release.endpoint, release.config, release.endpoint_kind)


def see_live(ports: Ports, model: str, live: Live) -> SeenEndpoint | None:
    """What was made live, as it is now; None: there is no such endpoint."""
    return _see(ports, model, live.endpoint, live.config, live.kind)


def is_gone(seen: SeenEndpoint | None) -> bool:
    """Whether nothing answers there any more."""
    return seen is None or not seen.config


def _see(ports: Ports, model: str, endpoint: str, config: str, kind: str) -> SeenEndpoint | None:
    """On a shared endpoint a model's configuration is its archive; `config` is empty without it."""
    seen = describe_endpoint(endpoint)
    if seen is None or kind != "multi-model":
        return seen
    key = shared_naming.archive(model, config)
    has_archive = objects.exists(f"s3://{ports.deployment.artifact_bucket}/{key}")
    return replace(seen, config=config if has_archive else "")
