"""Each signal counts once."""

from __future__ import annotations

import pytest
from perennial.domain.errors import Conflict
from perennial.domain.ledger.admit import (
    Known,
    admit,
    forget_gone,
    is_remembered,
    observe_old,
    read_known,
)
from perennial.domain.ledger.rows import done_key, open_key
from perennial.domain.ledger.store import Check, MemoryStore

from tests.unit.domain.ledger_builders import (
    DAY,
    NOW,
    code,
    data,
    deleted,
    manual,
    model,
    schedule,
    store,
    written,
)


def test_a_new_signal_is_admitted_pending():
    """Its id must be in neither place when it is written."""
    found = admit(data().signal, model(), Known(), NOW)
    (row,) = written(found.changes)
    assert found.status == "new"
    assert (row.state, row.admitted_ms, row.rev, row.run) == ("pending", NOW, 1, None)
    assert (row.id, row.kind, row.parts, row.evidence) == (
        data().id,
        "data",
        data().parts,
        data().evidence,
    )
    assert found.changes[0].expect is None
    assert found.changes[1:] == (Check(done_key("census", row.id), None),)


def test_the_first_data_is_noted_on_the_model():
    """Other kinds do not make data; known data is not noted again."""
    first = admit(data().signal, model(has_data=False), Known(), NOW)
    assert [row.has_data for row in written(first.changes)[1:]] == [True]
    other = admit(schedule().signal, model(has_data=False), Known(), NOW)
    assert len(written(other.changes)) == 1


@pytest.mark.parametrize(
    "known",
    [
        Known(open=data()),
        Known(open=data(state="claimed", run=7)),
        Known(done=data(state="consumed")),
        Known(done=data(state="quarantined")),
        Known(done=data(state="excluded")),
        Known(done=schedule(state="consumed", expires=NOW // 1000 + 1)),
    ],
)
def test_a_known_signal_counts_once(known):
    """A duplicate changes nothing."""
    found = admit(data().signal, model(), known, NOW)
    assert (found.status, found.changes) == ("known", ())


def test_a_forgotten_id_counts_anew():
    """After 35 days the time decides, even if the row is still there; its revision goes on."""
    old = schedule(state="consumed", expires=NOW // 1000, rev=6)
    found = admit(schedule().signal, model(), Known(done=old), NOW)
    (row,) = written(found.changes)
    assert (found.status, row.rev) == ("new", 7)
    assert deleted(found.changes) == [old.key.sk]
    assert not is_remembered(old, NOW)
    assert is_remembered(old, NOW - 1)
    assert is_remembered(data(state="consumed"), NOW)


def test_code_of_the_future_is_not_admitted():
    """A version that was never published is no reason for a run."""
    assert admit(code(4).signal, model(), Known(), NOW).status == "ahead"
    assert admit(code(4).signal, model(), Known(), NOW).changes == ()
    assert admit(code(3).signal, model(), Known(), NOW).status == "new"
    assert admit(manual("9").signal, model(), Known(), NOW).status == "new"


def test_two_that_admit_the_same_signal():
    """The slower one conflicts, also when a run consumed the signal in between."""
    table = MemoryStore()
    changes = admit(data().signal, model(), read_known(table, data().signal), NOW).changes
    table.commit(changes)
    with pytest.raises(Conflict):
        table.commit(changes)
    settled = store(data(state="consumed"))
    with pytest.raises(Conflict):
        settled.commit(changes)


def test_reading_what_is_known():
    """Both places are looked at."""
    signal = data().signal
    assert read_known(MemoryStore(), signal) == Known()
    assert read_known(store(data()), signal) == Known(open=data())
    final = data(state="consumed")
    assert read_known(store(final), signal) == Known(done=final)


@pytest.mark.parametrize(
    ("is_overwritten", "state", "reason"),
    [
        (True, "superseded", "overwritten before its run"),
        (False, "withdrawn", "deleted before its run"),
    ],
)
def test_an_old_version_is_accounted_for(is_overwritten, state, reason):
    """Whether it waited or was never heard of, it gets its final row."""
    waiting = data(state="held", run=6)
    moved = observe_old(data().signal, Known(open=waiting), NOW, is_overwritten=is_overwritten)
    (row,) = written(moved)
    assert (row.state, row.reason, row.settled_ms, row.rev) == (state, reason, NOW, 2)
    assert deleted(moved) == [waiting.key.sk]
    new = observe_old(data().signal, Known(), NOW, is_overwritten=is_overwritten)
    (row,) = written(new)
    assert (row.state, row.reason, row.settled_ms, row.rev) == (state, reason, NOW, 1)
    assert (row.admitted_ms, row.kind, row.parts) == (NOW, "data", data().parts)
    assert new[1:] == (Check(open_key("census", row.id), None),)


def test_an_old_version_in_a_run_is_left_to_it():
    """A claimed one is settled by its run, a settled one is settled."""
    claimed = Known(open=data(state="claimed", run=7))
    final = Known(done=data(state="consumed"))
    for known in (claimed, final):
        assert observe_old(data().signal, known, NOW, is_overwritten=True) == ()


def test_a_version_that_is_gone_for_good_is_forgotten_in_time():
    """A data row lives as long as its object version."""
    (row,) = written(forget_gone(data(state="consumed"), NOW, 35 * DAY))
    assert row.expires == (NOW + 35 * DAY) // 1000
    assert forget_gone(row, NOW, 35 * DAY) == ()
    assert forget_gone(schedule(state="consumed"), NOW, 35 * DAY) == ()
