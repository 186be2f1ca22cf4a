"""Note on a run's row the model package that it registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.check_claim import check_claim
from perennial.commit_change import commit_change
from perennial.describe_run import known_run
from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import Version
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports


def record_version(
    ports: Ports, model: str, run: int, execution: str | None, version: Version
) -> None:
    """Note the version; noting the same again changes nothing.

    With an `execution` (an ARN) its claim is checked on each reading: raises `NotClaimed`.
    """

    def decide() -> Transaction:
        if execution is not None:
            check_claim(ports, model, run, execution)
        return claims.record_version(known_run(ports.ledger, model, run), version)

    commit_change(ports, decide)
