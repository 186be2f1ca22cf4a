"""Check that an execution may act for its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import run_key
from perennial.domain.ledger.store import read_model, read_run

if TYPE_CHECKING:
    from perennial.wiring import Ports


def check_claim(ports: Ports, model: str, run: int, execution: str) -> None:
    """Raise `NotClaimed` unless the execution (an ARN) may act for the run now."""
    row = read_run(ports.ledger, run_key(model, run))
    claims.check_claim(read_model(ports.ledger, model), row, execution)
