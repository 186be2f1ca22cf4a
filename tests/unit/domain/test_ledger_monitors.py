"""What happens to the rows of monitors and their windows."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest
from perennial.domain.errors import Conflict
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, monitor_key, window_key
from perennial.domain.ledger.monitors import (
    WITHDRAWN,
    Found,
    close_window,
    found_before,
    is_waiting,
    may_try_again,
    note_found,
    note_labels,
    open_window,
    try_again,
    withdraw_alarm,
)
from perennial.domain.ledger.store import MemoryStore

from tests.unit.domain.ledger_builders import NOW, data, drift, model, schedule

ALARM = "perennial-monitor-census-bias"
OTHER = "perennial-monitor-census-data-quality"


def window(start: int = 0, end: int = 10, **fields: Any) -> WindowRow:
    """A window of census's bias, of release 2."""
    given = {"release": 2, "version": 4, "run": 5, "settings": 3, "opened_ms": NOW, **fields}
    return WindowRow("census", "bias", start, end, **given)


def store_with(*windows: WindowRow) -> MemoryStore:
    """A ledger in which these windows were opened, one after the other ended but the last."""
    store = MemoryStore()
    for each in windows:
        _monitor, last = read(store)
        if last is not None:
            end(store, Found("done", rows=9))
        store.commit(open_window(read(store)[0], each))
    return store


def end(store: MemoryStore, found: Found) -> None:
    """Record what the open window's job found, and close the window."""
    monitor, opened = read(store)
    assert opened is not None
    store.commit(note_found(monitor, opened, found, NOW))
    store.commit(close_window(*read(store)))  # type: ignore[arg-type] # both are there


def read(store: MemoryStore) -> tuple[MonitorRow | None, WindowRow | None]:
    """The monitor's row and the row of its last window."""
    monitor = store.get(monitor_key("census", "bias"))
    if not isinstance(monitor, MonitorRow):
        return None, None
    found = store.get(window_key("census", "bias", monitor.until_ms))
    assert isinstance(found, WindowRow)
    return monitor, found


def test_a_window_is_opened_once() -> None:
    """The first one makes the monitor's row; while it is open there is no other."""
    store = store_with(window())
    monitor, opened = read(store)
    assert monitor == MonitorRow("census", "bias", 2, 4, until_ms=10, open_ms=10, rev=1)
    assert opened == window(rev=1)
    assert open_window(monitor, window(10, 20)) == ()


def test_two_that_open_at_once_open_one() -> None:
    """Both read no row; the second one's transaction conflicts whole."""
    store = MemoryStore()
    store.commit(open_window(None, window()))
    with pytest.raises(Conflict):
        store.commit(open_window(None, window(0, 11)))
    assert store.get(window_key("census", "bias", 11)) is None


def test_windows_go_on() -> None:
    """After its end the next window opens, and one that ends before it never does."""
    store = store_with(window(), window(10, 20, release=3, version=5))
    monitor, opened = read(store)
    assert monitor is not None
    assert (monitor.release, monitor.version, monitor.until_ms, monitor.open_ms) == (3, 5, 20, 20)
    assert opened is not None
    end(store, Found("done", rows=1))
    assert open_window(read(store)[0], window(10, 20)) == ()


def test_an_end_is_recorded_once() -> None:
    """What the job found stands in both rows, and a second report of its end changes nothing."""
    store = store_with(window())
    found = Found("done", rows=100, labelled=7, violations=2, words="`age`", figures='{"a":1}')
    store.commit(note_found(*read(store), found, NOW))  # type: ignore[arg-type] # both are there
    monitor, ended = read(store)
    assert monitor is not None
    assert ended is not None
    assert found_before(ended) == found
    assert open_window(monitor, window(10, 20)) == ()
    store.commit(close_window(monitor, ended))
    monitor, ended = read(store)
    assert monitor is not None
    assert ended is not None
    assert (monitor.open_ms, monitor.seen_ms, monitor.violations) == (None, 10, 2)
    assert (ended.state, ended.rows, ended.labelled, ended.violations) == ("done", 100, 7, 2)
    assert (ended.words, ended.figures, ended.ended_ms) == ("`age`", '{"a":1}', NOW)
    assert ended.expires == NOW // 1000 + 400 * 86400
    assert note_found(monitor, ended, Found("failed"), NOW + 1) == ()
    assert close_window(monitor, ended) == close_window(None, ended) == ()


@pytest.mark.parametrize(
    "found", [Found("failed", words="boom"), Found("empty", words="nothing came")]
)
def test_a_blind_window_leaves_the_last_word(found: Found) -> None:
    """A failure is no all-clear: the violations of the last window that saw something stand."""
    store = store_with(window())
    end(store, Found("done", rows=5, violations=3))
    store.commit(open_window(read(store)[0], window(10, 20)))
    end(store, found)
    monitor, _opened = read(store)
    assert found.is_blind
    assert monitor is not None
    assert (monitor.open_ms, monitor.seen_ms, monitor.violations) == (None, 10, 3)


def test_an_end_without_a_monitor_ends_the_window() -> None:
    """A row that was repaired by hand does not keep a window open for ever."""
    opened = window(rev=1)
    other = MonitorRow("census", "bias", until_ms=30, open_ms=30, rev=4)
    for monitor in (None, other):
        (only,) = note_found(monitor, opened, Found("done", rows=1), NOW)
        assert only.key == opened.key


def test_a_failed_job_is_tried_again_if_it_may_pass() -> None:
    """Want of machines passes, three attempts in all; an error of ours does not."""
    opened = window(rev=1, job="first")
    (again,) = try_again(opened, "second")
    row = again.row  # type: ignore[union-attr] # a write
    assert isinstance(row, WindowRow)
    assert (row.attempt, row.job) == (2, "second")
    assert try_again(window(state="done"), "second") == ()
    for reason in ("CapacityError", "InternalServerError", "ResourceLimitExceeded"):
        assert may_try_again(window(attempt=2), f"{reason}: no ml.m5.large")
    assert may_try_again(window(attempt=2), "ThrottlingException: later")
    assert not may_try_again(window(attempt=2), "Throttled")
    assert not may_try_again(window(attempt=3), "CapacityError: no ml.m5.large")
    assert not may_try_again(window(), "SettingsError: the baseline has no statistics")


def test_an_alarm_that_is_ok_again_takes_its_signals_along() -> None:
    """Only its own waiting ones: a claimed one belongs to its run."""
    waiting, held = drift(ALARM), drift(ALARM, id="held", state="held")
    named = replace(schedule(), parts=(ALARM, "t"))  # a schedule that is called so
    signals = (waiting, held, drift(ALARM, state="claimed", run=7), drift(OTHER), data(), named)
    moves = withdraw_alarm(signals, ALARM, NOW)
    rows = [each.row for made in moves for each in made if getattr(each, "row", None)]
    assert [(row.id, row.state, row.reason) for row in rows] == [
        (waiting.id, "withdrawn", WITHDRAWN),
        ("held", "withdrawn", WITHDRAWN),
    ]
    assert {row.settled_ms for row in rows} == {NOW}
    assert {row.expires for row in rows} == {NOW // 1000 + 35 * 86400}


def test_an_alarm_waits_while_its_signal_is_open() -> None:
    """Whatever its state; signals of other alarms and kinds do not count."""
    assert is_waiting((data(), drift(ALARM, state="claimed", run=7)), ALARM)
    named = replace(schedule(), parts=(ALARM, "t"))
    assert not is_waiting((data(), drift(OTHER), named), ALARM)
    assert is_waiting((drift(ALARM),), ALARM)


def test_what_nobody_said_of_a_finding() -> None:
    """Counts are zero and texts empty."""
    assert astuple(Found("done")) == ("done", 0, 0, 0, "", "{}")


def test_labels_are_noted_for_the_next_run() -> None:
    """New labels were seen by no run so far; the same ones, or older, change nothing."""
    (noted,) = note_labels(model(labels_ms=NOW - 1, labels_run=2), NOW)
    row = noted.row  # type: ignore[union-attr] # a write
    assert (row.labels_ms, row.labels_run) == (NOW, 7)
    assert note_labels(model(labels_ms=NOW), NOW) == ()
