"""Let a release that passed its smoke test into production, as a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.ledger.release_claims import approve_production as approved
from perennial.domain.ledger.rows import ReleaseRow, release_key
from perennial.domain.ledger.store import Transaction, read_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


def approve_production(ports: Ports, model: str, number: int, because: str, by: str) -> ReleaseRow:
    """Answer the release of this version that waits for a person; its row.

    Raises `NotFound`, and `NotAllowed` when no release of the version waits. Again is harmless:
    an answer that was lost on its way is sent once more.
    """

    def decide() -> Transaction:
        return approved(_waiting(ports, model, number), by, because)

    commit_change(ports, decide)
    release = _waiting(ports, model, number)
    if release.token and release.updating_ms is None:
        ports.release_machine.answer(release.token)
    registry.set_stage(release.arn, "production", "approved", f"approved by {by}: {because}")
    return release


def _waiting(ports: Ports, model: str, number: int) -> ReleaseRow:
    """The open release, if it is of this version."""
    row = known_model(ports.ledger, model)
    if row.open_release is None:
        raise NotAllowed(f"no release of {model} is at work, so none waits for production")
    release = read_release(ports.ledger, release_key(model, row.open_release))
    if release is None:
        raise NotFound(f"there is no release {row.open_release} of {model}")
    if release.version != number:
        raise NotAllowed(
            f"release {release.number} of {model} is of version {release.version}, not {number}"
        )
    return release
