"""Give a release's own endpoint its next share of the model's requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.ledger import moves
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.ledger.store import Transaction
from perennial.own_release import own_release
from perennial.see_place import is_gone, see_live

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Shifted:
    """How many thousandths of the requests the release's endpoint answers, and at which step.

    `looks` counts those at this step: none yet.
    """

    permille: int
    step: int
    looks: int = 0


def shift_traffic(ports: Ports, model: str, release: int, execution: str, step: int) -> Shifted:
    """The share after the `step`-th, by the settings; the same again when it is repeated.

    Raises `NotClaimed` for an execution that may not act for the release.
    """
    row = own_release(ports, model, release, execution)
    section = read_settings_of(ports.ledger, known_model(ports.ledger, model), row.settings).release
    # A rollback goes at once, for what is live does harm.
    strategy = "all-at-once" if row.kind == "rollback" else section.strategy
    alone = _is_alone(ports, row)

    def decide() -> Transaction:
        return moves.shift(
            known_model(ports.ledger, model),
            own_release(ports, model, release, execution),
            strategy,
            section.share,
            step=step,
            alone=alone,
            now_ms=ports.clock(),
        )

    commit_change(ports, decide)
    move = known_model(ports.ledger, model).move
    return Shifted(move.permille, move.step) if move is not None else Shifted(0, 0)


def _is_alone(ports: Ports, row: ReleaseRow) -> bool:
    """Whether nothing else of the model could answer."""
    return row.before is None or is_gone(see_live(ports, row.model, row.before))
