"""Ask people to let a tested version into production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.domain.ledger.release_claims import ask_person
from perennial.domain.ledger.store import Transaction
from perennial.own_release import own_release
from perennial.tell_releases import ask_people

if TYPE_CHECKING:
    from perennial.wiring import Ports


def await_approval(ports: Ports, model: str, release: int, execution: str, token: str) -> None:
    """Keep the task token that the answer goes to, and tell people that they are asked.

    A repetition, whose token is another one, tells them once more.
    """

    def decide() -> Transaction:
        return ask_person(own_release(ports, model, release, execution), token, ports.clock())

    commit_change(ports, decide)
    row = own_release(ports, model, release, execution)
    ask_people(ports, row)
    words = f"release {release} passed its smoke test and waits for a person"
    registry.set_stage(row.arn, "production", "pending", words)
