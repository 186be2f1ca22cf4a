"""What becomes of signals after their run, and how the model is freed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.errors import Conflict
from perennial.domain.ledger.rows import ClosedEvidence, Ending, Retry, done_key
from perennial.domain.ledger.settling import Findings, Quarantine, settle
from perennial.domain.ledger.store import Write

from tests.unit.domain.ledger_builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    book,
    champion,
    code,
    data,
    deleted,
    drift,
    ending_book,
    manual,
    model,
    review,
    run,
    schedule,
    store,
    version,
    written,
)

OVERRIDES = {"train.depth": "3"}
WON, LOST = Ending("won", ""), Ending("lost", "")
REFUSED = Ending("refused", "rows: 50 of 1,000")
FAILED = Ending("failed", "failed: TrainFailed: it raised", error="TrainFailed", cause="c")
PASSING = replace(FAILED, transient=True)
STOPPED = Ending("stopped", "stopped by ann: enough")
ALARM = "perennial-monitor-census-bias"


def mine(make=data, *args, **fields):
    """A signal that run 7 claims."""
    return make(*args, state="claimed", run=7, **fields)


def findings(*names, bad=(), **fields):
    """The findings of a run that read these objects."""
    refused = {
        version(name).id: Quarantine(version(name).parts, "no column x", ("line 2",))
        for name in bad
    }
    ids = frozenset(version(name).id for name in (*names, *bad))
    return Findings(ids, refused, **fields)


def fates(ending, *signals, found=None, **fields):
    """State by signal id after one part of settling, for run 7."""
    settlement = settle(ending_book(ending, *signals, **fields), found or findings("a.csv"), NOW)
    assert not settlement.free or not settlement.transactions
    return {r.id: r for part in settlement.transactions for r in written(part)}


def fate(ending, signal, **fields):
    """What becomes of one signal."""
    return fates(ending, signal, **fields)[signal.id]


@pytest.mark.parametrize("ending", [WON, LOST])
@pytest.mark.parametrize(
    "signal",
    [
        mine(),
        mine(schedule),
        mine(drift),
        mine(review),
        mine(manual),
        mine(code),
        mine(code, 2),
    ],
)
def test_a_verdict_consumes(ending, signal):
    """Won or lost, the run did what its signals asked for."""
    row = fate(ending, signal)
    assert (row.state, row.run, row.settled_ms) == ("consumed", 7, NOW)
    assert row.reason == f"run 7: {ending.outcome}"
    assert row.expires == (None if signal.kind == "data" else (NOW + 35 * DAY) // 1000)


@pytest.mark.parametrize(
    "signal", [mine(data, "late.csv"), mine(code, 4), mine(manual, overrides=OVERRIDES)]
)
def test_a_verdict_returns_what_it_did_not_serve(signal):
    """Data outside the dataset, newer code and other overrides wait on."""
    row = fate(WON, signal)
    assert (row.state, row.run, row.reason, row.rev) == ("pending", 7, "", 2)


def test_an_experiment_consumes_its_own_request_only():
    """A run with overrides does not count as the run that data waits for."""
    asked = mine(manual, overrides=OVERRIDES)
    found = fates(WON, asked, data(), run_fields={"overrides": OVERRIDES})
    assert {row.kind: row.state for row in found.values()} == {"manual": "consumed"}


def test_late_events_of_data_that_was_read_cost_no_run():
    """A pending object version in the dataset is settled with the run."""
    late, later = data(), data("later.csv")
    assert {r.parts[1]: r.state for r in fates(WON, late, later).values()} == {
        "incoming/census/a.csv": "consumed"
    }
    assert (fate(REFUSED, late).state, fate(REFUSED, late).run) == ("held", 7)
    assert (fate(PASSING, late).state, fate(PASSING, late).run) == ("pending", 7)
    assert fate(WON, late).run == 7


def test_what_came_back_from_this_run_is_not_settled_again():
    """Settling comes to an end: held and returned signals are left alone."""
    held = data(state="held", run=7, held_ms=NOW, reason="failed")
    settlement = settle(ending_book(FAILED, held), findings("a.csv"), NOW)
    assert not settlement.transactions
    assert settlement.free


def test_signals_of_other_runs_are_left_alone():
    """Only what this run claims is settled."""
    settlement = settle(ending_book(WON, schedule(), data("b", run=6)), findings(), NOW)
    assert not settlement.transactions


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (REFUSED, "rows: 50 of 1,000"),
        (FAILED, "failed: TrainFailed: it raised"),
        (STOPPED, "stopped by ann: enough"),
    ],
)
@pytest.mark.parametrize("signal", [mine(), mine(schedule), mine(code), mine(manual)])
def test_without_a_verdict_signals_go_on_hold(ending, reason, signal):
    """Refused, failed for good, stopped: held with the reason until something changes."""
    row = fate(ending, signal, run_fields={"settings": 2})
    assert (row.state, row.reason, row.run) == ("held", reason, 7)
    assert (row.held_ms, row.held_settings, row.rev) == (NOW, 2, 2)


def test_refused_data_that_was_not_read_waits_on():
    """An object outside the refused dataset was not judged."""
    assert fate(REFUSED, mine(data, "late.csv")).state == "pending"
    assert fate(FAILED, mine(data, "late.csv")).state == "held"


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_passing_failure_returns_all(failures):
    """Three times in a row signals go back to pending, with growing pauses."""
    row = fate(PASSING, mine(held_ms=5, reason="old"), transient_failures=failures)
    assert (row.state, row.reason, row.run, row.held_ms) == ("pending", "", 7, 0)
    freed, _ = freeing(PASSING, transient_failures=failures)
    assert freed.transient_failures == failures + 1
    assert freed.not_before_ms == NOW + [MINUTE, 5 * MINUTE, 25 * MINUTE][failures]


def test_the_fourth_passing_failure_holds():
    """A failure that keeps passing and coming back is one for people."""
    row = fate(PASSING, mine(), transient_failures=3)
    assert (row.state, row.reason) == ("held", "failed: TrainFailed: it raised")
    freed, _ = freeing(PASSING, transient_failures=3)
    assert (freed.transient_failures, freed.not_before_ms) == (0, 0)


@pytest.mark.parametrize("ending", [WON, REFUSED, FAILED, STOPPED])
def test_any_other_end_resets_the_count(ending):
    """Only failures in a row count."""
    freed, _ = freeing(ending, transient_failures=2, not_before_ms=NOW)
    assert (freed.transient_failures, freed.not_before_ms) == (0, 0)


def test_a_run_without_any_data_returns_its_signals():
    """They wait for data, which the model now knows it lacks."""
    empty = Ending("refused", "no data yet", ran=False, empty=True)
    assert fate(empty, mine(schedule), found=Findings()).state == "pending"
    freed, _ = freeing(empty)
    assert freed.has_data is False
    assert freeing(REFUSED)[0].has_data is True
    assert freeing(REFUSED, has_data=False)[0].has_data is False


@pytest.mark.parametrize("ending", [WON, REFUSED, FAILED, PASSING, STOPPED])
def test_bad_objects_are_quarantined_however_the_run_ends(ending):
    """The check's word on an object holds even if training fails later."""
    row = fate(ending, mine(), found=findings(bad=["a.csv"]))
    assert (row.state, row.reason, row.first_bad) == ("quarantined", "no column x", ("line 2",))
    assert (row.expires, row.run, row.settled_ms) == (None, 7, NOW)


def test_a_bad_object_that_was_consumed_before_is_quarantined_now():
    """Settings may have changed: what is refused today stays out of later runs."""
    known = data(state="consumed", run=3)
    found = findings(bad=["a.csv"], known={known.id: known})
    row = fates(WON, found=found)[known.id]
    assert (row.state, row.run, row.rev, row.reason) == ("quarantined", 7, 2, "no column x")
    assert (row.first_bad, row.settled_ms) == (("line 2",), NOW)


def test_a_bad_object_that_nobody_announced_is_quarantined():
    """It gets a final row of its own."""
    row = fates(WON, found=findings(bad=["a.csv"]))[version().id]
    assert (row.state, row.parts, row.kind) == ("quarantined", version().parts, "data")
    assert (row.admitted_ms, row.rev, row.first_bad, row.model) == (NOW, 1, ("line 2",), "census")


@pytest.mark.parametrize("state", ["quarantined", "excluded"])
def test_what_is_out_already_stays_as_it_is(state):
    """Settling again changes nothing."""
    known = data(state=state)
    found = findings(bad=["a.csv"], known={known.id: known})
    assert settle(ending_book(WON), found, NOW).free


def test_an_experiment_quarantines_nothing():
    """Overrides may have changed the check itself."""
    asked = mine(manual, overrides=OVERRIDES)
    pending = data()
    found = fates(
        WON, asked, pending, found=findings(bad=["a.csv"]), run_fields={"overrides": OVERRIDES}
    )
    assert set(found) == {asked.id}
    claimed = mine(data)
    row = fate(WON, claimed, found=findings(bad=["a.csv"]), run_fields={"overrides": OVERRIDES})
    assert row.state == "consumed"
    known = data(state="consumed", run=3)
    again = findings(bad=["a.csv"], known={known.id: known})
    assert settle(ending_book(WON, run_fields={"overrides": OVERRIDES}), again, NOW).free


def test_a_quarantine_is_of_an_object_version():
    """Its id is that of the version's signal."""
    assert Quarantine(version().parts, "r").id == version().id


def test_moves_are_whole():
    """A signal leaves open# and enters done# in one transaction, under its revision."""
    (part,) = settle(ending_book(WON, mine()), findings("a.csv"), NOW).transactions
    assert part == (
        Write(mine().key, 1, None),
        Write(written(part)[0].key, None, written(part)[0]),
    )
    assert deleted(part) == [f"open#{mine().id}"]


def test_many_signals_are_settled_in_parts():
    """A transaction stays below DynamoDB's hundred changes."""
    signals = [mine(data, f"{number}.csv") for number in range(81)]
    names = [f"{number}.csv" for number in range(81)]
    settlement = settle(ending_book(WON, *signals), findings(*names), NOW)
    assert [len(part) for part in settlement.transactions] == [80, 80, 2]
    assert not settlement.free


def test_only_a_run_with_an_ending_is_settled():
    """A run at work, a free model and a foreign run are no business of settling."""
    for wrong in (
        book(),
        book(run=run()),
        book(run=run(ending=WON), open_run=8),
        book(run=run(ending=WON), open_run=None),
    ):
        with pytest.raises(Conflict, match="census has no run to settle"):
            settle(wrong, Findings(), NOW)


def freeing(ending, found=None, run_fields=None, **fields):
    """Model and run row as the last transaction writes them."""
    the_book = ending_book(ending, run_fields=run_fields or {}, **fields)
    changes = settle(the_book, found or Findings(), NOW).free
    ended, freed = written(changes)
    assert [each.expect for each in changes] == [5, 10]
    assert (freed.open_run, ended.state) == (None, "ended")
    return freed, ended


def test_freeing_ends_the_run_row():
    """The row keeps how it ended and what the check found."""
    freed, ended = freeing(FAILED, findings(check={"rows": {"read": 5}}))
    assert (ended.outcome, ended.error, ended.cause) == ("failed", "TrainFailed", "c")
    assert (ended.ended_ms, ended.check, ended.rev) == (NOW, {"rows": {"read": 5}}, 6)
    assert (freed.ended_ms, freed.notices, freed.rev) == (NOW, (7,), 11)


def test_freeing_twice_conflicts():
    """A second settler with the same reading frees nothing."""
    the_book = ending_book(WON)
    table = store(the_book.model, the_book.run)
    changes = settle(the_book, Findings(), NOW).free
    table.commit(changes)
    with pytest.raises(Conflict):
        table.commit(changes)


def test_notices_are_kept_until_sent():
    """Runs whose notice is due stay listed, the newest hundred."""
    assert freeing(WON, notices=(5, 6))[0].notices == (5, 6, 7)
    many = tuple(range(200))
    assert freeing(WON, notices=many)[0].notices == (*range(101, 200), 7)


def test_a_run_that_never_started_costs_nothing():
    """Neither cool-down nor budget: nothing was trained."""
    early = Ending("refused", "nothing is left", ran=False)
    opened = (NOW - HOUR, NOW - MINUTE)
    freed, _ = freeing(early, opened_ms=opened, ended_ms=5)
    assert (freed.ended_ms, freed.opened_ms) == (5, (NOW - HOUR,))
    assert freeing(early, opened_ms=(1,))[0].opened_ms == (1,)
    assert freeing(WON, opened_ms=opened)[0].opened_ms == opened


def test_a_verdict_on_new_data_is_remembered():
    """That is what the champion may not have seen."""
    assert freeing(LOST, run_fields={"fresh": 1}, data_run=2)[0].data_run == 7
    assert freeing(LOST, data_run=2)[0].data_run == 2
    assert freeing(FAILED, run_fields={"fresh": 1}, data_run=2)[0].data_run == 2


def test_an_alarm_whose_run_kept_the_champion_is_closed():
    """Evidence is closed for an hour, then twice as long, up to thirty days."""
    alarms = {"alarms": (ALARM,), "settings": 2}
    freed, _ = freeing(LOST, run_fields=alarms, champion=champion())
    assert freed.closed == (ClosedEvidence(ALARM, 7, 2, HOUR, NOW + HOUR),)
    before = ClosedEvidence(ALARM, 5, 2, HOUR, 0)
    other = ClosedEvidence("other", 5, 2, HOUR, 0)
    freed, _ = freeing(WON, run_fields=alarms, champion=champion(), closed=(before, other))
    assert freed.closed == (other, ClosedEvidence(ALARM, 7, 2, 2 * HOUR, NOW + 2 * HOUR))
    longest = replace(before, hold_ms=29 * DAY)
    freed, _ = freeing(WON, run_fields=alarms, champion=champion(), closed=(longest,))
    assert freed.closed[0].hold_ms == 30 * DAY


@pytest.mark.parametrize(
    ("ending", "now_champion"),
    [(FAILED, champion()), (LOST, None), (WON, champion(7)), (WON, champion(8))],
)
def test_evidence_stays_open_otherwise(ending, now_champion):
    """Without a verdict, without a champion, or with a new one, nothing is closed."""
    freed, _ = freeing(ending, run_fields={"alarms": (ALARM,)}, champion=now_champion)
    assert freed.closed == ()


def test_a_retry_that_failed_in_passing_is_repeated():
    """With the same settings, after the pause; a person's newer retry goes first."""
    freed, _ = freeing(PASSING, run_fields={"retry_of": 4})
    assert freed.retry == Retry(7, "Perennial", "a passing failure", NOW + MINUTE)
    waiting = Retry(5, "ann", "again")
    assert freeing(PASSING, run_fields={"retry_of": 4}, retry=waiting)[0].retry == waiting
    assert freeing(PASSING)[0].retry is None
    assert freeing(FAILED, run_fields={"retry_of": 4})[0].retry is None
    assert freeing(FAILED, retry=waiting)[0].retry == waiting


def test_the_model_stays_what_it_was_otherwise():
    """Freeing touches nothing that it need not."""
    freed, _ = freeing(WON, wake_ms=9, cursor="c", settings=8)
    kept = replace(
        model(), rev=11, last_run=7, wake_ms=9, cursor="c", settings=8, ended_ms=NOW, notices=(7,)
    )
    assert freed == kept


def test_a_bad_object_whose_event_comes_during_the_settling_is_settled_once():
    """Its signal is admitted after the settler read: the next reading settles it, in one place."""
    found, stale, late = findings(bad=["b.csv"]), ending_book(WON), data("b.csv")
    table = store(stale.model, stale.run, late)
    (transaction,) = settle(stale, found, NOW).transactions
    with pytest.raises(Conflict):
        table.commit(transaction)
    (transaction,) = settle(ending_book(WON, late), found, NOW).transactions
    table.commit(transaction)
    assert table.get(late.key) is None
    assert table.get(done_key("census", late.id)).state == "quarantined"
