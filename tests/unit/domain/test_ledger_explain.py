"""What `perennial why` says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.ledger.explain import Explained, explain
from perennial.domain.ledger.holding import Hold
from perennial.domain.ledger.rows import Ending, Paused, Retry, StopRequest
from perennial.domain.ledger.words import describe

from tests.unit.domain.ledger_builders import (
    HOUR,
    LIMITS,
    MINUTE,
    NOW,
    book,
    champion,
    claimed_run,
    data,
    drift,
    manual,
    run,
    schedule,
)

OVERRIDES = {"train.depth": "3"}


def why(the_book):
    """The explanation, now."""
    return explain(the_book, LIMITS, NOW)


def lines(the_book):
    """Per signal: kind, the words of its holds, until when."""
    return [
        (s.kind, tuple(hold.words for hold in s.holds), s.until_ms) for s in why(the_book).signals
    ]


def test_each_signal_says_what_it_waits_for():
    """Oldest first, with all that holds it."""
    held = schedule(
        state="held",
        run=6,
        held_ms=NOW,
        held_settings=3,
        reason="rows: 50 of 1,000",
        admitted_ms=NOW - HOUR,
    )
    waiting = book(data(admitted_ms=NOW - 1), held, drift(), champion=champion(), ended_ms=NOW)
    assert lines(waiting) == [
        ("schedule", ("rows: 50 of 1,000",), None),
        (
            "drift",
            ("cool-down after the last run", "quiet period: more may come"),
            NOW + 2 * HOUR,
        ),
        (
            "data",
            ("cool-down after the last run", "quiet period: more may come"),
            NOW + 2 * HOUR,
        ),
    ]
    assert why(waiting).words == "cool-down after the last run"
    assert why(waiting).until_ms == NOW + 2 * HOUR
    first = why(waiting).signals[0]
    assert (first.id, first.what, first.state) == (
        held.id,
        "schedule nightly: 2026-11-20T03:00:00Z",
        "held",
    )


def test_an_alarm_without_news_says_so():
    """It is not told to wait for the quiet period."""
    ((kind, words, until),) = lines(book(drift(), champion=champion()))
    assert (kind, until) == ("drift", None)
    assert words[0].startswith("nothing new to learn: champion census 4")


def test_what_is_released_waits_like_the_others():
    """New data takes held signals along, so they wait for the same."""
    held = schedule(state="held", run=6, held_ms=1, held_settings=3, reason="failed: x")
    waiting = book(held, data(admitted_ms=NOW))
    assert [each[1] for each in lines(waiting)] == [("quiet period: more may come",)] * 2


def test_what_came_back_is_not_on_hold():
    """A signal that was held once, and returned later, shows what it waits for now."""
    back = schedule(run=6, held_settings=3)
    assert lines(book(back, ended_ms=NOW))[0][1] == ("cool-down after the last run",)
    held = schedule(state="held", run=6, held_ms=NOW, held_settings=3, reason="failed: x")
    assert why(book(held)).signals[0].holds == (Hold("held", "failed: x"),)


def test_other_kinds_are_not_asked_for_news():
    """Only an alarm needs something new to learn; one on hold shows its own reason."""
    waiting = book(schedule(), champion=champion(), ended_ms=NOW)
    assert lines(waiting)[0][1] == ("cool-down after the last run",)
    stale = drift(state="held", run=6, held_ms=NOW, held_settings=2, reason="failed: x")
    waiting = book(stale, champion=champion(), ended_ms=NOW)
    assert lines(waiting)[0][1] == ("cool-down after the last run",)


def test_signals_of_one_millisecond_are_listed_by_id():
    """The same order each time."""
    pair = data("a"), data("b")
    ids = sorted(each.id for each in pair)
    assert [s.id for s in why(book(*pair)).signals] == ids
    assert [s.id for s in why(book(*reversed(pair))).signals] == ids


def test_a_pause_of_the_model_comes_first():
    """Everything waits for it, besides what else holds it."""
    paused = Paused("bob", "holidays", NOW)
    words = "paused by bob: holidays; `perennial resume census`"
    still = book(manual(), data(admitted_ms=NOW), paused=paused)
    assert [each[1] for each in lines(still)] == [(words,), (words,)]
    assert why(still).words == words
    held = data(state="held", run=6, held_ms=NOW, held_settings=3, reason="failed: x")
    assert lines(book(held, paused=paused))[0][1] == (words, "failed: x")
    alarm = lines(book(drift(), paused=paused, champion=champion()))[0][1]
    assert alarm[0] == words
    assert len(alarm) == 2


def test_what_opens_now_waits_for_nothing():
    """Then the summary says that a run opens."""
    ready = book(data())
    assert lines(ready) == [("data", (), None)]
    assert (why(ready).words, why(ready).until_ms) == ("a run of census opens now", NOW)
    assert why(ready).model == "census"


def test_requests_with_settings_are_told_apart():
    """One that came back waits for its pause, a fresh one for nothing."""
    pause = book(manual(overrides=OVERRIDES, run=6), not_before_ms=NOW + MINUTE, ended_ms=NOW)
    assert lines(pause) == [("manual", ("a pause after a passing failure",), NOW + MINUTE)]
    assert lines(book(manual(overrides=OVERRIDES), ended_ms=NOW)) == [("manual", (), None)]


@pytest.mark.parametrize(
    ("open_run", "stage"),
    [
        (run(), "being opened"),
        (claimed_run(), "about to start"),
        (claimed_run(state="started"), "at work"),
        (claimed_run(state="started", stop=StopRequest("a", "b")), "being stopped"),
        (run(ending=Ending("won", ""), stop=StopRequest("a", "b")), "being settled"),
    ],
)
def test_during_a_run(open_run, stage):
    """Claimed signals are in it, others wait for its end."""
    busy = book(data("a", state="claimed", run=7), data("b"), run=open_run)
    assert [each[1] for each in lines(busy)] == [
        (f"in run 7 of census, which is {stage}",),
        (f"waits for the end of run 7 of census, which is {stage}",),
    ]
    assert [s.holds[0].code for s in why(busy).signals] == ["in-run", "running"]
    assert (why(busy).words, why(busy).until_ms) == (f"run 7 of census is {stage}", None)


def test_an_idle_model_says_so():
    """Nothing pending, nothing due."""
    found = why(book())
    assert found.words == "census waits for a reason to retrain: nothing is pending"
    assert (found.until_ms, found.signals) == (None, ())
    assert why(book(has_data=False)).words == "no data yet: nothing of census has landed"
    retry = Retry(4, "Perennial", "a passing failure", NOW + MINUTE)
    assert why(book(retry=retry)).words == "a pause after a passing failure"
    assert why(book(retry=retry)).until_ms == NOW + MINUTE


def test_everything_on_hold_says_so():
    """No time will change it."""
    held = data(state="held", run=6, held_ms=NOW, held_settings=3, reason="failed: x")
    assert why(book(held)).words == "census: everything that is pending is on hold"
    assert why(book(held)).until_ms is None


def test_until_needs_a_time_for_every_hold():
    """If one hold waits for an event, no time can be told."""
    event, hour, minute = Hold("a", "a"), Hold("b", "b", NOW + HOUR), Hold("c", "c", NOW + MINUTE)

    def until(*holds):
        return Explained("i", "data", "w", "pending", holds).until_ms

    assert until(hour, minute) == NOW + HOUR
    assert until(event, hour) is None
    assert until() is None


def test_a_policy_s_schedule_says_why():
    """The reason follows the time."""
    asked = replace(schedule(), evidence={"reason": "it pays"})
    assert describe(asked) == "schedule nightly: 2026-11-20T03:00:00Z: it pays"
