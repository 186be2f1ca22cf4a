"""Give the challenger of an open A/B test another share of the traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perennial.advance_ab import AbAdvance, advance_ab
from perennial.aws import alarms
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain import ab_plan
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger import ab_tests
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports


def shift_test(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    permille: int,
    *,
    because: str,
    by: str,
    patience_s: float = 0,
    tell: Callable[[str], None] = lambda _words: None,
) -> AbAdvance:
    """Shift traffic to or from the challenger.

    Raises `NotFound`, and `NotAllowed` without an open test, for a share out of bounds, or for
    more traffic while one of the challenger's alarms sounds.
    """
    test = ab_tests.open_one(known_model(ports.ledger, model))
    names = ab_plan.alarm_names(ports.deployment.stack, model, test.number)
    states = alarms.alarm_states(names)
    sounding = sorted(name for name, state in states.items() if state == alarms.ALARM)
    if permille and sounding:
        raise NotAllowed(
            f"{' and '.join(sounding)} sounds, so the challenger of {model} gets nothing; ask "
            f'again when it is over, or end the test: perennial ab stop {model} --because "..."'
        )

    def decide() -> Transaction:
        row = known_model(ports.ledger, model)
        return ab_tests.shift(row, permille, by, because, ports.clock())

    commit_change(ports, decide)
    return advance_ab(ports, model, patience_s=patience_s, tell=tell)
