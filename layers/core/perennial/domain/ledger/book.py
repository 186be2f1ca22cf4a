"""What the rules decide from: one model's rows, read in the order that makes them agree."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.domain.errors import Conflict
from perennial.domain.ledger.rows import OPEN_SK, ModelRow, RunRow, SignalRow, run_key
from perennial.domain.ledger.store import Store, read_model, read_run, read_signals


@dataclass(frozen=True)
class Book:
    """A model, its unsettled signals, its open run, and the run that a retry asks for."""

    model: ModelRow
    signals: tuple[SignalRow, ...] = ()
    run: RunRow | None = None
    retried: RunRow | None = None

    @property
    def claimed(self) -> tuple[SignalRow, ...]:
        """The signals that the open run claims."""
        number = self.model.open_run
        return tuple(s for s in self.signals if s.state == "claimed" and s.run == number)


def read_book(store: Store, model: str) -> Book | None:
    """Read a model's book; None for an unknown or removed model.

    The run is read before the signals: whoever sees a run past its opening then sees every
    signal that it claims, because tagging is refused from that moment on. Raises ``Conflict``
    when the run ended between the reads; read again.
    """
    row = read_model(store, model)
    if row is None:
        return None
    run = None
    if row.open_run is not None:
        run = read_run(store, run_key(model, row.open_run))
        if run is None or run.state == "ended":
            raise Conflict(f"run {row.open_run} of {model} ended while it was read")
    retried = read_run(store, run_key(model, row.retry.run)) if row.retry else None
    return Book(row, read_signals(store, model, OPEN_SK), run, retried)
