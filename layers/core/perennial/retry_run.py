"""Repeat a run that ended without a verdict: a new number, the same signals and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.describe_run import known_run
from perennial.domain.ledger.commands import request_retry
from perennial.domain.ledger.store import Transaction
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


def retry_run(
    ports: Ports, model: str, number: int, because: str = "asked for", by: str = "a person"
) -> None:
    """Let the run be repeated as soon as the model is free; asking twice is asking once.

    Raises `NotFound`, and `NotAllowed` for a run that is open or reached its verdict.
    """

    def decide() -> Transaction:
        row = known_model(ports.ledger, model)
        return request_retry(row, known_run(ports.ledger, model, number), by, because)

    commit_change(ports, decide)
    wake_now(ports, model)
