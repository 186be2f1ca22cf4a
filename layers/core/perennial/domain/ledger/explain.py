"""What every open signal waits for, and until when, in words: ``perennial why``."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.domain.ledger.book import Book
from perennial.domain.ledger.holding import (
    Hold,
    Opening,
    alone_holds,
    common_holds,
    common_openers,
    decide,
    drift_hold,
    is_released,
    runs_alone,
    standstill,
)
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.rows import RunRow, SignalRow
from perennial.domain.ledger.words import describe
from perennial.domain.signals import DRIFT


@dataclass(frozen=True)
class Explained:
    """One open signal: what it is, and everything it waits for (empty: a run opens now)."""

    id: str
    kind: str
    what: str
    state: str
    holds: tuple[Hold, ...]

    @property
    def until_ms(self) -> int | None:
        """When the wait is over, if only time is missing."""
        times = [hold.until_ms for hold in self.holds]
        known = [time for time in times if time is not None]
        return max(known) if known and len(known) == len(times) else None


@dataclass(frozen=True)
class Explanation:
    """The answer to ``perennial why <model>``."""

    model: str
    words: str
    until_ms: int | None
    signals: tuple[Explained, ...]


def explain(book: Book, limits: Limits, now_ms: int) -> Explanation:
    """Say for every open signal what it waits for."""
    signals = tuple(
        Explained(s.id, s.kind, describe(s), s.state, holds_of(s, book, limits, now_ms))
        for s in sorted(book.signals, key=lambda s: (s.admitted_ms, s.id))
    )
    words, until_ms = _summary(book, limits, now_ms)
    return Explanation(book.model.model, words, until_ms, signals)


def holds_of(signal: SignalRow, book: Book, limits: Limits, now_ms: int) -> tuple[Hold, ...]:
    """What one open signal waits for."""
    if book.run is not None:
        return _during_run(signal, book.run)
    stop = standstill(book.model)
    holds: tuple[Hold, ...] = (stop,) if stop is not None else ()
    if signal.state == "held" and not is_released(signal, book):
        return (*holds, Hold("held", signal.reason))
    if signal.kind == DRIFT and signal.state == "pending":
        drift = drift_hold(signal, book, now_ms)
        if drift is not None:
            return (*holds, drift)
    if runs_alone(signal):
        return (*holds, *alone_holds(signal, book, now_ms))
    openers = common_openers(book, now_ms)
    return (*holds, *common_holds(openers, book.model, limits, now_ms))


def _during_run(signal: SignalRow, run: RunRow) -> tuple[Hold, ...]:
    name = f"run {run.number} of {run.model}"
    if signal.state == "claimed":
        return (Hold("in-run", f"in {name}, which is {_stage(run)}"),)
    return (Hold("running", f"waits for the end of {name}, which is {_stage(run)}"),)


def _stage(run: RunRow) -> str:
    if run.ending is not None:
        return "being settled"
    if run.stop is not None:
        return "being stopped"
    return {"opening": "being opened", "claimed": "about to start"}.get(run.state, "at work")


def _summary(book: Book, limits: Limits, now_ms: int) -> tuple[str, int | None]:
    name = book.model.model
    if book.run is not None:
        return f"run {book.run.number} of {name} is {_stage(book.run)}", None
    decision = decide(book, limits, now_ms)
    if isinstance(decision, Opening):
        return f"a run of {name} opens now", now_ms
    if not book.signals and book.model.retry is None:
        idle = f"{name} waits for a reason to retrain: nothing is pending"
        return (f"{decision.holds[0].words}", None) if decision.holds else (idle, None)
    if decision.holds:
        return decision.holds[0].words, decision.until_ms
    return f"{name}: everything that is pending is on hold", None
