"""The scoring of earlier versions on a window's rows: one window at a time, each version once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from perennial.domain.ledger import earlier
from perennial.domain.ledger.monitor_rows import Earlier, MonitorRow, WindowRow
from perennial.domain.ledger.monitors import close_window
from perennial.domain.ledger.store import MemoryStore, create

from tests.unit.domain.ledger_builders import NOW

KIND = "model-quality"
VERSIONS = (Earlier(3, 4), Earlier(2, 2))


def window(end: int = 10, **fields: Any) -> WindowRow:
    """A window that was judged, with labels, whose rows are kept for two versions."""
    given = {"state": "done", "labelled": 5, "earlier": VERSIONS, **fields}
    return WindowRow("census", KIND, end - 10, end, 2, 5, 6, settings=3, opened_ms=NOW, **given)


def stored(row: MonitorRow, *windows: WindowRow) -> MemoryStore:
    """A ledger with a monitor and windows of it."""
    store = MemoryStore()
    store.commit([create(row), *map(create, windows)])
    return store


def monitor(store: MemoryStore) -> MonitorRow:
    """The monitor's row."""
    row = store.get(MonitorRow("census", KIND).key)
    assert isinstance(row, MonitorRow)
    return row


def of(store: MemoryStore, end: int = 10) -> WindowRow:
    """A window's row."""
    row = store.get(window(end).key)
    assert isinstance(row, WindowRow)
    return row


def test_scoring_begins_as_the_window_is_closed():
    """In one transaction, so that nobody forgets it who dies in between."""
    store = stored(MonitorRow("census", KIND, until_ms=10, open_ms=10), window())
    store.commit(close_window(monitor(store), of(store)))
    assert (monitor(store).open_ms, monitor(store).scoring_ms) == (None, 10)
    assert of(store).earlier == VERSIONS


@pytest.mark.parametrize("fields", [{"state": "failed"}, {"labelled": 0}, {"earlier": ()}])
def test_without_labelled_rows_or_versions_nothing_is_scored(fields: dict[str, Any]):
    """The window is closed all the same."""
    store = stored(MonitorRow("census", KIND, until_ms=10, open_ms=10), window(**fields))
    store.commit(close_window(monitor(store), of(store)))
    assert (monitor(store).open_ms, monitor(store).scoring_ms) == (None, None)
    assert of(store).rev == 1


def test_a_window_that_ends_meanwhile_goes_without():
    """Jobs do not pile up; its row says why, and the one at work goes on."""
    row = MonitorRow("census", KIND, until_ms=20, open_ms=20, scoring_ms=10)
    store = stored(row, window(), window(20))
    store.commit(close_window(monitor(store), of(store, 20)))
    assert (monitor(store).open_ms, monitor(store).scoring_ms) == (None, 10)
    assert [each.words for each in of(store, 20).earlier] == [earlier.STILL_BUSY] * 2
    assert earlier.left(of(store, 20)) == ()


def test_each_version_is_noted_once():
    """What was recorded stays; the same again changes nothing; others are not touched."""
    store = stored(MonitorRow("census", KIND, scoring_ms=10), window())
    first, second = Earlier(3, 4, gain="0.1", spread="0.4"), Earlier(2, 2, words="no such model")
    assert [each.is_over for each in (*VERSIONS, first, second)] == [False, False, True, True]
    store.commit(earlier.note_scores(of(store), {3: first}))
    assert of(store).earlier == (first, VERSIONS[1])
    assert earlier.left(of(store)) == (VERSIONS[1],)
    assert earlier.note_scores(of(store), {3: replace(first, gain="0.9")}) == ()
    assert earlier.note_scores(of(store), {}) == ()
    store.commit(earlier.note_scores(of(store), {2: second, 3: replace(first, gain="0.9")}))
    assert of(store).earlier == (first, second)
    assert earlier.left(of(store)) == ()


def test_scoring_ends_once():
    """Only that of the window which is being scored."""
    store = stored(MonitorRow("census", KIND, scoring_ms=10), window(), window(20))
    assert earlier.end_scoring(None, of(store)) == ()
    assert earlier.end_scoring(monitor(store), of(store, 20)) == ()
    store.commit(earlier.end_scoring(monitor(store), of(store)))
    assert monitor(store).scoring_ms is None
    assert earlier.end_scoring(monitor(store), of(store)) == ()
