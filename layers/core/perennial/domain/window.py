"""The data window of one run: which objects it may learn from, by when they landed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from perennial.domain.ledger.rows import SignalRow
from perennial.domain.settings import Window
from perennial.domain.settings_reader import duration
from perennial.domain.signals import DRIFT


@dataclass(frozen=True)
class Span:
    """Objects that landed before ``from_ms`` lie outside; ``words`` say what the window is."""

    kind: str = "all"
    words: str = "all data"
    from_ms: int = 0


ALL = Span()


def span_of(window: Window, opened_ms: int, claimed: Iterable[SignalRow]) -> Span:
    """The span of a run that opened at ``opened_ms`` for these signals.

    ``rows`` is a span of everything: only the check, which counts good rows, can cut it.
    """
    if window.kind == "days":
        words = f"the last {duration(window.seconds)} before the run opened"
        return Span("days", words, opened_ms - window.seconds * 1000)
    if window.kind == "rows":
        return Span("rows", f"the newest {window.rows:,} rows")
    if window.kind == "since_drift":
        alarms = [(_alarm_ms(each), each.parts[0]) for each in claimed if each.kind == DRIFT]
        if not alarms:
            return Span("since_drift", "all data: no drift alarm called for this run")
        at, alarm = min(alarms)
        moment = datetime.fromtimestamp(at / 1000, timezone.utc)
        return Span("since_drift", f"since alarm {alarm} of {moment:%Y-%m-%d %H:%M:%S} UTC", at)
    return ALL


def _alarm_ms(signal: SignalRow) -> int:
    """When an alarm went off by its own word, at the latest when it was admitted."""
    try:
        moment = datetime.fromisoformat(signal.parts[1])
    except ValueError:
        return signal.admitted_ms
    if moment.tzinfo is None:
        return signal.admitted_ms
    return min(int(moment.timestamp() * 1000), signal.admitted_ms)
