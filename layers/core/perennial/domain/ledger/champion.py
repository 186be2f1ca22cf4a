"""Which version is recorded as live."""

from __future__ import annotations

from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.rows import Champion, ModelRow
from perennial.domain.ledger.store import Transaction, change


def record_champion(model: ModelRow, champion: Champion) -> Transaction:
    """Record an approved version as champion: the newest approval wins, in whatever order
    approvals are heard of. Empty if nothing changes. A new champion reopens all evidence.
    """
    before = model.champion
    if before is not None:
        is_older = champion.since_ms < before.since_ms
        is_same = champion.arn == before.arn
        if is_older or is_same:
            return ()
    return (change(model, champion=champion, closed=()),)


def check_reject(model: ModelRow, version: int) -> None:
    """Raise ``NotAllowed`` if ``version`` is the champion, for something must stay live."""
    if model.champion is not None and model.champion.version == version:
        raise NotAllowed(
            f"{model.model} {version} is the champion; approve another version first, which then "
            "takes its place"
        )
