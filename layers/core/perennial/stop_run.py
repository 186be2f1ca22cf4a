"""Stop an open run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.describe_run import known_run
from perennial.domain.ledger.commands import stop
from perennial.domain.ledger.store import Transaction
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


def stop_run(ports: Ports, model: str, number: int, because: str, by: str = "a person") -> None:
    """Ask the run to stop and stop its execution; its end is then recorded as of any other.

    Raises `NotFound`, and `NotAllowed` for a run that has ended. Asking twice is harmless.
    """
    known_model(ports.ledger, model)

    def decide() -> Transaction:
        return stop(known_run(ports.ledger, model, number), by, because)

    commit_change(ports, decide)
    run = known_run(ports.ledger, model, number)
    if run.state == "started":
        # The status event of the stopped execution brings the run to its end.
        ports.machine.stop(run.execution, error="Stopped", cause=f"stopped by {by}: {because}")
    else:
        wake_now(ports, model)
