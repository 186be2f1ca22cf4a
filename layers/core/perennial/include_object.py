"""Take an excluded or quarantined object in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.domain.ledger.admit import read_known
from perennial.domain.ledger.commands import include
from perennial.domain.ledger.store import Transaction
from perennial.exclude_object import current_signal
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


def include_object(ports: Ports, model: str, key: str, because: str, by: str) -> None:
    """Make the current version of an object a pending signal again.

    Raises `NotFound`, and `NotAllowed` for an object that is neither excluded nor quarantined.
    """
    signal = current_signal(ports, model, key)

    def decide() -> Transaction:
        known = read_known(ports.ledger, signal)
        if known.open is not None:
            return ()
        return include(signal, known, ports.clock())

    commit_change(ports, decide)
    wake_now(ports, model)
