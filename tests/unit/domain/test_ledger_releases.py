"""The rules of releases, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from perennial.domain.errors import Conflict, NotAllowed, NotClaimed, Withdrawn
from perennial.domain.ledger import release_claims, releases
from perennial.domain.ledger.limits import START_PATIENCE_MS
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.release_words import waiting_words
from perennial.domain.ledger.releases import ReleaseBook
from perennial.domain.ledger.rows import ModelRow, ReleaseEnding, ReleaseRow, StopRequest

from tests.unit.domain.ledger_builders import HOUR, MINUTE, NOW, champion, model, store, written
from tests.unit.domain.release_builders import (
    EXECUTION,
    NAMES,
    book,
    ended,
    live,
    release,
    served_model,
    wanted,
)


def model_of(changes: Any) -> ModelRow:
    """The model's row as it is written."""
    (row,) = [each for each in written(changes) if isinstance(each, ModelRow)]
    return row


def release_of(changes: Any) -> ReleaseRow:
    """The release's row as it is written."""
    (row,) = [each for each in written(changes) if isinstance(each, ReleaseRow)]
    return row


def test_an_approval_waits_for_its_release() -> None:
    """It is noted on the model, with its place among the decisions."""
    asked = releases.request(book(), wanted())
    row = model_of(asked.changes)
    assert (asked.decision, row.waiting) == ("new", wanted())
    assert (row.decided_ms, row.decided_version) == (NOW - MINUTE, 5)


def test_the_same_approval_again_is_known() -> None:
    """Also when its release has ended long ago, and however it ended."""
    heard = {"decided_ms": NOW - MINUTE, "decided_version": 5}
    assert releases.request(book(**heard), wanted()) == releases.Request("known")
    assert releases.request(book(release(), **heard), wanted()) == releases.Request("known")


def test_an_older_approval_that_is_heard_of_late_is_superseded() -> None:
    """By a newer decision, or by the champion's own."""
    late = wanted(3, decided_ms=NOW - 2 * MINUTE)
    found = releases.request(book(decided_ms=NOW - MINUTE, decided_version=5), late)
    assert found == releases.Request("superseded")
    recorded = book(champion=champion(since_ms=NOW))
    assert releases.request(recorded, wanted()).decision == "superseded"
    same = book(champion=champion(since_ms=NOW - MINUTE, arn="arn:5"))
    assert releases.request(same, wanted()).decision == "known"


def test_a_newer_approval_takes_the_waiting_ones_place() -> None:
    """While another release is at work."""
    waiting = book(release(), waiting=wanted(6, decided_ms=NOW - 30_000), decided_ms=NOW - 30_000)
    row = model_of(releases.request(waiting, wanted(7, decided_ms=NOW)).changes)
    assert row.waiting == wanted(7, decided_ms=NOW)


def test_an_approval_of_what_is_live_or_on_its_way_opens_nothing() -> None:
    """But it takes back what was decided in between."""
    again = wanted(4, decided_ms=NOW)
    found = releases.request(book(waiting=wanted(5)), again)
    assert (found.decision, model_of(found.changes).waiting) == ("known", None)
    found = releases.request(book(release(), waiting=wanted(6)), wanted(5, decided_ms=NOW))
    assert (found.decision, model_of(found.changes).waiting) == ("known", None)


def test_an_approval_after_a_withdrawal_is_new() -> None:
    """Approve, reject, approve: the second approval gets a release of its own."""
    stopped = release(stop=StopRequest("the registry", "rejected"), is_withdrawn=True)
    asked = releases.request(book(stopped), wanted(5, decided_ms=NOW))
    assert asked.decision == "new"


def test_people_ask_when_nothing_else_is_at_work() -> None:
    """A repetition or rollback waits for nothing that the person does not know of."""
    again = wanted(4, kind="again", decided_ms=NOW)
    assert model_of(releases.request_by_person(book(), again)).waiting == again
    with pytest.raises(NotAllowed, match=r"release 3 of census \(version 5\) is at work"):
        releases.request_by_person(book(release()), again)
    with pytest.raises(NotAllowed, match="a release of census 5 is about to open"):
        releases.request_by_person(book(waiting=wanted()), again)


def test_a_rollback_is_for_the_last_good_configuration() -> None:
    """With the champion that it had; without one there is nowhere to go."""
    before = live(1, 3)
    back = releases.rollback_of(served_model(previous=before), "ann", "slow", NOW)
    assert (back.kind, back.version, back.config, back.run) == (
        ("rollback", 3, "perennial-census-r1", 4)
    )
    with pytest.raises(NotAllowed, match="no earlier good configuration of census"):
        releases.rollback_of(served_model(), "ann", "slow", NOW)
    with pytest.raises(NotAllowed, match="no endpoint in production"):
        releases.rollback_of(model(), "ann", "slow", NOW)


def test_a_wish_that_is_taken_back_is_forgotten() -> None:
    """Its own version's alone, and never a rollback: what it goes back to was live."""
    assert model_of(releases.forget_wish(served_model(waiting=wanted()), "arn:5")).waiting is None
    assert releases.forget_wish(served_model(waiting=wanted()), "arn:6") == ()
    assert releases.forget_wish(served_model(), "arn:5") == ()
    back = wanted(kind="rollback")
    assert releases.forget_wish(served_model(waiting=back), "arn:5") == ()


def test_the_steps_follow_from_the_rows() -> None:
    """Whoever looks, and however often."""
    step = releases.next_step(book(waiting=wanted()), NOW)
    assert step == releases.OpenRelease(book(waiting=wanted()).model, wanted(), 3)
    assert releases.next_step(book(), NOW) == releases.Rest()
    opening = release(state="opening")
    assert releases.next_step(book(opening), NOW) == releases.StartRelease(opening)
    assert releases.next_step(book(release()), NOW) == releases.WatchRelease(release())
    over = ended("failed")
    assert releases.next_step(book(over), NOW) == releases.SettleRelease(over)


def test_a_wish_that_came_true_opens_nothing() -> None:
    """A newer champion was recorded, or the version is live already."""
    for late in (
        book(waiting=wanted(), champion=champion(since_ms=NOW)),
        book(waiting=wanted(4)),
    ):
        step = releases.next_step(late, NOW)
        assert isinstance(step, releases.DropWish)
        assert model_of(step.changes).waiting is None
    again = book(waiting=wanted(4, kind="again", decided_ms=NOW))
    assert isinstance(releases.next_step(again, NOW), releases.OpenRelease)


def test_opening_takes_the_model() -> None:
    """Row and model in one transaction, with what was live before and the newest settings."""
    opening = book(waiting=wanted(by="ann", because="good"), settings=9).model
    step = releases.OpenRelease(opening, wanted(by="ann", because="good"), 3)
    row, changes = releases.open_release(step, NAMES, NOW)
    taken = model_of(changes)
    assert (taken.open_release, taken.last_release, taken.waiting) == (3, 3, None)
    assert (row.before, row.settings, row.trained, row.config) == (live(), 9, 3, NAMES.config)
    assert (row.by, row.because, row.digest, row.state) == ("ann", "good", "d5", "opening")
    back = replace(step, wanted=wanted(kind="rollback", config="perennial-census-r1"))
    assert releases.open_release(back, NAMES, NOW)[0].config == "perennial-census-r1"


def test_a_start_that_fails_is_repeated_for_an_hour() -> None:
    """Unless repeating cannot mend it."""
    row = release(state="opening", opened_ms=NOW)
    assert releases.start_failed(row, "throttled", NOW + MINUTE, final=False) == ()
    for now_ms, final in ((NOW, True), (NOW + START_PATIENCE_MS, False)):
        ending = release_of(releases.start_failed(row, "denied", now_ms, final=final)).ending
        assert ending is not None
        assert (ending.outcome, ending.error) == ("failed", "StartRefused")
        assert ending.config == "perennial-census-r2"


def test_a_stop_before_the_start_ends_the_release() -> None:
    """Nothing was started, so nothing is to be waited for."""
    stopping = release(state="opening", stop=StopRequest("ann", "no"), before=None)
    step = releases.next_step(book(stopping), NOW)
    assert isinstance(step, releases.RecordReleaseEnding)
    ending = release_of(step.changes).ending
    assert ending is not None
    assert (ending.outcome, ending.words) == ("stopped", "stopped by ann: no")
    withdrawn = replace(stopping, is_withdrawn=True)
    assert releases.stopped(withdrawn).words == "withdrawn: no"


def test_a_released_version_is_champion_and_live() -> None:
    """In the transaction that ends the release; what was live can be gone back to."""
    row = ended("released")
    changes = releases.free(book(row, closed=()).model, row, NOW + 5)
    after, over = model_of(changes), release_of(changes)
    assert after.champion is not None
    assert (after.champion.version, after.champion.since_ms) == (5, row.decided_ms)
    assert after.live == live(3, 5, since_ms=NOW, run=6, digest="d5")
    assert (after.previous, after.open_release) == (live(), None)
    assert after.release_notices == (3,)
    assert (over.state, over.outcome, over.ended_ms) == ("ended", "released", NOW + 5)


@pytest.mark.parametrize("outcome", ["rolled_back", "failed", "withdrawn", "stale", "stopped"])
def test_nothing_else_changes_what_is_live(outcome: str) -> None:
    """Neither champion nor configuration, whatever was seen."""
    row = ended(outcome)
    before = book(row, previous=live(1, 3)).model
    after = model_of(releases.free(before, row, NOW))
    assert (after.champion, after.live, after.previous) == (
        (before.champion, before.live, before.previous)
    )
    assert after.open_release is None


def test_a_rollback_leaves_nothing_to_go_back_to() -> None:
    """A second rollback must not bring the bad version back."""
    good = live(1, 3)
    row = ended("released", kind="rollback", config=good.config, ending={"config": good.config})
    before = book(row, previous=good).model
    assert model_of(releases.free(before, row, NOW)).previous is None
    assert releases.left_over(before, row) == ("perennial-census-r2",)


def test_configurations_that_nothing_needs_are_left_over() -> None:
    """After a success the one before the last; after a failure the new one."""
    row = ended("released")
    assert releases.left_over(book(row, previous=live(1, 3)).model, row) == ("perennial-census-r1",)
    assert releases.left_over(book(row).model, row) == ()
    failed = ended("failed")
    assert releases.left_over(book(failed).model, failed) == ("perennial-census-r3",)
    kept = ended("failed", ending={"config": "perennial-census-r3"})
    assert releases.left_over(book(kept).model, kept) == ()


def test_a_release_ends_once() -> None:
    """A second ending is not recorded, a second settling conflicts."""
    row = ended("released")
    assert row.ending is not None
    assert releases.record_ending(row, row.ending, NOW) == ()
    freed = book(row, open_release=None).model
    for model_row, release_row in (
        (freed, row),
        (book(row).model, replace(row, state="ended")),
        (book(row).model, release()),
    ):
        with pytest.raises(Conflict):
            releases.free(model_row, release_row, NOW)


def test_evidence_reopens_with_another_champion_alone() -> None:
    """Releasing the champion again teaches the monitors nothing."""
    closed = model(closed=(), rev=1)
    assert closed.closed == ()
    row = ended("released", version=4, arn="arn:4", kind="again")
    evidence = ("e",)
    before = replace(book(row).model, closed=evidence)  # type: ignore[arg-type]  # opaque here
    assert model_of(releases.free(before, row, NOW)).closed == evidence
    other = ended("released")
    before = replace(book(other).model, closed=evidence)  # type: ignore[arg-type]  # opaque here
    assert model_of(releases.free(before, other, NOW)).closed == ()


def test_adopting_records_what_is_live() -> None:
    """As a release that ended; again changes nothing."""
    adopted = wanted(kind="adopt", by="ann", because="ours", decided_ms=NOW)
    changes = releases.adopt(model(), adopted, NAMES, NOW)
    after, row = model_of(changes), release_of(changes)
    assert (row.kind, row.state, row.outcome, row.number) == ("adopt", "ended", "released", 1)
    assert row.words == "adopted by ann: ours"
    assert after.live is not None
    assert (after.live.config, after.live.version) == (NAMES.config, 5)
    assert after.champion is not None
    assert (after.champion.version, after.champion.since_ms) == (5, NOW)
    assert (after.open_release, after.last_release, after.decided_ms) == (None, 1, NOW)
    assert releases.adopt(after, replace(adopted, decided_ms=NOW + 1), NAMES, NOW + 1) == ()
    with pytest.raises(NotAllowed, match="at work or about to open"):
        releases.adopt(book(release()).model, adopted, NAMES, NOW)


def test_adopting_a_version_that_serves_nowhere_makes_it_champion() -> None:
    """What is live stays as it is."""
    adopted = wanted(kind="adopt", by="ann", because="ours", decided_ms=NOW)
    nowhere = replace(NAMES, endpoint="", config="")
    after = model_of(releases.adopt(model(), adopted, nowhere, NOW))
    assert after.champion is not None
    assert (after.champion.version, after.live) == (5, None)


def test_a_removed_endpoint_is_live_no_more() -> None:
    """Neither it nor what it could have gone back to."""
    after = model_of(releases.forget_endpoint(served_model(previous=live(1, 3))))
    assert (after.live, after.previous) == (None, None)
    unscaled = replace(served_model(), scaling_words="putting the policy: denied")
    assert model_of(releases.forget_endpoint(unscaled)).scaling_words == ""
    assert releases.forget_endpoint(model()) == ()
    with pytest.raises(NotAllowed, match="release 3 of census is at work"):
        releases.forget_endpoint(book(release()).model)


def test_the_book_is_read_whole() -> None:
    """A release that ends between the reads calls for reading again."""
    row = release()
    held = book(row).model
    assert releases.read_release_book(store(held, row), "census") == ReleaseBook(held, row)
    assert releases.read_release_book(store(model()), "census") == ReleaseBook(model())
    assert releases.read_release_book(store(), "census") is None
    with pytest.raises(Conflict):
        releases.read_release_book(store(held, replace(row, state="ended")), "census")
    with pytest.raises(Conflict):
        releases.read_release_book(store(held), "census")


def test_only_its_own_execution_acts_for_a_release() -> None:
    """As long as it holds the model and nobody stopped it."""
    held, row = book(release()).model, release()
    release_claims.check_release_claim(held, row, EXECUTION)
    for wrong_model, wrong_row, execution, words in (
        (None, row, EXECUTION, "its model was removed"),
        (held, None, EXECUTION, "never was"),
        (held, row, "other", "belongs to execution arn"),
        (held, ended("failed"), EXECUTION, r"is over \(failed\)"),
        (held, release(state="ended", outcome="released"), EXECUTION, r"is over \(released\)"),
        (held, release(state="ended"), EXECUTION, r"is over \(ended\)"),
        (served_model(), row, EXECUTION, "does not hold its model"),
        (held, release(stop=StopRequest("ann", "no")), EXECUTION, "was stopped by ann: no"),
    ):
        with pytest.raises(NotClaimed, match=words):
            release_claims.check_release_claim(wrong_model, wrong_row, execution)
    stopped = release(stop=StopRequest("the registry", "rejected"), is_withdrawn=True)
    with pytest.raises(Withdrawn, match="the registry: rejected"):
        release_claims.check_release_claim(held, stopped, EXECUTION)


def test_a_withdrawal_counts_until_production_changes() -> None:
    """Once, and not after the update was announced."""
    row = release_of(release_claims.withdraw(release(), "rejected"))
    assert (row.is_withdrawn, row.stop) == (True, StopRequest("the registry", "rejected"))
    assert release_claims.withdraw(row, "rejected") == ()
    announced = release_of(release_claims.announce_update(release(), NOW, NOW - 1))
    assert (announced.updating_ms, announced.endpoint_ms) == (NOW, NOW - 1)
    assert release_claims.announce_update(announced, NOW + HOUR) == ()
    assert release_claims.withdraw(announced, "rejected") == ()
    for over in (ended("failed"), release(state="ended")):
        assert release_claims.withdraw(over, "rejected") == ()


def test_a_person_lets_a_release_into_production() -> None:
    """When it asks for one; twice is once."""
    asking = release_of(release_claims.ask_person(release(), "token", NOW))
    assert (asking.token, asking.asked_ms) == ("token", NOW)
    assert release_claims.ask_person(asking, "token", NOW + 1) == ()
    repeated = release_of(release_claims.ask_person(asking, "token2", NOW + 1))
    assert (repeated.token, repeated.asked_ms) == ("token2", NOW)
    allowed = release_of(release_claims.approve_production(repeated, "bob", "fine"))
    assert allowed.approved_by == "bob: fine"
    assert release_claims.approve_production(allowed, "eve", "too") == ()
    assert release_claims.approve_production(replace(asking, updating_ms=NOW), "eve", "too") == ()
    for row, words in (
        (release(), "does not wait for a person"),
        (ended("failed"), r"has ended \(it is being settled\)"),
        (replace(asking, state="ended", outcome="failed"), r"has ended \(failed\)"),
        (replace(asking, stop=StopRequest("x", "y")), "is being stopped: y"),
    ):
        with pytest.raises(NotAllowed, match=words):
            release_claims.approve_production(row, "bob", "fine")


def test_figures_are_added() -> None:
    """Each state of the machine may add its own."""
    row = release_of(release_claims.note_figures(release(), {"rows": 200}))
    assert row.figures == {"rows": 200}
    assert release_claims.note_figures(row, {"rows": 200}) == ()
    more = release_of(release_claims.note_figures(row, {"p99_ms": 12}))
    assert more.figures == {"rows": 200, "p99_ms": 12}


def test_a_release_may_be_stopped_by_force() -> None:
    """Once, and at any time before its end: a model that is removed waits for nothing."""
    announced = release(updating_ms=NOW)
    stopped = release_of(release_claims.stop_release(announced, "ann", "removed"))
    assert (stopped.stop, stopped.is_withdrawn) == (StopRequest("ann", "removed"), False)
    assert release_claims.stop_release(stopped, "ann", "removed") == ()
    for over in (ended("failed"), release(state="ended")):
        assert release_claims.stop_release(over, "ann", "removed") == ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "opening"}, "is about to start"),
        ({}, "is being tested on its staging endpoint"),
        ({"kind": "rollback"}, "is about to change production back"),
        ({"token": "t"}, "waits for a person: perennial approve census 5 --production"),
        ({"token": "t", "approved_by": "bob: fine"}, "is being tested"),
        ({"updating_ms": NOW}, "changes production: perennial-live-census is asked to serve"),
        ({"stop": StopRequest("x", "rejected")}, "is being stopped: rejected"),
        ({"ending": ReleaseEnding("failed", "failed: y")}, "is being settled: failed: y"),
    ],
)
def test_what_a_release_waits_for_is_told(fields: dict[str, Any], words: str) -> None:
    """For `perennial why`."""
    (line,) = waiting_words(book(release(**fields)))
    assert line.startswith(f"release 3 of census (version 5) {words}")


def test_a_release_that_moves_traffic_tells_how_it_is_divided() -> None:
    """From when its move is open; before that, and in place, it changes production."""
    move = Move(3, "perennial-next-census", 5, "c", "a", 250)
    row = release(moves=True, updating_ms=NOW)
    (line,) = waiting_words(book(row, move=move))
    assert line == (
        "release 3 of census (version 5) moves traffic: 25% of the predictions go to version 5 "
        "(perennial-next-census), the others to version 4"
    )
    for model_row in (book(row), book(replace(row, moves=False), move=move)):
        (line,) = waiting_words(model_row)
        assert "changes production: perennial-live-census is asked" in line


def test_what_waits_for_a_release_is_told() -> None:
    """It goes next, or when the one at work has ended."""
    assert waiting_words(book()) == ()
    assert waiting_words(book(waiting=wanted())) == ("version 5 of census is released next",)
    _, second = waiting_words(book(release(), waiting=wanted(6)))
    assert second == "version 6 of census waits for the end of release 3"
