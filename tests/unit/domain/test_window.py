"""The data window of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.settings import Window
from perennial.domain.sources import prefixes_of
from perennial.domain.window import ALL, Span, span_of

from tests.unit.domain.ledger_builders import DAY, NOW, data, drift, row

ALARM = "perennial-monitor-census-bias"


def alarm(stamp, name=ALARM, **fields):
    """A drift alarm that went off at this time."""
    found = drift(name)
    signal = found.signal
    return row(type(signal)("census", "drift", (name, stamp), {}), admitted_ms=NOW, **fields)


def test_all_data():
    """Nothing lies outside."""
    assert span_of(Window(), NOW, ()) == ALL == Span("all", "all data", 0)


def test_days():
    """A duration before the run opened."""
    found = span_of(Window("days", seconds=30 * 86400), NOW, (data(),))
    assert found == Span("days", "the last 30d before the run opened", NOW - 30 * DAY)


def test_rows_leave_the_cut_to_the_check():
    """Only the check counts good rows, so every object is listed."""
    found = span_of(Window("rows", rows=20_000), NOW, ())
    assert found == Span("rows", "the newest 20,000 rows", 0)


def test_since_drift():
    """The oldest of the run's alarms counts; other signals do not."""
    signals = (
        alarm("2027-01-15T07:00:00.000+0000"),
        alarm("2027-01-15T06:30:00Z", "perennial-monitor-census-data-quality"),
        data(),
    )
    found = span_of(Window("since_drift"), NOW, signals)
    assert found.kind == "since_drift"
    assert found.from_ms == NOW - 90 * 60_000
    assert found.words == (
        "since alarm perennial-monitor-census-data-quality of 2027-01-15 06:30:00 UTC"
    )


def test_since_drift_without_an_alarm():
    """All data count, and the words say why."""
    found = span_of(Window("since_drift"), NOW, (data(),))
    assert found == Span("since_drift", "all data: no drift alarm called for this run", 0)


@pytest.mark.parametrize("stamp", ["2026", "soon", "2027-01-15T07:00:00", "2028-01-01T00:00:00Z"])
def test_an_alarm_without_a_time_counts_from_its_admission(stamp):
    """So does one that claims to come from the future."""
    assert span_of(Window("since_drift"), NOW, (alarm(stamp),)).from_ms == NOW


@given(st.integers(60, 10**7), st.integers(60, 10**7))
def test_a_longer_window_begins_earlier(one, other):
    """So whatever a window takes, a wider one takes too."""
    spans = [span_of(Window("days", seconds=s), NOW, ()).from_ms for s in sorted((one, other))]
    assert spans[0] >= spans[1]


def test_prefixes_of_the_sources():
    """Landed data lie in the landing bucket, all else in the artifact bucket."""
    assert prefixes_of("landed", "census") == ()
    assert prefixes_of("reviews", "census") == ("reviews/census/",)
    assert prefixes_of("labelled-traffic", "census") == ("labels/census/", "capture/census/")
