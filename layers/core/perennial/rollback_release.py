"""Go back to the last good configuration, by a release of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.advance_releases import ReleaseAdvance, advance_releases
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.ledger.releases import rollback_of
from perennial.domain.ledger.store import Transaction
from perennial.release_again import request_by

if TYPE_CHECKING:
    from perennial.wiring import Ports


def rollback_release(ports: Ports, model: str, because: str, by: str) -> ReleaseAdvance:
    """Open the release that brings the last good configuration back; what was opened.

    Raises `NotFound`, and `NotAllowed` without one, or while another release is at work.
    """

    def decide() -> Transaction:
        row = known_model(ports.ledger, model)
        return request_by(ports, model, rollback_of(row, by, because, ports.clock()))

    commit_change(ports, decide)
    return advance_releases(ports, model)
