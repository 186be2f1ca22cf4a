"""Watch a release's own endpoint while it answers requests; take them away when it does harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.alarms import ALARM, see_alarms
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import naming
from perennial.domain.ledger import moves
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.ledger.store import Transaction
from perennial.domain.move_truth import trouble_with
from perennial.domain.release_plan import guard_kinds
from perennial.domain.settings import Guard
from perennial.own_release import own_release
from perennial.see_place import see_target

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Watched:
    """What comes next (`wait`, `shift`, `done`, `back`), and of `back` why.

    `step` and `looks`: how many shares were given, and how many looks there were at the last one.
    """

    next: moves.Next
    step: int
    looks: int
    words: str = ""


def watch_traffic(  # noqa: PLR0913  # what the machine's document says, member by member
    ports: Ports, model: str, release: int, execution: str, *, step: int, looks: int
) -> Watched:
    """Look once more, after `looks` looks at the `step`-th share.

    Turns back at once when a guarding alarm sounds or the endpoint does not serve. Raises
    `NotClaimed` for an execution that may not act for the release.
    """
    row = own_release(ports, model, release, execution)
    section = read_settings_of(ports.ledger, known_model(ports.ledger, model), row.settings).release
    trouble = trouble_with(row, see_target(ports, row)) or _sounding(ports, row, section.guard)
    found = moves.Watched("wait")

    def decide() -> Transaction:
        nonlocal found
        own = own_release(ports, model, release, execution)
        found = moves.watch(
            known_model(ports.ledger, model),
            own,
            is_baked=moves.is_over(section.bake, looks + 1),
            trouble=trouble,
            now_ms=ports.clock(),
        )
        return found.changes

    commit_change(ports, decide)
    return Watched(found.next, step, looks + 1, trouble if found.next == "back" else "")


def _sounding(ports: Ports, row: ReleaseRow, guard: Guard) -> str:
    """What the guarding alarms say against the release; empty: nothing.

    One that is not there guards nothing, so it speaks against it too.
    """
    stack = ports.deployment.stack
    names = [naming.guard_alarm(stack, row.model, row.number, kind) for kind in guard_kinds(guard)]
    seen = see_alarms(names)
    loud = [f"alarm {each.name} went off: {each.reason}" for each in seen if each.state == ALARM]
    gone = sorted(set(names) - {each.name for each in seen})
    return "; ".join([*loud, *(f"alarm {name} was removed by someone" for name in gone)])
