"""Tell people of an earlier version that does better than the live one, at least once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.domain.ledger import proposals
from perennial.domain.ledger.monitor_rows import MonitorRow, Proposal, monitor_key
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction
from perennial.domain.settings_monitor import MODEL_QUALITY

if TYPE_CHECKING:
    from perennial.wiring import Ports


def read_proposal(ports: Ports, row: ModelRow) -> Proposal | None:
    """The proposal about what is live now; None without one."""
    return proposals.standing(read_quality(ports, row.model), row)


def tell_proposal(ports: Ports, row: ModelRow) -> bool:
    """Send the notice of the model's proposal if that is due; whether it was sent."""
    found = read_proposal(ports, row)
    if found is None or found.is_told:
        return False
    stack = ports.deployment.stack
    subject = f"{row.model}: version {found.version} does better than the live one"
    lines = [f"{subject} (stack {stack}).", "", *proposal_words(row.model, found)]
    attributes = {
        "id": f"{stack}/{row.model}/better/{found.release}/{found.version}",
        "model": row.model,
        "version": str(found.version),
    }
    ports.notices.publish(subject, "\n".join(lines), attributes)

    def decide() -> Transaction:
        head = read_quality(ports, row.model)
        return () if head is None else proposals.mark_told(head, found.version, found.release)

    commit_change(ports, decide)
    return True


def proposal_words(model: str, proposal: Proposal) -> tuple[str, ...]:
    """The evidence, and what follows from it or what to do."""
    if not proposal.objection:
        return (f"{proposal.words}; its release was asked for by the retrain policy",)
    lines = [f"{proposal.words}; a person decides: {proposal.objection}"]
    if "Approved" in proposal.objection:
        lines.append(f'First: perennial approve {model} {proposal.version} --because "..."')
    lines.append(f"Release it: perennial release {model} --version {proposal.version}")
    return tuple(lines)


def read_quality(ports: Ports, model: str) -> MonitorRow | None:
    """The row of the model quality monitor; None before its first window."""
    row = ports.ledger.get(monitor_key(model, MODEL_QUALITY))
    return row if isinstance(row, MonitorRow) else None
