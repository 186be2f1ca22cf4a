"""Forget a model: its rows go, its counters stay for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.domain.errors import Conflict
from perennial.domain.ledger.commands import forget
from perennial.domain.ledger.monitor_rows import MONITOR_SK, WINDOW_SK
from perennial.domain.ledger.rows import (
    DONE_SK,
    OPEN_SK,
    RUN_SK,
    SETTINGS_SK,
    ModelRow,
    model_key,
    model_pk,
)
from perennial.domain.ledger.store import Transaction, drop, in_chunks, unchanged

if TYPE_CHECKING:
    from perennial.wiring import Ports


def forget_model(ports: Ports, model: str) -> int:
    """Remove the model's rows and count them; raises `NotAllowed` while a run is open.

    From the first step on the model is unknown to all; a repetition, or the sweeper, goes on
    where a crash left off. A model that is published again meanwhile keeps what it has.
    """

    def decide() -> Transaction:
        row = _stored(ports, model)
        return () if row is None or row.removed_ms is not None else forget(row, ports.clock())

    commit_change(ports, decide)
    return purge_removed(ports, model)


def purge_removed(ports: Ports, model: str) -> int:
    """Delete what is left of a removed model and count it; nothing of one that is not."""
    row = _stored(ports, model)
    if row is not None and row.removed_ms is None:
        return 0
    gone = 0
    for family in (OPEN_SK, DONE_SK, RUN_SK, SETTINGS_SK, MONITOR_SK, WINDOW_SK):
        rows = [(drop(each),) for each in ports.ledger.query(model_pk(model), family)]
        guard = unchanged(row) if row is not None else None
        for transaction in in_chunks(rows, guard):
            try:
                ports.ledger.commit(transaction)
            except Conflict:
                return gone  # published again; the rows that are left are counted by its ledger
        gone += len(rows)
    ports.ledger.delist(model)
    return gone


def _stored(ports: Ports, model: str) -> ModelRow | None:
    row = ports.ledger.get(model_key(model))
    return row if isinstance(row, ModelRow) else None
