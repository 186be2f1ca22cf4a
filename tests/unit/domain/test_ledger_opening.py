"""Opening a run, step by step."""

from __future__ import annotations

import pytest
from perennial.domain.errors import Conflict
from perennial.domain.ledger import opening
from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.holding import Waiting
from perennial.domain.ledger.rows import Ending, ManifestRef, Retry, StopRequest
from perennial.domain.ledger.store import Check, MemoryStore

from tests.unit.domain.ledger_builders import (
    DAY,
    EXECUTION,
    HOUR,
    LIMITS,
    NOW,
    book,
    checks,
    claimed_run,
    code,
    data,
    deleted,
    drift,
    ended_run,
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


def step(the_book, now=NOW):
    """The next step."""
    return opening.next_step(the_book, LIMITS, now)


def test_a_free_model_opens_the_next_run():
    """Model and run row are taken together, under the model's revision."""
    old = NOW - DAY
    found = step(book(data(), opened_ms=(old, NOW - HOUR)))
    assert isinstance(found, opening.OpenRun)
    taken, opened = written(found.changes)
    assert (taken.open_run, taken.last_run, taken.rev) == (7, 7, 11)
    assert taken.opened_ms == (NOW - HOUR, NOW)
    assert (opened.number, opened.state, opened.settings, opened.rev) == (7, "opening", 3, 1)
    assert (opened.opened_ms, opened.overrides, opened.alone) == (NOW, {}, "")
    assert opened.because == ("data: incoming/census/a.csv (version v1)",)
    assert [each.expect for each in found.changes] == [10, None]
    assert found.run.number == 7


def test_two_openers_cannot_both_open():
    """The second opener's transaction conflicts, whole."""
    table = store(model(), data())
    first = step(read_book(table, "census"))
    second = step(read_book(table, "census"))
    table.commit(first.changes)
    with pytest.raises(Conflict):
        table.commit(second.changes)


def test_a_waiting_model_waits():
    """What holds signals back is passed on."""
    assert isinstance(step(book(data(admitted_ms=NOW))), Waiting)


def test_a_request_with_settings_opens_its_own_run():
    """The run carries the overrides and serves that signal alone."""
    asked = manual(overrides=OVERRIDES)
    opened = written(step(book(asked, data())).changes)[1]
    assert (opened.overrides, opened.alone) == (OVERRIDES, asked.id)
    assert opened.because == ("asked by ann with train.depth=3: to see",)


def test_a_retry_has_the_settings_of_the_run_it_repeats():
    """Old settings and overrides come back; the request is used up."""
    retry = Retry(4, "ann", "again")
    repeated = ended_run("failed", 4, settings=2, overrides=OVERRIDES)
    found = step(Book(model(retry=retry), (), None, repeated))
    taken, opened = written(found.changes)
    assert taken.retry is None
    assert (opened.settings, opened.overrides, opened.retry_of) == (2, OVERRIDES, 4)
    assert opened.because == ("retry of run 4, asked by ann: again",)


def test_a_waiting_retry_survives_other_runs():
    """Another run that goes first leaves the request alone."""
    retry = Retry(4, "Perennial", "a passing failure", NOW + 1)
    found = step(Book(model(retry=retry), (manual(),), None, ended_run("failed", 4, settings=2)))
    taken, opened = written(found.changes)
    assert (taken.retry, opened.retry_of, opened.settings) == (retry, None, 3)


def test_signals_are_tagged_under_the_run_row():
    """Tagging checks the run row as it was read: a slow opener cannot tag any more."""
    found = step(book(data(), run=run()))
    assert isinstance(found, opening.TagSignals)
    (transaction,) = found.transactions
    assert checks(transaction) == [Check(run().key, 5)]
    (tagged,) = written(transaction)
    assert (tagged.state, tagged.run, tagged.rev) == ("claimed", 7, 2)


def test_many_signals_are_tagged_in_parts():
    """A transaction stays below DynamoDB's hundred changes."""
    signals = [data(f"{number}.csv") for number in range(95)]
    parts = step(book(*signals, run=run())).transactions
    assert [len(part) for part in parts] == [41, 41, 16]
    assert len({row.id for part in parts for row in written(part)}) == 95


@pytest.mark.parametrize(
    ("signal", "fields", "expected"),
    [
        (data(), {}, True),
        (data(state="held", run=6), {}, True),
        (data(state="claimed", run=6), {}, False),
        (schedule(), {}, True),
        (drift(), {}, True),
        (manual(), {}, True),
        (manual(overrides=OVERRIDES), {}, False),
        (code(3), {}, True),
        (code(4), {}, False),
        (data(), {"alone": manual(overrides=OVERRIDES).id}, False),
        (manual(overrides=OVERRIDES), {"alone": manual(overrides=OVERRIDES).id}, True),
        (data(run=4), {"retry_of": 4}, True),
        (data(run=5), {"retry_of": 4}, False),
        (data(), {"retry_of": 4}, False),
        (manual(overrides=OVERRIDES, run=4, state="held"), {"retry_of": 4}, True),
        (data(run=4, state="claimed"), {"retry_of": 4}, False),
    ],
)
def test_which_signals_a_run_takes(signal, fields, expected):
    """A run takes all that is common, or its one signal, or those of the run it repeats."""
    assert opening.is_claimable(signal, run(**fields)) is expected


def test_the_manifest_comes_when_all_are_tagged():
    """With nothing left to tag the dataset is fixed."""
    mine, late_code = data(state="claimed", run=7), code(4)
    found = step(book(mine, late_code, run=run()))
    assert found == opening.WriteManifest(run(), (mine,))


def test_a_retry_needs_no_signals():
    """A retry is wanted even if its signals were settled since."""
    assert step(book(run=run(retry_of=4))) == opening.WriteManifest(run(retry_of=4), ())


def test_a_run_that_lost_its_reasons_ends_before_it_starts():
    """If everything that called for it was withdrawn, a run ends without an execution."""
    found = step(book(run=run()))
    assert isinstance(found, opening.RecordEnding)
    (ended,) = written(found.changes)
    assert (ended.ending.outcome, ended.ending.ran, ended.ending.at_ms) == ("refused", False, NOW)
    assert ended.ending.words == (
        "nothing is left to learn: what called for this run was withdrawn"
    )


@pytest.mark.parametrize("state", ["opening", "claimed"])
def test_a_run_is_stopped_before_it_starts(state):
    """A stop that comes before the start ends the run without one."""
    found = step(book(data(), run=run(state=state, stop=StopRequest("ann", "enough"))))
    assert isinstance(found, opening.RecordEnding)
    (ended,) = written(found.changes)
    assert (ended.ending.outcome, ended.ending.ran) == ("stopped", False)
    assert ended.ending.words == "stopped by ann: enough"


def test_a_claimed_run_starts_its_execution():
    """Whoever comes by starts what is claimed."""
    assert step(book(run=claimed_run())) == opening.StartExecution(claimed_run())


def test_a_started_run_is_watched():
    """Late signals change nothing about a run at work, nor does a stop that is under way."""
    started = claimed_run(state="started", stop=StopRequest("ann", "enough"))
    assert step(book(data(), run=started)) == opening.Watch(started)


@pytest.mark.parametrize("state", ["opening", "claimed", "started"])
def test_a_run_with_an_ending_is_settled(state):
    """From the moment an ending is recorded nothing else happens to the run."""
    over = run(state=state, ending=Ending("failed", "w"), stop=StopRequest("ann", "enough"))
    assert step(book(data(), run=over)) == opening.Settle(over)


def test_retiring_what_is_gone():
    """Overwritten is superseded, deleted is withdrawn, not selected is withdrawn with a reason."""
    kept, overwritten = data("kept.csv"), data("over.csv")
    gone, left_out = data("gone.csv"), data("left.txt")
    other = schedule()
    current = [version("kept.csv"), version("over.csv", 2), version("left.txt")]
    claimed = (kept, overwritten, gone, left_out, other)
    dataset = opening.Dataset(tuple(current), {kept.id})
    assert (dataset.outside, dataset.window) == ((), "")
    (part,) = opening.retire(run(), claimed, dataset, NOW)
    assert checks(part) == [Check(run().key, 5)]
    fates = {row.parts[1]: (row.state, row.reason, row.settled_ms) for row in written(part)}
    assert fates == {
        "incoming/census/over.csv": ("superseded", "overwritten before its run", NOW),
        "incoming/census/gone.csv": ("withdrawn", "deleted before its run", NOW),
        "incoming/census/left.txt": ("withdrawn", "left out by settings 3 (data.select)", NOW),
    }
    assert sorted(deleted(part)) == sorted(f"open#{s.id}" for s in (overwritten, gone, left_out))
    assert all(row.rev == 2 for row in written(part))


def test_retiring_what_the_window_leaves_out():
    """It is excluded with the window's words; what another setting leaves out names that one."""
    old, other = data("old.csv"), data("other.csv")
    current = (version("old.csv"), version("other.csv"))
    dataset = opening.Dataset(current, (), {old.id}, "the last 30d", "data.sources")
    (part,) = opening.retire(run(), (old, other), dataset, NOW)
    assert [(row.state, row.reason, row.run, row.settled_ms) for row in written(part)] == [
        ("excluded", "outside the data window (the last 30d)", None, NOW),
        ("withdrawn", "left out by settings 3 (data.sources)", None, NOW),
    ]
    outside, withdrawn = written(part)
    assert opening.is_outside(outside)
    assert not opening.is_outside(withdrawn)
    assert not opening.is_outside(data(state="excluded", reason="excluded by ann: wrong year"))
    assert not opening.is_outside(data(state="held", reason="outside the data window (x)"))


def outside(name, **fields):
    """A data signal that an earlier run's window left out."""
    reason = "outside the data window (the last 30d)"
    return data(name, state="excluded", reason=reason, run=3, settled_ms=5, **fields)


def test_a_wider_window_brings_objects_back():
    """What the manifest lists is claimed, under the run row; what a person excluded stays out."""
    back, still = outside("back.csv"), outside("still.csv")
    person = data("person.csv", state="excluded", reason="excluded by ann: wrong year")
    listed = {back.id, person.id}
    (part,) = opening.bring_back(run(), (back, still, person), listed, NOW)
    assert checks(part) == [Check(run().key, 5)]
    (row,) = written(part)
    assert (row.id, row.state, row.reason, row.run) == (back.id, "claimed", "", 7)
    assert (row.admitted_ms, row.settled_ms, row.rev) == (NOW, None, 2)
    assert deleted(part) == [f"done#{back.id}"]
    assert opening.bring_back(run(), (still,), listed, NOW) == ()
    assert opening.bring_back(run(overrides=OVERRIDES), (back,), listed, NOW) == ()


def facts(objects=1, nothing=""):
    """A manifest and what goes with it."""
    reference = ManifestRef("s3://m", "d", objects, 10)
    return opening.Claim(reference, '{"run":7}', EXECUTION, nothing)


def test_claiming_fixes_the_work():
    """Manifest, input and execution are written once, with what the run will teach."""
    claimed = (data(), review(), drift(), drift("perennial-monitor-census-bias"), schedule())
    (claimed_row,) = written(opening.claim(run(), claimed, facts(), NOW))
    assert (claimed_row.state, claimed_row.claimed_ms, claimed_row.rev) == ("claimed", NOW, 6)
    assert claimed_row.manifest == ManifestRef("s3://m", "d", 1, 10)
    assert (claimed_row.input, claimed_row.execution) == ('{"run":7}', EXECUTION)
    assert (claimed_row.fresh, claimed_row.alarms) == (2, ("perennial-monitor-census-bias",))
    assert claimed_row.because[-1] == "data: incoming/census/a.csv (version v1)"


def test_a_retry_keeps_its_reason():
    """Claiming does not replace the words of a retry."""
    retry = run(retry_of=4, because=("retry of run 4",))
    (row,) = written(opening.claim(retry, (data(),), facts(), NOW))
    assert row.because == ("retry of run 4",)


def test_no_object_at_all_ends_the_run():
    """A run without any data ends before it starts, and the model knows that it has none."""
    (row,) = written(opening.claim(run(), (data(),), facts(0), NOW))
    assert row.state == "opening"
    assert row.ending == Ending(
        "refused",
        "no data yet: nothing of census is left to read",
        ran=False,
        empty=True,
        at_ms=NOW,
    )


def test_no_object_in_the_window_ends_the_run_too():
    """Not for want of data: the signals wait on hold for newer data or other settings."""
    (row,) = written(opening.claim(run(), (), facts(0, "no data in the data window"), NOW))
    assert row.ending == Ending("refused", "no data in the data window", ran=False, at_ms=NOW)
    assert facts() == opening.Claim(ManifestRef("s3://m", "d", 1, 10), '{"run":7}', EXECUTION)


def test_the_first_claim_wins():
    """Two openers with two manifests: one of them conflicts."""
    table = store(run())
    table.commit(opening.claim(run(), (), facts(), NOW))
    with pytest.raises(Conflict):
        table.commit(opening.claim(run(), (), facts(2), NOW))


def test_noting_the_start():
    """The run row says that and when it was started."""
    (row,) = written(opening.mark_started(claimed_run(), NOW))
    assert (row.state, row.started_ms, row.rev) == ("started", NOW, 6)


def test_a_start_that_may_pass_is_tried_for_an_hour():
    """Then it is given up as a passing failure, so that the model is never stuck."""
    waiting = claimed_run(opened_ms=NOW - HOUR + 1)
    assert opening.start_failed(waiting, "throttled", NOW, final=False) == ()
    late = claimed_run(opened_ms=NOW - HOUR)
    (row,) = written(opening.start_failed(late, "throttled", NOW, final=False))
    assert row.ending == Ending(
        "failed",
        "failed: run 7 could not be started: throttled",
        ran=False,
        transient=True,
        error="StartRefused",
        at_ms=NOW,
    )


def test_a_start_that_cannot_succeed_ends_the_run():
    """A refused start is a deterministic failure at once."""
    (row,) = written(opening.start_failed(claimed_run(), "bad input", NOW, final=True))
    assert (row.ending.outcome, row.ending.transient, row.ending.ran) == ("failed", False, False)


def test_reading_a_book():
    """A book holds the model, what is open, the open run and the run to be repeated."""
    table = store(
        model(open_run=7, retry=Retry(4, "ann", "again")),
        data(),
        data("b", state="consumed"),
        run(),
        ended_run("failed", 4),
    )
    found = read_book(table, "census")
    assert (found.run, found.retried) == (run(), ended_run("failed", 4))
    assert [s.parts[1] for s in found.signals] == ["incoming/census/a.csv"]
    assert found.claimed == ()
    mine = data(state="claimed", run=7)
    assert book(mine, data("b", state="claimed", run=6), data("c", run=7), run=run()).claimed == (
        mine,
    )


def test_a_book_that_changed_while_it_was_read():
    """A run that ended between the reads calls for reading again."""
    with pytest.raises(Conflict, match="run 7 of census ended while it was read"):
        read_book(store(model(open_run=7), ended_run("won")), "census")
    with pytest.raises(Conflict):
        read_book(store(model(open_run=7)), "census")


def test_no_book_of_an_unknown_or_removed_model():
    """There is nothing to decide about."""
    assert read_book(MemoryStore(), "census") is None
    assert read_book(store(model(removed_ms=NOW)), "census") is None


def test_a_run_is_read_before_the_signals_that_it_claims():
    """Whoever sees a run past its opening must see everything that it claimed."""
    asked = []

    class Recording(MemoryStore):
        def get(self, key):
            asked.append(key.sk)
            return super().get(key)

        def query(self, pk, sk_prefix):
            asked.append(sk_prefix)
            return super().query(pk, sk_prefix)

    table = Recording()
    for change in (store(model(open_run=7), run()),):
        for row in (*change.query("model#census", "model"), *change.query("model#census", "run#")):
            table._put(row.key, row)
    read_book(table, "census")
    assert asked == ["model", "run#000007", "open#"]
