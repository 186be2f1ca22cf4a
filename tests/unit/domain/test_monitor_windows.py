"""Which time span a monitor judges next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.monitor_windows import (
    MISSED_MS,
    Judged,
    Window,
    grid_end,
    hour_folders,
    is_missed,
    next_window,
    schedule,
    words,
)
from perennial.domain.settings_monitor import PERIODS, Monitor

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)


def monitor(every: int = 3600, offset: int = 0, window: int = 0, delay: int = 0) -> Monitor:
    """A monitor with these times, in seconds."""
    return Monitor("data-quality", every, offset, window or every, delay)


def test_the_first_window_begins_with_the_release() -> None:
    """A release at 12:20 gives a short first window, up to the full hour."""
    live = NOON + 20 * 60_000
    assert next_window(monitor(), Judged(), live, NOON + HOUR - 1) is None
    found = next_window(monitor(), Judged(), live, NOON + HOUR)
    assert found == Window(live, NOON + HOUR, is_whole=False)


def test_a_window_waits_for_its_capture_and_its_labels() -> None:
    """A window is due only once the delay after its end has passed."""
    judged, live = Judged(NOON), NOON - DAY
    slow = monitor(delay=300)
    assert next_window(slow, judged, live, NOON + HOUR + 299_999) is None
    assert next_window(slow, judged, live, NOON + HOUR + 300_000) == Window(NOON, NOON + HOUR)


def test_one_window_at_a_time() -> None:
    """While a window is being judged there is no next one, also not by hand."""
    judged = Judged(NOON, is_open=True)
    for by_hand in (False, True):
        found = next_window(monitor(), judged, NOON, NOON + DAY, by_hand=by_hand)
        assert found is None
    assert not is_missed(monitor(), judged, NOON, NOON + DAY)


def test_a_new_release_cuts() -> None:
    """What the replaced version answered after its last window is never judged with the new."""
    live = NOON + 90 * 60_000
    found = next_window(monitor(), Judged(NOON), live, NOON + 2 * HOUR)
    assert found == Window(live, NOON + 2 * HOUR, is_whole=False)


def test_by_hand_judges_what_there_is() -> None:
    """Somebody who asks gets the traffic up to now; the next window goes on from there."""
    judged, live, now = Judged(NOON), NOON - DAY, NOON + 600_000
    found = next_window(monitor(delay=300), judged, live, now, by_hand=True)
    assert found == Window(NOON, now, is_whole=False)
    after = Judged(now)
    assert next_window(monitor(), after, live, now, by_hand=True) is None
    assert next_window(monitor(), after, live, NOON + HOUR) == Window(now, NOON + HOUR, False)


def test_windows_begin_and_end_with_whole_seconds() -> None:
    """Captured times are whole seconds: what is answered in the release's second, or in that of a
    look by hand, is in the window after it."""
    live, asked = NOON + 900, NOON + 5_400
    found = next_window(monitor(), Judged(), live, asked, by_hand=True)
    assert found == Window(NOON, NOON + 5_000, is_whole=False)
    assert next_window(monitor(), Judged(NOON + 5_000), live, asked, by_hand=True) is None
    after = next_window(monitor(), Judged(NOON + 5_000), live, NOON + HOUR)
    assert after == Window(NOON + 5_000, NOON + HOUR, is_whole=False)


def test_by_hand_a_window_that_is_over_does_not_wait_for_its_delay() -> None:
    """Asked by hand, a window that is over is judged at once, as long as it is."""
    found = next_window(monitor(delay=300), Judged(NOON), 0, NOON + HOUR, by_hand=True)
    assert found == Window(NOON, NOON + HOUR)


def test_a_lost_schedule_is_noticed() -> None:
    """Ten minutes after a window was due, the sweeper takes its start for lost."""
    judged, live = Judged(NOON), NOON - DAY
    due = NOON + HOUR + 300_000
    assert not is_missed(monitor(delay=300), judged, live, due + MISSED_MS - 1)
    assert is_missed(monitor(delay=300), judged, live, due + MISSED_MS)


@settings(max_examples=150, deadline=None)
@given(
    window=st.sampled_from([1, 7, 60, 3600, 5400, 86400]),
    offset=st.integers(0, 3000),
    delay=st.sampled_from([0, 300, 86400]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["due", "due", "due", "release", "hand"]),
            st.integers(1, 200_000_000),
        ),
        max_size=40,
    ),
)
def test_windows_are_contiguous_and_never_span_a_release(
    window: int, offset: int, delay: int, steps: list[tuple[str, int]]
) -> None:
    """Over any life of releases, outages and requests by hand, windows of one release follow
    each other without a gap, lie after its beginning, end by now, and none is longer than set."""
    watch = Monitor("bias", 3600, offset, window, delay)
    now, judged, live = NOON, Judged(), NOON
    for act, passed in steps:
        now += passed
        if act == "release":
            live = now
            continue
        for _ in range(3):  # missed windows follow one after the other
            found = next_window(watch, judged, live, now, by_hand=act == "hand")
            if found is None:
                break
            assert found.start_ms == max(judged.until_ms, live // 1000 * 1000)
            assert found.start_ms < found.end_ms <= now
            assert found.end_ms - found.start_ms <= window * 1000
            assert found.is_whole == (found.end_ms - found.start_ms == window * 1000)
            if act != "hand":
                assert found.end_ms + delay * 1000 <= now
                assert (found.end_ms - offset * 1000) % (window * 1000) == 0
            judged = Judged(found.end_ms)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**41), st.sampled_from([1, 60, 3600, 86400]), st.integers(0, 3599))
def test_the_grid_goes_on_for_ever(start: int, window: int, offset: int) -> None:
    """The end on the grid lies after the start, at most one window later."""
    end = grid_end(monitor(86400, offset, window), start)
    assert start < end <= start + window * 1000


@pytest.mark.parametrize(
    ("watch", "expression"),
    [
        (monitor(60), "cron(* * * * ? *)"),
        (monitor(900, delay=300), "cron(5/15 * * * ? *)"),
        (monitor(3600), "cron(0 * * * ? *)"),
        (monitor(3600, offset=600, delay=301), "cron(16 * * * ? *)"),
        (monitor(7200, offset=5400), "cron(30 1/2 * * ? *)"),
        (monitor(86400, offset=7500, delay=86400), "cron(5 2 * * ? *)"),
    ],
)
def test_the_schedule_fires_when_windows_are_due(watch: Monitor, expression: str) -> None:
    """The cron expression stands for the period, at the grid plus the delay."""
    assert schedule(watch) == expression


def test_each_period_has_a_schedule() -> None:
    """Every period that the settings allow can be said in cron."""
    found = [schedule(monitor(every, delay=300)) for every in PERIODS]
    assert len(set(found)) == len(found)


def test_the_folders_of_a_window() -> None:
    """The hours of a window, and the one after it for clocks that are off and late files."""
    assert hour_folders(NOON, NOON + HOUR) == ["2026/11/20/12", "2026/11/20/13"]
    late = hour_folders(NOON + 11 * HOUR + 60_000, NOON + 12 * HOUR)
    assert late == ["2026/11/20/23", "2026/11/21/00"]
    assert len(hour_folders(NOON, NOON + DAY)) == 25


def test_windows_in_words() -> None:
    """People read the hour or the day, and else both times."""
    assert words(NOON, NOON + HOUR) == "the hour to 13:00 UTC"
    assert words(NOON, NOON + DAY) == "the day to 2026-11-21 12:00 UTC"
    assert words(NOON, NOON + 2 * HOUR) == "the time from 2026-11-20 12:00 to 14:00 UTC"
    assert words(NOON, NOON + 5000) == "the time from 2026-11-20 12:00:00 to 12:00:05 UTC"
