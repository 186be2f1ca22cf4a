"""Open no run of a model until it is resumed; a run that is open goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.ledger.commands import pause
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports


def pause_model(ports: Ports, model: str, because: str, by: str) -> None:
    """Pause the model; raises `NotFound`. Pausing again replaces the reason."""

    def decide() -> Transaction:
        row = known_model(ports.ledger, model)
        before = row.paused
        if before is not None and (before.by, before.because) == (by, because):
            return ()
        return pause(row, by, because, ports.clock())

    commit_change(ports, decide)
