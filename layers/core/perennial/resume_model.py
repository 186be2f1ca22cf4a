"""Let a paused model open runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.ledger.commands import resume
from perennial.domain.ledger.store import Transaction
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


def resume_model(ports: Ports, model: str, _by: str = "") -> bool:
    """Resume the model and say whether it was paused; raises `NotFound`."""

    def decide() -> Transaction:
        return resume(known_model(ports.ledger, model))

    resumed = commit_change(ports, decide)
    wake_now(ports, model)
    return resumed
