"""Send the notices of runs that ended, at least once each; the run's id tells repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.errors import Conflict
from perennial.domain.ledger.rows import RunRow, run_key
from perennial.domain.ledger.store import Transaction, change, read_model, read_run

if TYPE_CHECKING:
    from perennial.wiring import Ports

ATTEMPTS = 20
MOST_AT_ONCE = 40  # their rows and the model's are marked in one transaction
TITLES = {
    "won": "won: version {version} waits for approval",
    "approved": "won: version {version} is approved",
    "lost": "kept the champion",
    "refused": "refused its data",
    "failed": "failed",
    "stopped": "was stopped",
    "not_claimed": "did not hold its claim",
}


def tell_people(ports: Ports, model: str) -> tuple[int, ...]:
    """Send the model's notices that are due; the numbers of the runs told of.

    At most forty at once: the sweeper goes on with the rest.
    """
    told: list[int] = []
    for _ in range(ATTEMPTS):
        row = read_model(ports.ledger, model)
        due = [number for number in row.notices if number not in told] if row else []
        due = due[: MOST_AT_ONCE - len(told)]
        for number in due:
            run = read_run(ports.ledger, run_key(model, number))
            if run is not None and not run.notified:
                send_notice(ports, run)
            told.append(number)
        try:
            if row is not None and told:
                _note(ports, model, told)
        except Conflict:
            continue
        return tuple(told)
    raise Conflict(f"the notices of {model} could not be noted as sent; they will be repeated")


def send_notice(ports: Ports, run: RunRow) -> None:
    """Send the notice of one run that ended."""
    subject, text = words_of(run, ports.deployment.stack)
    attributes = {
        "id": f"{ports.deployment.stack}/{run.model}/{run.number}",
        "model": run.model,
        "run": str(run.number),
        "outcome": run.outcome or "",
    }
    ports.notices.publish(subject, text, attributes)


def words_of(run: RunRow, stack: str) -> tuple[str, str]:
    """Subject and text of a run's notice: what happened, why, and what to do next."""
    version = run.version
    approved = version is not None and version.status == "Approved"
    title = TITLES["approved" if run.outcome == "won" and approved else run.outcome or "failed"]
    number = version.number if version else "?"
    subject = f"{run.model}: run {run.number} {title.format(version=number)}"
    lines = [f"{subject} (stack {stack}).", ""]
    if run.verdict is not None:
        lines.append(run.verdict.words)
    if run.ending is not None and run.ending.words:
        lines.append(run.ending.words)
    if run.because:
        lines += ["", "The run was opened because of:", *(f"- {line}" for line in run.because)]
    lines += ["", f"Details: perennial run show {run.model} {run.number}"]
    if run.outcome == "won" and not approved and version is not None:
        lines.append(f'Approve: perennial approve {run.model} {version.number} --because "..."')
    if run.outcome in ("failed", "stopped", "refused"):
        lines.append(f"Again: perennial run retry {run.model} {run.number}")
    return subject, "\n".join(lines)


def _note(ports: Ports, model: str, told: list[int]) -> None:
    """Take the runs off the model's list and mark them, in one transaction."""
    row = read_model(ports.ledger, model)
    if row is None:
        return
    runs = [read_run(ports.ledger, run_key(model, number)) for number in told]
    marked = [change(run, notified=True) for run in runs if run is not None and not run.notified]
    left = tuple(number for number in row.notices if number not in told)
    changes: Transaction = (change(row, notices=left), *marked)
    if marked or left != row.notices:
        ports.ledger.commit(changes)
