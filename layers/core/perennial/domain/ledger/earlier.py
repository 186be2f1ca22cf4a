"""What happens to the scoring of earlier versions on a window's labelled rows.

One window of a monitor is scored at a time: a next one that ends meanwhile goes without, so jobs
and bills do not pile up. Each step may be repeated by anyone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perennial.domain.ledger.monitor_rows import Earlier, MonitorRow, WindowRow
from perennial.domain.ledger.store import Transaction, change

STILL_BUSY = "the window before was still being scored"


def begin(row: MonitorRow, window: WindowRow, **fields: Any) -> Transaction:
    """Change a monitor's row as its window is closed, and begin to score if there is anything to.

    `window` is as it was recorded.
    """
    if window.state != "done" or not window.labelled or not window.earlier:
        return (change(row, **fields),)
    if row.scoring_ms is None:
        return (change(row, scoring_ms=window.end_ms, **fields),)
    left_out = tuple(replace(each, words=STILL_BUSY) for each in window.earlier)
    return (change(row, **fields), change(window, earlier=left_out))


def left(window: WindowRow) -> tuple[Earlier, ...]:
    """The versions of which nothing is known yet."""
    return tuple(each for each in window.earlier if not each.is_over)


def note_scores(window: WindowRow, found: Mapping[int, Earlier]) -> Transaction:
    """Record what was found, by version; what was recorded before stays."""
    noted = tuple(
        each if each.is_over else found.get(each.version, each) for each in window.earlier
    )
    return () if noted == window.earlier else (change(window, earlier=noted),)


def end_scoring(row: MonitorRow | None, window: WindowRow) -> Transaction:
    """Let the next window be scored; empty when this one is not any more."""
    if row is None or row.scoring_ms != window.end_ms:
        return ()
    return (change(row, scoring_ms=None),)
