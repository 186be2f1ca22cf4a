"""Note on a run's row the judgement of its candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.check_claim import check_claim
from perennial.commit_change import commit_change
from perennial.describe_run import known_run
from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import Verdict
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports


def record_verdict(
    ports: Ports, model: str, run: int, execution: str | None, verdict: Verdict
) -> None:
    """Note the verdict; noting the same again changes nothing.

    With an `execution` (an ARN) its claim is checked on each reading: raises `NotClaimed`.
    """

    def decide() -> Transaction:
        if execution is not None:
            check_claim(ports, model, run, execution)
        return claims.record_verdict(known_run(ports.ledger, model, run), verdict)

    commit_change(ports, decide)
