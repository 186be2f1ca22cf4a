"""What people ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger import commands
from perennial.domain.ledger.admit import Known
from perennial.domain.ledger.rows import (
    Ending,
    ModelRow,
    Paused,
    Retry,
    StopRequest,
    done_key,
    open_key,
)
from perennial.domain.ledger.store import Check

from tests.unit.domain.ledger_builders import (
    DAY,
    NOW,
    champion,
    claimed_run,
    data,
    deleted,
    ended_run,
    model,
    run,
    settings_row,
    written,
)


def test_the_first_push_makes_the_model():
    """Model, settings and code signal come to be together."""
    number, changes = commands.publish(None, None, settings_row(0))
    top, published, signal = written(changes)
    assert number == 1
    assert (top, published.version, published.rev) == (ModelRow("census", 1, settings=1), 1, 1)
    assert (signal.kind, signal.parts, signal.state) == ("code", ("1",), "pending")
    assert (signal.admitted_ms, signal.evidence, signal.rev) == (NOW, {"by": "ann"}, 1)
    assert changes[-1] == Check(done_key("census", signal.id), None)


def test_a_new_model_counts_on_from_names_that_are_taken():
    """A ledger that was lost does not make AWS forget the names of executions."""
    first = written(commands.publish(None, None, settings_row(0), taken=(41, 7))[1])[0]
    assert (first.last_run, first.last_release) == (41, 7)
    kept = written(commands.publish(model(), settings_row(), settings_row(code_sha="b"))[1])[0]
    assert kept.last_run == 6


def test_pushing_unchanged_content_publishes_nothing():
    """The same code archive is the same settings."""
    assert commands.publish(model(), settings_row(), settings_row()) == (3, ())


def test_a_push_publishes_the_next_version():
    """Everything of the push is kept under the new number."""
    new = settings_row(0, code_sha="new", code="s3://new", settings="{1}", pushed_by="bob")
    number, changes = commands.publish(model(), settings_row(), new)
    top, published, signal = written(changes)
    assert (number, top.settings, top.rev, signal.parts) == (4, 4, 11, ("4",))
    assert published == replace(new, version=4, rev=1)
    assert [each.expect for each in changes[:3]] == [10, None, None]


def test_push_a_b_a_gives_three_signals():
    """Ids count versions, not contents."""
    top, current, ids = None, None, []
    for sha in ("a", "b", "a"):
        _, changes = commands.publish(top, current, settings_row(0, code_sha=sha))
        top, current, signal = written(changes)
        ids.append(signal.id)
    assert len(set(ids)) == 3
    assert current.version == 3


def test_a_removed_model_comes_back_with_its_counters():
    """Numbers of runs and settings are never used twice."""
    removed = model(removed_ms=NOW, expires=5)
    number, changes = commands.publish(removed, None, settings_row(0))
    top = written(changes)[0]
    assert (number, top.settings, top.last_run) == (4, 4, 6)
    assert (top.removed_ms, top.expires) == (None, None)


def test_pause_and_resume():
    """Who paused, why and when is kept; resuming twice is nothing."""
    (row,) = written(commands.pause(model(), "bob", "holidays", NOW))
    assert row.paused == Paused("bob", "holidays", NOW)
    (again,) = written(commands.resume(row))
    assert (again.paused, again.rev) == (None, 12)
    assert commands.resume(again) == ()


@pytest.mark.parametrize("outcome", ["refused", "failed", "stopped", "not_claimed"])
def test_a_run_without_verdict_can_be_retried(outcome):
    """The request waits on the model's row; asked twice it is one."""
    (row,) = written(commands.request_retry(model(), ended_run(outcome), "ann", "again"))
    assert row.retry == Retry(7, "ann", "again")
    assert commands.request_retry(row, ended_run(outcome), "bob", "too") == ()


@pytest.mark.parametrize(
    ("repeated", "words"),
    [
        (run(), "run 7 of census has not ended; `perennial run stop` ends it"),
        (ended_run("won"), "run 7 of census reached its verdict (won); `perennial retrain census`"),
        (ended_run("lost"), "reached its verdict (lost)"),
    ],
)
def test_other_runs_cannot_be_retried(repeated, words):
    """The refusal says what to do instead."""
    with pytest.raises(NotAllowed) as error:
        commands.request_retry(model(), repeated, "ann", "again")
    assert words in str(error.value)


def test_one_retry_at_a_time():
    """A second one is refused by name."""
    busy = model(retry=Retry(4, "bob", "x"))
    with pytest.raises(NotAllowed, match="a retry of run 4 of census is waiting; it goes first"):
        commands.request_retry(busy, ended_run("failed"), "ann", "again")


def test_stopping_a_run():
    """Asked once; a run that is ending cannot be stopped any more."""
    (row,) = written(commands.stop(claimed_run(), "ann", "enough"))
    assert row.stop == StopRequest("ann", "enough")
    assert commands.stop(row, "bob", "me too") == ()
    assert commands.stop(run(ending=Ending("won", "")), "ann", "enough") == ()
    with pytest.raises(NotAllowed, match=r"run 7 of census has ended \(won\)"):
        commands.stop(ended_run("won"), "ann", "enough")


@pytest.mark.parametrize("state", ["pending", "held"])
def test_a_waiting_object_is_excluded(state):
    """It leaves the open signals, with who and why."""
    waiting = data(state=state)
    changes = commands.exclude(data().signal, Known(open=waiting), "ann", "wrong year", NOW)
    (row,) = written(changes)
    assert (row.state, row.reason) == ("excluded", "excluded by ann: wrong year")
    assert (row.settled_ms, row.rev, deleted(changes)) == (NOW, 2, [waiting.key.sk])


def test_a_settled_or_unknown_object_is_excluded():
    """Later runs leave it out; excluding twice is nothing."""
    known = Known(done=data(state="consumed"))
    (row,) = written(commands.exclude(data().signal, known, "ann", "wrong year", NOW))
    assert (row.state, row.rev) == ("excluded", 2)
    assert commands.exclude(data().signal, Known(done=row), "ann", "wrong year", NOW) == ()
    changes = commands.exclude(data().signal, Known(), "ann", "wrong year", NOW)
    (new,) = written(changes)
    assert (new.state, new.rev, new.kind, new.admitted_ms) == ("excluded", 1, "data", NOW)
    assert changes[1:] == (Check(open_key("census", new.id), None),)


OUTSIDE = data(state="excluded", reason="outside the data window (the last 30d)")


def test_an_object_outside_the_window_is_excluded():
    """A person's word replaces the window's: a wider one does not bring the object back."""
    known = Known(done=OUTSIDE)
    (row,) = written(commands.exclude(data().signal, known, "ann", "wrong year", NOW))
    assert (row.state, row.reason) == ("excluded", "excluded by ann: wrong year")


def test_an_object_outside_the_window_cannot_be_included():
    """Its run would leave it out again; the words name the setting that helps."""
    with pytest.raises(NotAllowed) as caught:
        commands.include(data().signal, Known(done=OUTSIDE), NOW)
    assert str(caught.value) == (
        "incoming/census/a.csv lies outside the data window (the last 30d); a wider data.window "
        "in model.yaml takes it in"
    )


def test_an_object_in_a_run_cannot_be_excluded():
    """The run is named, and what to do."""
    with pytest.raises(NotAllowed) as error:
        commands.exclude(data().signal, Known(open=data(state="claimed", run=7)), "a", "b", NOW)
    assert str(error.value) == (
        "run 7 of census is reading incoming/census/a.csv; stop the run, or exclude the object "
        "when the run has ended"
    )


@pytest.mark.parametrize("state", ["excluded", "quarantined"])
def test_an_object_comes_back_as_a_signal(state):
    """It is checked anew, as a reason of now; its revision goes on."""
    final = data(state=state, reason="r", run=3, settled_ms=5, first_bad=("x",), expires=9, rev=4)
    changes = commands.include(data().signal, Known(done=final), NOW)
    (row,) = written(changes)
    assert row == data(admitted_ms=NOW, rev=5)
    assert deleted(changes) == [final.key.sk]


@pytest.mark.parametrize("known", [Known(), Known(open=data()), Known(done=data(state="consumed"))])
def test_only_what_is_out_can_come_back(known):
    """The refusal names the object."""
    with pytest.raises(NotAllowed, match="is neither excluded nor quarantined"):
        commands.include(data().signal, known, NOW)


def test_a_removed_model_leaves_its_counters():
    """For a hundred days, longer than a name of an execution is taken."""
    full = model(champion=champion(), paused=Paused("a", "b", 1), opened_ms=(NOW,), has_data=True)
    (row,) = written(commands.forget(full, NOW))
    assert row == ModelRow(
        "census", 11, settings=3, last_run=6, removed_ms=NOW, expires=(NOW + 100 * DAY) // 1000
    )
    with pytest.raises(NotAllowed, match="run 7 of census is at work; `perennial run stop` ends"):
        commands.forget(model(open_run=7), NOW)
    with pytest.raises(NotAllowed, match="release 3 of census is at work; it has to end first"):
        commands.forget(model(open_release=3), NOW)
    (row,) = written(commands.forget(model(last_release=3), NOW))
    assert row.last_release == 3
