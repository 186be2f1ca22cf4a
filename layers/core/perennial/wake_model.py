"""See that somebody looks at a model again when something may be due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.errors import Conflict
from perennial.domain.ledger.store import read_model
from perennial.domain.ledger.waking import plan_wake

if TYPE_CHECKING:
    from perennial.wiring import Ports

ATTEMPTS = 20


def wake_model(
    ports: Ports, model: str, due_ms: int | None, *, arrived_ms: int | None = None
) -> int | None:
    """Send a wake for `due_ms` unless one is under way; when it is due, or None.

    `arrived_ms` is the due time of the wake that is being handled. A crash between the note in
    the ledger and the message loses the wake; the sweeper makes up for it.
    """
    for _ in range(ATTEMPTS):
        row = read_model(ports.ledger, model)
        now_ms = ports.clock()
        plan = plan_wake(row, due_ms, now_ms, arrived_ms) if row is not None else None
        if plan is None:
            return None
        try:
            ports.ledger.commit(plan.changes)
        except Conflict:
            continue
        ports.signals.wake(model, due_ms=plan.due_ms, now_ms=now_ms)
        return plan.due_ms
    raise Conflict(f"no wake could be noted for {model}; the sweeper will look at it")
