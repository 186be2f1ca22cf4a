"""What releases write into rows, field by field, and where their orders and limits lie."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest
from perennial.domain.errors import Conflict, NotAllowed
from perennial.domain.ledger import releases
from perennial.domain.ledger.limits import START_PATIENCE_MS
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.releases import OpenRelease, ReleaseNames, Request
from perennial.domain.ledger.rows import (
    Champion,
    Live,
    ModelRow,
    ReleaseEnding,
    ReleaseRow,
    StopRequest,
    Wanted,
)

from tests.unit.domain.ledger_builders import MINUTE, NOW, champion, model, written
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


def rows_of(changes: Any) -> tuple[ModelRow, ReleaseRow]:
    """The rows of model and release as one transaction writes them."""
    rows = written(changes)
    (model_row,) = [each for each in rows if isinstance(each, ModelRow)]
    (release_row,) = [each for each in rows if isinstance(each, ReleaseRow)]
    return model_row, release_row


def only_model(changes: Any) -> ModelRow:
    """The model's row, which alone is written."""
    (row,) = written(changes)
    assert isinstance(row, ModelRow)
    return row


WISH = Wanted("approval", 5, "arn:5", NOW, 6, 3, "d5", "ann", "good")


def test_a_release_starts_with_all_that_its_wish_and_names_say() -> None:
    """The row that is opened, whole; the model is taken in the same transaction."""
    names = ReleaseNames(EXECUTION, "{}", "next", "c3", "serverless", moves=True, captured=40)
    row, changes = releases.open_release(
        OpenRelease(served_model(settings=9), WISH, 3), names, NOW + 1
    )
    expected = ReleaseRow(
        *("census", 3, "approval", 5, "arn:5", 9, NOW, NOW + 1, 6, 3, "d5", "ann", "good"),
        *("opening", "{}", EXECUTION, "next", "c3", live(), "serverless", True, 40),
    )
    assert row == expected
    assert rows_of(changes)[1] == replace(expected, rev=1)


def test_names_are_of_instances_that_are_updated_in_place_unless_said_otherwise() -> None:
    """What a plan leaves out."""
    assert astuple(NAMES)[4:] == ("instances", False, 0)


def test_a_start_is_noted_with_its_time() -> None:
    """From then on the release is watched."""
    (row,) = written(releases.mark_started(release(state="opening"), NOW))
    assert isinstance(row, ReleaseRow)
    assert (row.state, row.started_ms) == ("started", NOW)


def test_what_is_released_is_live_with_all_that_predict_needs() -> None:
    """And its champion is of the same version, run and settings, since the decision."""
    row = ended("released", moves=True, endpoint="next", endpoint_kind="serverless", captured=40)
    move = Move(3, "next", 5, "c", "arn:5", 1000)
    before = book(row, move=move).model
    after, _ = rows_of(releases.free(before, row, NOW))
    assert after.live == Live(
        *("next", "perennial-census-r3", 3, 5, "arn:5", NOW, 6, "d5", 3, "serverless", 40),
    )
    assert after.champion == Champion(
        version=5, arn="arn:5", digest="d5", run=6, settings=3, since_ms=row.decided_ms
    )
    assert after.move is None


def test_an_end_is_written_with_its_words_and_without_the_token() -> None:
    """What failed and why stays in the row; an answer to an ended release has nowhere to go."""
    failed = ended("failed", token="t", ending={"error": "Boom", "cause": "a quota"})
    _, over = rows_of(releases.free(book(failed).model, failed, NOW + 5))
    assert (over.state, over.ended_ms, over.outcome) == ("ended", NOW + 5, "failed")
    assert (over.words, over.error, over.cause, over.token) == ("w", "Boom", "a quota", "")


def test_an_ending_is_recorded_with_its_time() -> None:
    """Whatever time it was made with."""
    (row,) = written(releases.record_ending(release(), ReleaseEnding("failed", "w"), NOW + 7))
    assert isinstance(row, ReleaseRow)
    assert row.ending == ReleaseEnding("failed", "w", at_ms=NOW + 7)


def test_a_hundred_ends_are_kept_to_be_told() -> None:
    """The oldest is forgotten."""
    row = ended("failed", number=300)
    known = tuple(range(200, 300))
    after, _ = rows_of(releases.free(book(row, release_notices=known).model, row, NOW))
    assert after.release_notices == (*range(201, 300), 300)


def test_a_stop_leaves_production_as_it_was() -> None:
    """Its ending names the configuration that stays, in words of who stopped it."""
    by_ann = StopRequest("ann", "no")
    assert releases.stopped(release(stop=by_ann)) == ReleaseEnding(
        "stopped", "stopped by ann: no", error="Stopped", config="perennial-census-r2"
    )
    assert releases.stopped(release(before=None)) == ReleaseEnding(
        "stopped", "stopped by hand, outside Perennial", error="Stopped"
    )
    assert releases.stopped(release(is_withdrawn=True, stop=by_ann)) == ReleaseEnding(
        "withdrawn", "withdrawn: no", error="Stopped", config="perennial-census-r2"
    )
    assert releases.stopped(release(is_withdrawn=True)).words == (
        "withdrawn: the version is not approved any more"
    )


@pytest.mark.parametrize(("before", "config"), [(live(), "perennial-census-r2"), (None, "")])
def test_a_start_that_is_given_up_says_what_stays(before: Live | None, config: str) -> None:
    """An hour after the release was opened, and not a millisecond before."""
    row = release(state="opening", opened_ms=NOW, before=before)
    late = NOW + START_PATIENCE_MS
    assert releases.start_failed(row, "denied", late - 1, final=False) == ()
    (given_up,) = written(releases.start_failed(row, "denied", late, final=False))
    assert isinstance(given_up, ReleaseRow)
    assert given_up.ending == ReleaseEnding(
        *("failed", "failed: release 3 could not be started: denied", "StartRefused"),
        config=config,
        at_ms=late,
    )


def test_decisions_of_one_moment_are_ordered_by_their_versions() -> None:
    """The higher version wins, in whatever order both are heard of."""
    heard = book(decided_ms=NOW, decided_version=5)
    assert releases.request(heard, wanted(6, decided_ms=NOW)).decision == "new"
    late = releases.request(heard, wanted(3, decided_ms=NOW))
    assert late == Request("superseded")
    asked = releases.request_by_person(heard, wanted(4, kind="again", decided_ms=NOW))
    row = only_model(asked)
    assert (row.decided_ms, row.decided_version) == (NOW, 5)
    newer = releases.request_by_person(heard, wanted(4, kind="again", decided_ms=NOW + 1))
    row = only_model(newer)
    assert (row.decided_ms, row.decided_version) == (NOW + 1, 4)


def test_what_is_known_is_noted_as_heard() -> None:
    """So that the same decision is not weighed again."""
    found = releases.request(book(), wanted(4, decided_ms=NOW))
    row = only_model(found.changes)
    assert found.decision == "known"
    assert (row.decided_ms, row.decided_version, row.waiting) == (NOW, 4, None)


def test_another_version_on_its_way_makes_the_live_one_worth_asking_for() -> None:
    """Approving what is live while another is released asks for it to come back."""
    found = releases.request(book(release()), wanted(4, decided_ms=NOW))
    assert found.decision == "new"
    assert only_model(found.changes).waiting == wanted(4, decided_ms=NOW)


def test_a_release_that_is_ending_does_not_bring_its_version() -> None:
    """Approved again, it gets a release of its own."""
    assert releases.request(book(ended("failed")), wanted(decided_ms=NOW)).decision == "new"


def test_a_champion_of_the_same_moment_counts_as_the_decision() -> None:
    """Its own approval is known; one a millisecond later is new."""
    recorded = book(champion=champion(since_ms=NOW))
    assert releases.request(recorded, wanted(decided_ms=NOW)).decision == "superseded"
    assert releases.request(recorded, wanted(decided_ms=NOW + 1)).decision == "new"
    assert releases.request(book(champion=None), wanted()).decision == "new"
    waiting = book(waiting=wanted(decided_ms=NOW), champion=champion(since_ms=NOW))
    assert isinstance(releases.next_step(waiting, NOW), OpenRelease)
    first = book(waiting=wanted(), champion=None, live=None)
    assert isinstance(releases.next_step(first, NOW), OpenRelease)


def test_a_rollback_carries_what_made_the_earlier_version() -> None:
    """Run, settings, digest and the person's reason."""
    back = releases.rollback_of(served_model(previous=live(1, 3)), "ann", "slow", NOW)
    assert back == Wanted(
        *("rollback", 3, "arn:3", NOW, 4, 3, "d", "ann", "slow", "perennial-census-r1"),
    )


def test_a_rollback_keeps_nothing_to_go_back_to_and_a_repetition_keeps_what_was() -> None:
    """The same configuration twice is no way back."""
    row = ended("released", config="perennial-census-r2")
    assert releases.live_after(book(row).model, row)[1] is None
    first = ended("released")
    assert releases.live_after(book(first, live=None).model, first)[1] is None
    assert releases.live_after(book(first).model, first)[1] == live()
    opened = release()
    assert releases.live_after(book(opened, previous=live(1)).model, opened) == (live(), live(1))


def test_nothing_is_left_over_that_has_no_name_or_no_ending() -> None:
    """A release that was not yet ended keeps what is live; names that are empty are none."""
    opened = release(config="")
    assert releases.left_over(book(opened, live=None).model, opened) == ()
    opened = release()
    assert releases.left_over(book(opened).model, opened) == ("perennial-census-r3",)


@pytest.mark.parametrize(("outcome", "is_open"), [("released", True), ("failed", False)])
def test_evidence_reopens_with_the_first_champion(outcome: str, is_open: bool) -> None:
    """Also where there was none before; a release that failed makes none."""
    row = ended(outcome)
    before = book(row, champion=None, closed=("e",)).model
    assert (rows_of(releases.free(before, row, NOW))[0].closed == ()) is is_open


def test_what_is_not_to_be_settled_is_named() -> None:
    """Model and release, in the conflict."""
    with pytest.raises(Conflict, match="release 3 of census is not to be settled"):
        releases.free(book(release()).model, release(), NOW)


ADOPTED = Wanted("adopt", 5, "arn:5", NOW, 6, 3, "d5", "ann", "ours")


def test_an_adoption_is_a_release_that_ended() -> None:
    """Model and row, whole."""
    before = served_model(closed=("e",), decided_ms=NOW - 1, decided_version=9)
    after, row = rows_of(releases.adopt(before, ADOPTED, NAMES, NOW + 1))
    assert (row.number, row.state, row.ended_ms, row.outcome) == (3, "ended", NOW + 1, "released")
    assert row.ending == ReleaseEnding(
        "released", "adopted by ann: ours", config="perennial-census-r3", at_ms=NOW + 1
    )
    assert (after.last_release, after.closed, after.previous) == (3, (), live())
    assert (after.decided_ms, after.decided_version) == (NOW, 5)
    assert after.live is not None
    assert (after.live.release, after.live.since_ms) == (3, NOW + 1)


def test_an_adoption_does_not_turn_the_order_of_decisions_back() -> None:
    """A newer decision was heard of; of one moment, the adopted version counts."""
    newer = served_model(decided_ms=NOW + 5, decided_version=9)
    after, _ = rows_of(releases.adopt(newer, ADOPTED, NAMES, NOW))
    assert (after.decided_ms, after.decided_version) == (NOW + 5, 9)
    same = served_model(decided_ms=NOW, decided_version=9)
    after, _ = rows_of(releases.adopt(same, ADOPTED, NAMES, NOW))
    assert (after.decided_ms, after.decided_version) == (NOW, 5)


def test_what_is_adopted_already_is_not_adopted_again() -> None:
    """It has to be champion and live, or champion where it serves nowhere."""
    mine = champion(version=5, arn="arn:5")
    there = live(3, 5)
    assert releases.adopt(model(champion=mine, live=there), ADOPTED, NAMES, NOW) == ()
    nowhere = replace(NAMES, endpoint="", config="")
    assert releases.adopt(model(champion=mine), ADOPTED, nowhere, NOW) == ()
    for row in (
        model(champion=mine),
        model(live=there),
        model(champion=mine, live=replace(there, config="other")),
        model(champion=mine, live=replace(there, arn="arn:4")),
        model(champion=champion(), live=there),
    ):
        assert releases.adopt(row, ADOPTED, NAMES, NOW) != ()
    after, _ = rows_of(releases.adopt(served_model(previous=live(1)), ADOPTED, nowhere, NOW))
    assert (after.live, after.previous) == (live(), live(1))


def test_an_adoption_waits_for_what_is_about_to_open() -> None:
    """As for what is at work."""
    with pytest.raises(NotAllowed, match="a release of census is at work or about to open"):
        releases.adopt(served_model(waiting=wanted()), ADOPTED, NAMES, NOW)


def test_an_endpoint_is_forgotten_with_what_was_before_it() -> None:
    """If only one of both is known, too."""
    for known in ({"live": live()}, {"live": None, "previous": live(1)}):
        row = only_model(releases.forget_endpoint(served_model(**known)))
        assert (row.live, row.previous) == (None, None)
    assert releases.forget_endpoint(served_model(live=None)) == ()


def test_a_decision_in_the_past_still_orders() -> None:
    """A repetition that is asked for after newer decisions leaves them the newest."""
    heard = book(decided_ms=NOW, decided_version=2)
    row = only_model(releases.request_by_person(heard, wanted(7, decided_ms=NOW - MINUTE)))
    assert (row.decided_ms, row.decided_version) == (NOW, 2)
    assert row.waiting == wanted(7, decided_ms=NOW - MINUTE)
