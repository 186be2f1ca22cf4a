"""When signals may open a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.ledger.holding import Opening, Waiting, decide, sounding_alarms
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.rows import ClosedEvidence, Paused, Retry
from perennial.domain.settings import Triggers

from tests.unit.domain.ledger_builders import (
    DAY,
    HOUR,
    LIMITS,
    MINUTE,
    NOW,
    SECOND,
    book,
    champion,
    code,
    data,
    drift,
    manual,
    review,
    run,
    schedule,
)

ALARM = "perennial-monitor-census-bias"
OVERRIDES = {"train.depth": "3"}


def wait(decision):
    """A decision to wait, as (codes, until)."""
    assert isinstance(decision, Waiting), decision
    return [hold.code for hold in decision.holds], decision.until_ms


def opens(decision):
    """Whose run a decision opens."""
    assert isinstance(decision, Opening), decision
    return [s.kind for s in decision.openers]


def test_quiet_period_counts_from_the_newest_signal():
    """A run opens when nothing came for the quiet period, not a millisecond before."""
    newest = NOW - 5 * MINUTE
    signals = data("a", admitted_ms=newest - MINUTE), data("b", admitted_ms=newest)
    assert opens(decide(book(*signals), LIMITS, NOW)) == ["data", "data"]
    assert wait(decide(book(*signals), LIMITS, NOW - 1)) == (["quiet"], NOW)


def test_max_wait_bounds_a_burst():
    """A burst that never pauses opens a run max_wait after its first signal."""
    first = data("a", admitted_ms=NOW - HOUR)
    last = data("b", admitted_ms=NOW)
    assert opens(decide(book(first, last), LIMITS, NOW)) == ["data", "data"]
    assert wait(decide(book(first, last), LIMITS, NOW - 1)) == (["quiet"], NOW)


def test_a_push_passes_the_quiet_period_for_all():
    """Code does not wait for more to come, and takes along what is there."""
    signals = code(admitted_ms=NOW - MINUTE), data(admitted_ms=NOW)
    assert opens(decide(book(*signals, data_run=1), LIMITS, NOW)) == ["code", "data"]


def test_a_model_s_first_data_gather_although_a_push_waited_for_them():
    """The push that waited for data does not open the first run on the first file of many."""
    push = code(admitted_ms=NOW - DAY)
    first, last = data("a", admitted_ms=NOW - MINUTE), data("b", admitted_ms=NOW)
    signals = push, first, last
    assert wait(decide(book(*signals), LIMITS, NOW)) == (["quiet"], NOW + 5 * MINUTE)
    later = decide(book(*signals), LIMITS, NOW + 5 * MINUTE)
    assert opens(later) == ["code", "data", "data"]


@pytest.mark.parametrize(
    "signals",
    [
        (
            code(admitted_ms=NOW - DAY),
            code(4, admitted_ms=NOW - MINUTE),
            data("a", admitted_ms=NOW - MINUTE),
            data("b", admitted_ms=NOW),
        ),
        (code(admitted_ms=NOW - MINUTE), data(admitted_ms=NOW, run=6)),
        (code(admitted_ms=NOW - MINUTE), schedule(admitted_ms=NOW)),
        (code(admitted_ms=NOW),),
    ],
)
def test_a_push_opens_a_new_model_s_run_at_once_when_no_first_data_came_after_it(signals):
    """Data that were there before the push, came back from a run, or other kinds do not gather."""
    assert isinstance(decide(book(*signals), LIMITS, NOW), Opening)


def test_data_of_an_earlier_run_do_not_count_as_a_model_s_first():
    """What came back is older than the push; what gathers came after it."""
    old = data("a", admitted_ms=NOW - DAY, run=6)
    signals = code(admitted_ms=NOW - MINUTE), old, data("b", admitted_ms=NOW)
    assert wait(decide(book(*signals), LIMITS, NOW)) == (["quiet"], NOW + 5 * MINUTE)


def test_a_push_that_came_back_does_not_pass_the_quiet_period():
    """Only a push that was in no run yet speeds up a burst."""
    signals = code(run=6, admitted_ms=NOW), data(admitted_ms=NOW)
    assert wait(decide(book(*signals), LIMITS, NOW)) == (["quiet"], NOW + 5 * MINUTE)


def test_what_came_back_does_not_cut_a_new_burst():
    """A signal of an earlier run neither starts nor shortens the quiet period."""
    old = data("a", admitted_ms=NOW - DAY, run=6)
    assert opens(decide(book(old), LIMITS, NOW)) == ["data"]
    burst = data("b", admitted_ms=NOW)
    assert wait(decide(book(old, burst), LIMITS, NOW)) == (["quiet"], NOW + 5 * MINUTE)


@pytest.mark.parametrize("make", [data, schedule, review, drift])
def test_every_other_kind_opens_a_run_after_the_quiet_period(make):
    """Data, schedules, reviews and alarms open runs alike (without a champion)."""
    assert opens(decide(book(make()), LIMITS, NOW)) == [make().kind]


def test_cool_down_counts_from_the_last_end():
    """After a run's end the model rests."""
    over = NOW - 2 * HOUR
    assert opens(decide(book(data(), ended_ms=over), LIMITS, NOW)) == ["data"]
    assert wait(decide(book(data(), ended_ms=over), LIMITS, NOW - 1)) == (["cool-down"], NOW)


def test_a_push_does_not_pass_the_cool_down():
    """Code passes the quiet period only."""
    found = wait(decide(book(code(), ended_ms=NOW), LIMITS, NOW))
    assert found == (["cool-down"], NOW + 2 * HOUR)


def test_budget_counts_rolling_hours():
    """The day's budget frees up 24 hours after the run that filled it."""
    opened = (NOW - DAY, NOW - 5 * HOUR, NOW - 4 * HOUR)
    assert opens(decide(book(data(), opened_ms=opened), LIMITS, NOW)) == ["data"]
    full = (NOW - DAY + 1, NOW - 5 * HOUR, NOW - 4 * HOUR)
    assert wait(decide(book(data(), opened_ms=full), LIMITS, NOW)) == (["budget"], NOW + 1)


def test_budget_beyond_its_limit_waits_for_enough_to_pass():
    """When requests by hand went beyond the budget, more than one run must pass out of it."""
    opened = tuple(NOW - hours * HOUR for hours in (9, 8, 7, 6, 5))
    found = wait(decide(book(data(), opened_ms=opened), LIMITS, NOW))
    assert found == (["budget"], NOW - 7 * HOUR + DAY)
    text = decide(book(data(), opened_ms=opened), LIMITS, NOW).holds[0].words
    assert text == "budget: 5 runs within 24 hours, at most 3"


def test_the_last_of_several_holds_decides():
    """Quiet period, cool-down, budget and pause hold together."""
    found = decide(
        book(data(admitted_ms=NOW), ended_ms=NOW, not_before_ms=NOW + 3 * HOUR), LIMITS, NOW
    )
    assert wait(found) == (["pause", "cool-down", "quiet"], NOW + 3 * HOUR)


def test_a_person_passes_every_limit():
    """A manual signal waits for nothing but a free model."""
    full = book(
        manual(admitted_ms=NOW),
        data(admitted_ms=NOW),
        ended_ms=NOW,
        opened_ms=(NOW, NOW, NOW),
        not_before_ms=NOW + HOUR,
    )
    assert opens(decide(full, LIMITS, NOW)) == ["manual", "data"]


def test_a_request_that_came_back_waits_out_the_pause_only():
    """A request returned by a passing failure passes all limits but the pause."""
    came_back = book(manual(run=6), ended_ms=NOW, not_before_ms=NOW + MINUTE)
    assert wait(decide(came_back, LIMITS, NOW)) == (["pause"], NOW + MINUTE)
    assert opens(decide(came_back, LIMITS, NOW + MINUTE)) == ["manual"]


def test_a_held_request_does_not_speed_others_up():
    """A request whose run failed is released by new data, but then passes no limits."""
    held = manual(state="held", run=6, held_ms=NOW - HOUR, held_settings=3)
    found = decide(book(held, data(admitted_ms=NOW)), LIMITS, NOW)
    assert wait(found) == (["quiet"], NOW + 5 * MINUTE)


def test_a_paused_model_opens_nothing():
    """Pausing holds back even a person's request and a retry, and says by whom."""
    paused = Paused("bob", "holidays", NOW)
    retry = Retry(6, "ann", "again")
    found = decide(book(manual(), paused=paused, retry=retry), LIMITS, NOW)
    assert wait(found) == (["paused"], None)
    assert found.holds[0].words == "paused by bob: holidays; `perennial resume census`"


def test_a_model_without_data_opens_nothing():
    """Nothing can be trained before data landed."""
    found = decide(book(manual(), has_data=False), LIMITS, NOW)
    assert wait(found) == (["no-data"], None)
    assert found.holds[0].words == "no data yet: nothing of census has landed"


def test_nothing_pending_waits_for_nothing():
    """An idle model names no time."""
    assert wait(decide(book(), LIMITS, NOW)) == ([], None)


def test_held_signals_open_no_run():
    """What is on hold is no reason by itself."""
    held = data(state="held", run=6, held_ms=NOW - HOUR, held_settings=3)
    assert wait(decide(book(held), LIMITS, NOW)) == ([], None)


def test_newer_settings_release():
    """A push after the failed run's settings releases what it held."""
    held = data(state="held", run=6, held_ms=NOW - HOUR, held_settings=2)
    assert opens(decide(book(held), LIMITS, NOW)) == ["data"]


@pytest.mark.parametrize("news", [data("new"), review()])
def test_new_data_releases(news):
    """Held signals go along with new data or answers."""
    held = schedule(state="held", run=6, held_ms=news.admitted_ms - 1, held_settings=3)
    assert opens(decide(book(held, news), LIMITS, NOW)) == ["schedule", news.kind]


def test_old_data_or_a_schedule_releases_nothing():
    """Only what came after the hold releases, and only if it can change the outcome."""
    held = schedule(state="held", run=6, held_ms=NOW - HOUR, held_settings=3)
    late = data("late", admitted_ms=NOW - HOUR)
    assert opens(decide(book(held, late), LIMITS, NOW)) == ["data"]
    again = schedule("2026-11-21T03:00:00Z")
    assert opens(decide(book(held, again), LIMITS, NOW)) == ["schedule"]
    tried = data("tried", run=6, state="held", held_ms=NOW, held_settings=3)
    assert wait(decide(book(held, tried), LIMITS, NOW)) == ([], None)


def test_requests_with_settings_run_alone_oldest_first():
    """Each `retrain --set` has a run of its own, before all others."""
    young = manual("t2", OVERRIDES, admitted_ms=NOW)
    old = manual("t1", OVERRIDES, admitted_ms=NOW - 1)
    decision = decide(book(data(), young, old, code()), LIMITS, NOW)
    assert decision == Opening(openers=(old,), alone=old)


def test_a_request_with_settings_that_came_back_pauses():
    """After a passing failure it waits; others need not wait for it."""
    alone = manual("t1", OVERRIDES, run=6)
    held_up = book(alone, not_before_ms=NOW + MINUTE)
    assert wait(decide(held_up, LIMITS, NOW)) == (["pause"], NOW + MINUTE)
    assert opens(decide(held_up, LIMITS, NOW + MINUTE)) == ["manual"]


def test_a_fresh_request_with_settings_does_not_pause():
    """Only what came back waits out the pause after a failure."""
    fresh = manual("t1", OVERRIDES)
    assert decide(book(fresh, not_before_ms=NOW + MINUTE), LIMITS, NOW).alone == fresh


def test_requests_of_one_millisecond_go_by_id():
    """The order is the same for everyone who looks."""
    pair = manual("t1", OVERRIDES), manual("t2", OVERRIDES)
    first = min(pair, key=lambda each: each.id)
    assert decide(book(*pair), LIMITS, NOW).alone == first
    assert decide(book(*reversed(pair)), LIMITS, NOW).alone == first


def test_a_held_request_with_settings_waits_for_news():
    """A failed experiment is repeated when data or code changed."""
    alone = manual("t1", OVERRIDES, state="held", run=6, held_ms=NOW - HOUR, held_settings=3)
    assert wait(decide(book(alone), LIMITS, NOW)) == ([], None)
    assert decide(book(alone, data()), LIMITS, NOW).alone == alone
    claimed = manual("t2", OVERRIDES, state="claimed", run=6)
    assert wait(decide(book(claimed), LIMITS, NOW)) == ([], None)


def test_a_retry_goes_first():
    """`run retry` opens at once, before everything else."""
    retry = Retry(6, "ann", "again")
    signals = manual("t1", OVERRIDES), data()
    assert decide(book(*signals, retry=retry, ended_ms=NOW), LIMITS, NOW) == Opening(retry=retry)


def test_a_retry_that_failed_in_passing_pauses():
    """A repeated retry waits for its pause; a person's request need not."""
    retry = Retry(6, "Perennial", "a passing failure", NOW + MINUTE)
    assert wait(decide(book(retry=retry), LIMITS, NOW)) == (["pause"], NOW + MINUTE)
    assert decide(book(retry=retry), LIMITS, NOW + MINUTE).retry == retry
    assert opens(decide(book(manual(), retry=retry), LIMITS, NOW)) == ["manual"]


def test_the_first_group_that_may_open_decides_the_wait():
    """With several groups waiting, the model looks again when the first may open."""
    retry = Retry(6, "Perennial", "a passing failure", NOW + MINUTE)
    found = decide(book(data(), retry=retry, ended_ms=NOW), LIMITS, NOW)
    assert wait(found) == (["pause", "cool-down"], NOW + MINUTE)


def test_an_alarm_needs_something_new_to_learn():
    """With a champion that has seen everything, an alarm is held and says why."""
    found = decide(book(drift(), champion=champion()), LIMITS, NOW)
    assert wait(found) == (["nothing-new"], None)
    assert found.holds[0].words == (
        "nothing new to learn: champion census 4 has seen all data and settings 3; waits for new "
        "data, code or settings"
    )


@pytest.mark.parametrize(
    ("signals", "fields"),
    [
        ([data(state="held", run=6, held_ms=NOW, held_settings=3)], {}),
        ([review(state="held", run=6, held_ms=NOW, held_settings=3)], {}),
        ([], {"data_run": 6}),
        ([], {"settings": 4}),
    ],
)
def test_an_alarm_opens_a_run_when_there_is_news(signals, fields):
    """Labelled data, a later run's data or settings that the champion has not seen are news."""
    found = decide(book(drift(), *signals, champion=champion(), **fields), LIMITS, NOW)
    assert "drift" in opens(found)


def test_an_alarm_opens_no_run_where_the_policy_hears_none():
    """By a fixed period, or rent or buy, alarms are told alone; news and others change nothing."""
    alarm = drift()
    deaf = replace(alarm, evidence={**alarm.evidence, "policy": "fixed"})
    found = decide(book(deaf, champion=champion(), data_run=6), LIMITS, NOW)
    assert wait(found) == (["policy"], None)
    assert found.holds[0].words == (
        "retrain.policy is fixed: alarms of census are told and open no run"
    )


def test_data_of_the_champions_own_run_is_no_news():
    """What the champion learnt from is old, and a waiting schedule teaches nothing."""
    held = schedule(state="held", run=6, held_ms=NOW, held_settings=3)
    found = decide(book(drift(), held, champion=champion(), data_run=5), LIMITS, NOW)
    assert wait(found) == (["nothing-new"], None)


def test_only_a_pending_alarm_is_told_that_nothing_is_new():
    """An alarm on hold for another reason, or a request that pauses, is not."""
    held = drift(state="held", run=6, held_ms=NOW, held_settings=3)
    assert wait(decide(book(held, champion=champion()), LIMITS, NOW)) == ([], None)
    came_back = manual("t1", OVERRIDES, run=6)
    found = decide(book(came_back, champion=champion(), not_before_ms=NOW + 1), LIMITS, NOW)
    assert wait(found) == (["pause"], NOW + 1)


def test_one_hold_without_a_time_hides_no_other_group():
    """The model looks again when the first group may open, whatever others wait for."""
    stale = book(
        manual("t1", OVERRIDES, run=6), drift(), champion=champion(), not_before_ms=NOW + MINUTE
    )
    assert wait(decide(stale, LIMITS, NOW)) == (["pause", "nothing-new"], NOW + MINUTE)
    late = closed(until_ms=NOW + HOUR)
    found = decide(
        book(
            manual("t1", OVERRIDES, run=6),
            drift(),
            champion=champion(),
            data_run=7,
            closed=(late,),
            not_before_ms=NOW + MINUTE,
        ),
        LIMITS,
        NOW,
    )
    assert wait(found) == (["pause", "closed"], NOW + MINUTE)


def closed(**fields):
    """Evidence that run 6 closed for an hour."""
    return ClosedEvidence(
        **{"alarm": ALARM, "run": 6, "settings": 3, "hold_ms": HOUR, "until_ms": NOW, **fields}
    )


def test_closed_evidence_waits_for_news():
    """The same alarm opens no further run until something arrived since that run."""
    shut = book(drift(), champion=champion(), data_run=6, closed=(closed(),))
    found = decide(shut, LIMITS, NOW)
    assert wait(found) == (["nothing-new"], None)
    assert found.holds[0].words == (
        "nothing new to learn: run 6 answered this alarm and kept the champion; waits for new "
        "data, code or settings"
    )
    later = book(drift(), champion=champion(), data_run=7, closed=(closed(),))
    assert opens(decide(later, LIMITS, NOW)) == ["drift"]


def test_closed_evidence_waits_for_its_pause():
    """News alone do not open the evidence before its time."""
    shut = book(drift(), champion=champion(), data_run=7, closed=(closed(until_ms=NOW + 1),))
    found = decide(shut, LIMITS, NOW)
    assert wait(found) == (["closed"], NOW + 1)
    assert found.holds[0].words == "run 6 answered this alarm and kept the champion: a pause"


def test_closed_evidence_holds_its_own_alarm_only():
    """Another alarm is not held back."""
    other = closed(alarm="perennial-monitor-census-data-quality", until_ms=NOW + HOUR)
    shut = book(drift(), champion=champion(), data_run=6, closed=(other,))
    assert opens(decide(shut, LIMITS, NOW)) == ["drift"]


def test_labels_of_captured_traffic_are_news():
    """Labels that no run up to the champion's has seen let an alarm open one; older ones do not."""
    seen = champion().run
    known = book(drift(), champion=champion(), data_run=seen, labels_run=seen)
    assert wait(decide(known, LIMITS, NOW))[0] == ["nothing-new"]
    fresh = book(drift(), champion=champion(), data_run=seen, labels_run=seen + 1)
    assert opens(decide(fresh, LIMITS, NOW)) == ["drift"]
    answered = {"champion": champion(), "data_run": 6, "closed": (closed(),)}
    assert wait(decide(book(drift(), labels_run=6, **answered), LIMITS, NOW))[0] == ["nothing-new"]
    assert opens(decide(book(drift(), labels_run=7, **answered), LIMITS, NOW)) == ["drift"]


def test_an_alarm_that_needs_company_waits_for_it():
    """With `at_least: 2`, two monitors must sound; the same one twice is no company."""
    asks = {"at_least": 2}
    alone = drift(evidence=asks)
    again = replace(drift(evidence=asks), id="again")
    for signals in ((alone,), (alone, again)):
        found = decide(book(*signals, champion=champion(), data_run=7), LIMITS, NOW)
        assert set(wait(found)[0]) == {"alone"}
        assert found.holds[0].words == (
            "retrain.when: this alarm of census counts once 1 more monitor is in ALARM"
        )
    other = drift("perennial-monitor-census-data-quality", evidence=asks)
    found = decide(book(alone, other, champion=champion(), data_run=7), LIMITS, NOW)
    assert opens(found) == ["drift", "drift"]


def test_only_alarms_are_company():
    """Data that landed, or a schedule, do not make up for another monitor's alarm."""
    assert sounding_alarms(book(drift(), data(), schedule())) == {ALARM}


def test_words_of_several_missing_alarms():
    """The hold says how many monitors are missing."""
    found = decide(book(drift(evidence={"at_least": 3}), champion=champion()), LIMITS, NOW)
    assert "once 2 more monitors are in ALARM" in found.holds[0].words


def test_limits_of_settings():
    """`triggers:` are seconds; limits are milliseconds."""
    triggers = Triggers(quiet_period=30, max_wait=60, cool_down=90, max_runs_per_day=2)
    assert Limits.of(triggers) == Limits(30 * SECOND, 60 * SECOND, 90 * SECOND, 2)


def test_an_open_run_is_not_decided_about():
    """Signals that a run claims are no openers."""
    mine = data(state="claimed", run=7)
    assert wait(decide(book(mine, run=run()), LIMITS, NOW)) == ([], None)
