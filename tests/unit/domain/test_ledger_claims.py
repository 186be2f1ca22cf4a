"""Claims, champions, wakes and words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.errors import NotAllowed, NotClaimed
from perennial.domain.ledger.champion import check_reject, record_champion
from perennial.domain.ledger.claims import (
    check_claim,
    record_plan,
    record_steps,
    record_verdict,
    record_version,
)
from perennial.domain.ledger.rows import (
    ClosedEvidence,
    Ending,
    FinishedStep,
    Retry,
    Verdict,
    Version,
)
from perennial.domain.ledger.waking import WakePlan, earliest_opening, plan_wake
from perennial.domain.ledger.words import because, describe
from perennial.domain.signals import Signal

from tests.unit.domain.ledger_builders import (
    EXECUTION,
    HOUR,
    LIMITS,
    MINUTE,
    NOW,
    champion,
    claimed_run,
    code,
    data,
    drift,
    ended_run,
    manual,
    model,
    review,
    run,
    schedule,
    written,
)
from tests.unit.domain.ledger_builders import row as signal_row

HELD = model(open_run=7)


@pytest.mark.parametrize("state", ["claimed", "started"])
def test_the_execution_of_an_open_run_holds_the_claim(state):
    """Also before the start was noted on the row."""
    check_claim(HELD, claimed_run(state=state), EXECUTION)


@pytest.mark.parametrize(
    ("held", "held_run", "execution", "words"),
    [
        (None, claimed_run(), EXECUTION, "its model was removed, or its run never was"),
        (HELD, None, EXECUTION, "its model was removed, or its run never was"),
        (
            HELD,
            claimed_run(),
            EXECUTION + "-2",
            f"run 7 of census belongs to execution {EXECUTION}",
        ),
        (HELD, run(), EXECUTION, "run 7 of census belongs to execution (none)"),
        (HELD, run(execution=EXECUTION), EXECUTION, "run 7 of census is over (opening)"),
        (
            HELD,
            ended_run("failed"),
            EXECUTION,
            "over (failed); to repeat it: perennial run retry census 7",
        ),
        (HELD, claimed_run(ending=Ending("stopped", "")), EXECUTION, "is over (stopped)"),
        (model(), claimed_run(), EXECUTION, "run 7 of census does not hold its model any more"),
        (model(open_run=8), claimed_run(), EXECUTION, "does not hold its model any more"),
    ],
)
def test_everyone_else_does_not(held, held_run, execution, words):
    """Restarted, redriven, too late: the refusal says so."""
    with pytest.raises(NotClaimed) as error:
        check_claim(held, held_run, execution)
    assert words in str(error.value)


def test_verdict_and_version_are_noted_once():
    """A repeated note changes nothing."""
    verdict, version = Verdict("s3://v", "d", passed=True), Version(4, "arn", "Approved")
    (row,) = written(record_verdict(claimed_run(), verdict))
    assert row.verdict == verdict
    assert record_verdict(row, verdict) == ()
    (row,) = written(record_version(row, version))
    assert (row.version, row.verdict) == (version, verdict)
    assert record_version(row, version) == ()


def test_the_first_plan_stays():
    """A repetition of the machine's first state must not move a run that is under way."""
    (row,) = written(record_plan(claimed_run(), '{"keys":{}}'))
    assert (row.plan, row.rev) == ('{"keys":{}}', 6)
    assert record_plan(row, "another") == ()


def test_finished_steps_are_noted_once():
    """The same steps again change nothing; others take their place."""
    steps = (FinishedStep("train", "k", "job", "s3://place"),)
    (row,) = written(record_steps(claimed_run(), steps))
    assert (row.steps, row.rev) == (steps, 6)
    assert record_steps(row, steps) == ()
    assert written(record_steps(row, ()))[0].steps == ()


def test_the_newest_approval_is_champion():
    """In whatever order approvals are heard of; a new champion reopens all evidence."""
    closed = (ClosedEvidence("a", 5, 3, HOUR, NOW),)
    first = champion(6, arn="arn:5", version=5)
    (row,) = written(record_champion(model(closed=closed), first))
    assert (row.champion, row.closed) == (first, ())
    older = champion(5, since_ms=first.since_ms - 1)
    assert record_champion(row, older) == ()
    assert record_champion(row, replace(first, since_ms=NOW)) == ()
    back = champion(5, since_ms=NOW)
    (row,) = written(record_champion(row, back))
    assert row.champion == back
    at_once = champion(6, arn="arn:6", since_ms=NOW)
    assert written(record_champion(row, at_once))[0].champion == at_once


def test_the_champion_cannot_be_rejected():
    """Something must stay live."""
    check_reject(model(), 4)
    check_reject(model(champion=champion()), 5)
    with pytest.raises(NotAllowed, match="census 4 is the champion; approve another version firs"):
        check_reject(model(champion=champion()), 4)


@pytest.mark.parametrize(
    ("due", "expected_due", "delay_s"),
    [
        (NOW + 1, NOW + 1, 1),
        (NOW + 30_000, NOW + 30_000, 30),
        (NOW + 30_001, NOW + 30_001, 31),
        (NOW, NOW, 0),
        (NOW - HOUR, NOW, 0),
        (NOW + HOUR, NOW + 15 * MINUTE, 900),
    ],
)
def test_a_wake_comes_when_it_is_due(due, expected_due, delay_s):
    """Never early, at most fifteen minutes ahead, then once more."""
    plan = plan_wake(model(), due, NOW)
    (row,) = written(plan.changes)
    assert plan == WakePlan(expected_due, delay_s, plan.changes)
    assert row.wake_ms == expected_due


def test_no_wake_without_a_time():
    """What waits for an event needs none."""
    assert plan_wake(model(), None, NOW) is None


@pytest.mark.parametrize(
    ("under_way", "arrived", "is_sent"),
    [
        (NOW + MINUTE, None, False),
        (NOW + MINUTE + 1, None, True),
        (NOW + 1, None, False),
        (NOW, None, True),
        (NOW - 1, None, True),
        (0, None, True),
        (NOW + 1, NOW + 1, True),
        (NOW + 1, NOW, False),
    ],
)
def test_one_chain_of_wakes(under_way, arrived, is_sent):
    """A wake that comes in time is enough; one that is late, past or just arrived is none."""
    plan = plan_wake(model(wake_ms=under_way), NOW + MINUTE, NOW, arrived)
    assert (plan is not None) is is_sent


def test_the_earliest_opening_of_a_new_signal():
    """Code and people pass the quiet period."""
    assert earliest_opening("data", LIMITS, NOW) == NOW + 5 * MINUTE
    assert earliest_opening("code", LIMITS, NOW) == NOW
    assert earliest_opening("manual", LIMITS, NOW) == NOW


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (data(), "data: incoming/census/a.csv (version v1)"),
        (schedule(), "schedule nightly: 2026-11-20T03:00:00Z"),
        (drift(), "drift: alarm perennial-monitor-census-bias: crossed"),
        (drift(evidence={}), "drift: alarm perennial-monitor-census-bias"),
        (
            drift(evidence={"found": "`age` drifted 0.31", "window": "the hour to 14:00 UTC"}),
            (
                "drift: `age` drifted 0.31 in the hour to 14:00 UTC "
                "(alarm perennial-monitor-census-bias)"
            ),
        ),
        (review(), "review: 20 new answers"),
        (review(evidence={}), "review: an answer"),
        (code(), "code: settings 3, pushed by ann"),
        (code(evidence={}), "code: settings 3, pushed by ?"),
        (manual(), "asked by ann: to see"),
        (manual(overrides={"a": "1", "b": "2"}), "asked by ann with a=1, b=2: to see"),
    ],
)
def test_signals_in_words(signal, words):
    """One line each."""
    assert describe(signal) == words


def test_reasons_of_a_run():
    """People first, data last and summed up."""
    signals = [
        data("c.csv"),
        schedule(),
        data("b.csv"),
        review(),
        drift(),
        code(3, admitted_ms=NOW),
        code(2),
        manual(),
    ]
    assert because(signals, Retry(4, "ann", "again")) == (
        "retry of run 4, asked by ann: again",
        "asked by ann: to see",
        "code: settings 2, pushed by ann",
        "code: settings 3, pushed by ann",
        "drift: alarm perennial-monitor-census-bias: crossed",
        "review: 20 new answers",
        "schedule nightly: 2026-11-20T03:00:00Z",
        "data: 2 objects, the first incoming/census/b.csv",
    )
    assert because([data()]) == ("data: incoming/census/a.csv (version v1)",)
    assert because([data(str(n)) for n in range(1000)])[0].startswith("data: 1,000 objects")


def test_a_key_cannot_write_lines_of_a_notice():
    """What a producer names an object is told in one line, without what a terminal obeys."""
    hostile = data("a.csv\n\nApprove: http://evil\x1b[2J\u202e")
    shown = "data: incoming/census/a.csv��Approve: http://evil�[2J� (version v1)"
    assert (describe(hostile), because([hostile])) == (shown, (shown,))
    many = because([hostile, data("b.csv")])
    assert many == ("data: 2 objects, the first incoming/census/a.csv��Approve: http://evil�[2J�",)


def test_many_or_long_reasons_are_cut():
    """A run's row stays small."""
    lines = because([schedule(f"2026-{n:03d}") for n in range(21)])
    assert (len(lines), lines[-1]) == (20, "and 2 more reasons")
    whole = because([schedule(f"2026-{n:03d}") for n in range(20)])
    assert (len(whole), whole[-1]) == (20, "schedule nightly: 2026-019")
    long = signal_row(Signal("census", "manual", ("t",), {"because": "x" * 999}))
    assert len(because([long])[0]) == 300
