"""Look after a model: take its next steps, tell people, and see that somebody looks again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.advance import Advance, advance
from perennial.wake_model import wake_model

if TYPE_CHECKING:
    from perennial.wiring import Ports


def look_after(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    *,
    watch: bool = False,
    may_open: bool = True,
    patience_s: float = 0,
    arrived_ms: int | None = None,
) -> Advance:
    """Open the run that is due or end the one that is over, send notices, and the next wake.

    Without `may_open` the caller sends a wake, for those who may. `watch`, `may_open` and
    `patience_s` are those of `advance`; `arrived_ms` is the due time of the wake that is being
    handled. Every part may be repeated.
    """
    done = advance(ports, model, watch=watch, may_open=may_open, patience_s=patience_s)
    if done.ended:
        from perennial.tell_people import tell_people  # noqa: PLC0415  # spares a cold start

        tell_people(ports, model)
    if done.waiting is not None:
        wake_model(ports, model, done.waiting.until_ms, arrived_ms=arrived_ms)
    return done


def wake_now(ports: Ports, model: str) -> None:
    """Ask for a look at the model at once, whatever wakes are under way."""
    now_ms = ports.clock()
    ports.signals.wake(model, due_ms=now_ms, now_ms=now_ms)
