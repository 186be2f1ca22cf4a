"""What happens to a monitor's rows: a window is opened, tried again, and ends once.

Each change is a transaction that a lost race undoes whole: two schedules that fire at once open
one window, and two that hear of a job's end record it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from perennial.domain.ledger import earlier
from perennial.domain.ledger.limits import DAY_MS, REMEMBER_MS
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, WindowState
from perennial.domain.ledger.rows import ModelRow, SignalRow
from perennial.domain.ledger.store import Transaction, change, create, move
from perennial.domain.signals import DRIFT

#: How long a window's row is kept: the seasons of a year and a little more.
REMEMBER_WINDOW_MS = 400 * DAY_MS
#: How often a job that failed for reasons that may pass is tried, in all.
MOST_ATTEMPTS = 3
#: What SageMaker says of a job that failed for want of machines or by its own fault.
PASSING = ("CapacityError", "InternalServerError", "ResourceLimitExceeded", "ThrottlingException")
WITHDRAWN = "its alarm went back to OK before there was anything new to learn"


@dataclass(frozen=True)
class Found:
    """What a window's job found, or why it found nothing (`words`): `failed` or `empty`."""

    state: WindowState
    rows: int = 0
    labelled: int = 0
    violations: int = 0
    words: str = ""
    figures: str = "{}"

    @property
    def is_blind(self) -> bool:
        """Whether the monitor saw nothing: its job failed, or there was nothing to see."""
        return self.state != "done"


def open_window(row: MonitorRow | None, window: WindowRow) -> Transaction:
    """Open a window of a monitor that has none open; empty when it has."""
    before = row or MonitorRow(window.model, window.kind)
    if before.open_ms is not None or window.end_ms <= before.until_ms:
        return ()
    fields: dict[str, Any] = {
        "release": window.release,
        "version": window.version,
        "until_ms": window.end_ms,
        "open_ms": window.end_ms,
    }
    moved = create(replace(before, **fields)) if row is None else change(row, **fields)
    return (moved, create(window))


def try_again(window: WindowRow, job: str) -> Transaction:
    """Let another job judge an open window."""
    if window.state != "open":
        return ()
    return (change(window, attempt=window.attempt + 1, job=job),)


def may_try_again(window: WindowRow, reason: str) -> bool:
    """Whether a job's failure may pass, and has not come too often."""
    return window.attempt < MOST_ATTEMPTS and any(word in reason for word in PASSING)


def note_found(row: MonitorRow | None, window: WindowRow, found: Found, now_ms: int) -> Transaction:
    """Record what an open window's job found; empty when that is recorded already.

    The window stays the monitor's open one until its figures are published. One that found
    nothing says nothing about violations: the last word stands.
    """
    if window.state != "open":
        return ()
    noted = change(
        window,
        state=found.state,
        rows=found.rows,
        labelled=found.labelled,
        violations=found.violations,
        words=found.words,
        figures=found.figures,
        ended_ms=now_ms,
        expires=(now_ms + REMEMBER_WINDOW_MS) // 1000,
    )
    if row is None or row.open_ms != window.end_ms or found.is_blind:
        return (noted,)
    return (noted, change(row, seen_ms=window.end_ms, violations=found.violations))


def found_before(window: WindowRow) -> Found:
    """What was recorded of a window: whoever recorded it died before it was published."""
    return Found(
        window.state,
        rows=window.rows,
        labelled=window.labelled,
        violations=window.violations,
        words=window.words,
        figures=window.figures,
    )


def close_window(row: MonitorRow | None, window: WindowRow) -> Transaction:
    """Let the next window open; empty when this one is not the open one any more.

    With labelled rows that were kept, the scoring of earlier versions begins.
    """
    if row is None or row.open_ms != window.end_ms:
        return ()
    return earlier.begin(row, window, open_ms=None)


def withdraw_alarm(signals: Iterable[SignalRow], alarm: str, now_ms: int) -> list[Transaction]:
    """Settle what an alarm that is OK again called for; what a run claims is left to the run."""
    return [
        move(
            signal,
            state="withdrawn",
            reason=WITHDRAWN,
            settled_ms=now_ms,
            expires=(now_ms + REMEMBER_MS) // 1000,
        )
        for signal in signals
        if signal.kind == DRIFT and signal.parts[0] == alarm and signal.state in ("pending", "held")
    ]


def is_waiting(signals: Iterable[SignalRow], alarm: str) -> bool:
    """Whether an alarm has a signal already that is not settled."""
    return any(s.kind == DRIFT and s.parts[0] == alarm for s in signals)


def note_labels(model: ModelRow, newest_ms: int) -> Transaction:
    """Note labels of captured traffic that landed up to `newest_ms`; empty when they are known.

    No run so far has seen them, not even one at work: its manifest may be older.
    """
    if newest_ms <= model.labels_ms:
        return ()
    return (change(model, labels_ms=newest_ms, labels_run=model.last_run + 1),)
