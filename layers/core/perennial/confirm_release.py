"""The release machine's last state: is what was asked for what is live?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.advance_releases import advance_releases
from perennial.domain.errors import NotClaimed, Unavailable
from perennial.domain.ledger.rows import release_key
from perennial.domain.ledger.store import read_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Confirmed:
    """How the release ended, by the ledger."""

    outcome: str
    words: str


def confirm_release(ports: Ports, model: str, release: int, execution: str) -> Confirmed:
    """Settle the release by what is live, and answer how it ended; again is harmless.

    Raises `NotClaimed` for an execution that is not the release's own, and `Unavailable` while the
    endpoint changes or something is still being removed.
    """
    key = release_key(model, release)
    row = read_release(ports.ledger, key)
    if row is None or row.execution != execution:
        raise NotClaimed(f"release {release} of {model} does not belong to {execution}")
    if row.state != "ended":
        done = advance_releases(ports, model, may_open=False, last_state_of=release)
        row = read_release(ports.ledger, key)
        if row is None or row.state != "ended":
            raise Unavailable(f"release {release} of {model} is not settled yet: {done.words}")
    return Confirmed(row.outcome or "failed", row.words)
