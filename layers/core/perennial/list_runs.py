"""List a model's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.describe_model import known_model
from perennial.domain.ledger.rows import RunRow, run_key
from perennial.domain.ledger.store import read_run

if TYPE_CHECKING:
    from perennial.wiring import Ports


def list_runs(ports: Ports, model: str, limit: int = 20) -> list[RunRow]:
    """The newest runs first, at most `limit`; raises `NotFound` for an unknown model."""
    last = known_model(ports.ledger, model).last_run
    # Numbers have no gaps, so the newest are found by key, however many there were.
    rows = (read_run(ports.ledger, run_key(model, n)) for n in range(last, 0, -1))
    found: list[RunRow] = []
    for row in rows:
        if row is None or len(found) == limit:
            break
        found.append(row)
    return found
