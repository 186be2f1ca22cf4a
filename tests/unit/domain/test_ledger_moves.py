"""Moves: where a release goes, which share it gets when, and how the requests come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import naming
from perennial.domain.errors import NotClaimed
from perennial.domain.ledger import moves
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.moves import Place
from perennial.domain.ledger.releases import free, left_over, open_release
from perennial.domain.ledger.rows import ModelRow, ReleaseEnding, ReleaseRow
from perennial.domain.ledger.store import Transaction, Write

from tests.unit.domain.ledger_builders import NOW, SECOND
from tests.unit.domain.release_builders import ENDPOINT, NAMES, live, release, served_model, wanted

NEXT = "perennial-next-census"
BAKE = 120 * SECOND
SLOTS = {"": ENDPOINT, ENDPOINT: NEXT, NEXT: ENDPOINT}


def moving(**fields: Any) -> ReleaseRow:
    """Release 3, which takes traffic over to a serverless endpoint."""
    given = {"endpoint": NEXT, "moves": True, "endpoint_kind": "serverless", "captured": 40}
    return release(**{**given, **fields})


def at_work(row: ReleaseRow, **fields: Any) -> ModelRow:
    """The model while the release is open, with its move; `fields` are of the move."""
    opened = only(moves.open_move(served_model(open_release=3, last_release=3), row))
    assert opened.move is not None
    return replace(opened, move=replace(opened.move, **fields))


def only(changes: Transaction) -> ModelRow:
    """The model's row as the one change writes it."""
    (change,) = changes
    assert isinstance(change, Write)
    assert isinstance(change.row, ModelRow)
    return change.row


def shifted(model: ModelRow, row: ReleaseRow, now_ms: int = NOW, **more: Any) -> Transaction:
    """The next share of a canary of a tenth, unless said otherwise."""
    step = model.move.step if model.move is not None else 0
    given = {"strategy": "canary", "share": 0.1, "step": step, "alone": False, **more}
    return moves.shift(model, row, now_ms=now_ms, **given)


def watched(
    model: ModelRow, row: ReleaseRow, *, is_baked: bool, trouble: str = "", now_ms: int = NOW
) -> moves.Watched:
    """One look at the move."""
    return moves.watch(model, row, is_baked=is_baked, trouble=trouble, now_ms=now_ms)


INSTANCES, SERVERLESS = ("instances", 0), ("serverless", 40)
MULTI_MODEL, SHARED = ("multi-model", 60), "perennial-shared"
ON_SHARED = Place(SHARED, "multi-model", moves=True, captured=60)


@pytest.mark.parametrize(
    ("present", "asked", "place"),
    [
        (None, INSTANCES, Place(ENDPOINT)),
        (None, SERVERLESS, Place(ENDPOINT, "serverless", moves=True, captured=40)),
        (live(), INSTANCES, Place(ENDPOINT)),
        (live(endpoint=NEXT), INSTANCES, Place(NEXT)),
        (live(), SERVERLESS, Place(NEXT, "serverless", moves=True, captured=40)),
        (live(kind="serverless"), SERVERLESS, Place(NEXT, "serverless", moves=True, captured=40)),
        (
            live(endpoint=NEXT, kind="serverless"),
            INSTANCES,
            Place(ENDPOINT, "instances", moves=True),
        ),
        (None, MULTI_MODEL, ON_SHARED),
        (live(), MULTI_MODEL, ON_SHARED),
        (live(endpoint=SHARED, kind="multi-model"), MULTI_MODEL, ON_SHARED),
        (
            live(endpoint=SHARED, kind="multi-model"),
            INSTANCES,
            Place(ENDPOINT, "instances", moves=True),
        ),
        (
            live(endpoint=SHARED, kind="multi-model"),
            SERVERLESS,
            Place(ENDPOINT, "serverless", moves=True, captured=40),
        ),
    ],
)
def test_only_instances_are_updated_in_place(present: Any, asked: Any, place: Place) -> None:
    """Whatever is of another kind before or after gets the other of two endpoints, or the shared.

    Each version has its own archive there.
    """
    before = live(kind="serverless", captured=70, release=1)
    model = served_model(live=present, previous=before)
    assert moves.place_of(model, wanted(), asked, SLOTS, SHARED) == place


def test_a_rollback_brings_the_old_kind_back() -> None:
    """Whatever the settings say now; within instances it stays an update."""
    model = served_model(
        live=live(endpoint=NEXT), previous=live(kind="serverless", captured=70, release=1)
    )
    back = wanted(kind="rollback", config="perennial-census-r1")
    place = moves.place_of(model, back, INSTANCES, SLOTS, SHARED)
    assert place == Place(ENDPOINT, "serverless", moves=True, captured=70)
    model = replace(model, previous=live(release=1))
    assert moves.place_of(model, back, SERVERLESS, SLOTS, SHARED) == Place(NEXT)
    model = replace(model, previous=None)  # the plan refuses what has nowhere to go back to
    assert moves.place_of(model, back, SERVERLESS, SLOTS, SHARED).kind == "serverless"


def test_a_place_is_of_instances_and_in_place_unless_said_otherwise() -> None:
    """What the tests above leave out."""
    place = Place(ENDPOINT)
    assert (place.kind, place.moves, place.captured) == ("instances", False, 0)


def test_the_slots_are_those_of_naming() -> None:
    """What the tests above suppose of the two names."""
    for name, other in SLOTS.items():
        assert naming.other_slot("perennial", "census", name) == other


def test_a_move_is_opened_once_with_all_that_predict_needs() -> None:
    """With no share yet; a release that updates in place has none."""
    row = moving(trained=3)
    model = at_work(row)
    assert model.move == Move(
        *(3, NEXT, 5, "perennial-census-r3", "arn:5"),
        settings=3,
        kind="serverless",
        captured=40,
    )
    assert moves.open_move(model, row) == ()
    assert moves.open_move(served_model(), release()) == ()
    stale = replace(model, move=replace(model.move, release=2))
    assert only(moves.open_move(stale, row)).move == model.move
    assert moves.move_of(stale, row) is None


@pytest.mark.parametrize(
    ("strategy", "share", "alone", "shares"),
    [
        ("canary", 0.1, False, [100, 1000]),
        ("canary", 0.5, False, [500, 1000]),
        ("linear", 0.4, False, [400, 800, 1000]),
        ("linear", 0.25, False, [250, 500, 750, 1000]),
        ("all-at-once", 0.5, False, [1000]),
        ("canary", 0.1, True, [1000]),
        ("linear", 0.1, True, [1000]),
    ],
)
def test_shares_are_given_step_by_step(
    strategy: Any, share: float, alone: bool, shares: list[int]
) -> None:
    """By the strategy; at once where nothing else answers."""
    row, now_ms, found = moving(), NOW, []
    model = at_work(row)
    for count in range(1, len(shares) + 1):
        now_ms += BAKE
        model = only(shifted(model, row, now_ms, strategy=strategy, share=share, alone=alone))
        assert model.move is not None
        assert (model.move.since_ms, model.move.step) == (now_ms, count)
        found.append(model.move.permille)
    assert found == shares
    assert shifted(model, row, now_ms, strategy=strategy, share=share, alone=alone) == ()


def test_a_repeated_call_shifts_once() -> None:
    """Each step is asked for by its number, and none comes after a turn back."""
    row = moving()
    model = only(shifted(at_work(row), row))
    assert shifted(model, row, step=0) == ()
    assert shifted(model, row, step=2) == ()
    whole = only(shifted(model, row, step=1))
    assert whole.move is not None
    assert whole.move.permille == 1000
    assert shifted(whole, row, step=2) == ()
    back = only(moves.turn_back(model, row, "an alarm", NOW))
    assert shifted(back, row, step=1) == ()
    assert shifted(at_work(row, turned_back=True), row) == ()


def test_a_release_without_a_move_gets_no_share() -> None:
    """An execution that is too late, or one that updates in place."""
    with pytest.raises(NotClaimed, match="release 3 of census moves no traffic"):
        shifted(served_model(), moving())
    with pytest.raises(NotClaimed, match="release 3 of census moves no traffic"):
        watched(served_model(), moving(), is_baked=True)


@pytest.mark.parametrize(
    ("permille", "is_baked", "following"),
    [
        (100, False, "wait"),
        (100, True, "shift"),
        (999, True, "shift"),
        (1000, False, "wait"),
        (1000, True, "done"),
    ],
)
def test_a_quiet_step_is_baked(permille: int, is_baked: bool, following: str) -> None:
    """And only the last one is noted as the end."""
    row = moving()
    model = at_work(row, permille=permille, step=1, since_ms=NOW)
    found = watched(model, row, is_baked=is_baked)
    assert found.next == following
    if following == "done":
        done = only(found.changes)
        assert done.move == replace(model.move, baked=True)  # type: ignore[type-var]
        late = watched(done, row, is_baked=True, trouble="too late")
        assert (late.next, late.changes) == ("done", ())
    else:
        assert found.changes == ()


@pytest.mark.parametrize(("bake_s", "needed"), [(61, 4), (80, 4), (81, 5), (120, 6), (3600, 180)])
def test_a_bake_is_never_shorter_than_asked_for(bake_s: int, needed: int) -> None:
    """Looks are 20 seconds apart, and the first one comes after as many."""
    assert [moves.is_over(bake_s, looks) for looks in (needed - 1, needed)] == [False, True]
    assert moves.LOOK_SECONDS == 20


def test_trouble_takes_every_request_back_at_once_and_for_good() -> None:
    """Whatever time has passed; words and time of it are kept, and the first ones stay."""
    row = moving()
    model = at_work(row, permille=500, step=1, since_ms=NOW)
    found = watched(model, row, is_baked=True, trouble="alarm x went off", now_ms=NOW + BAKE)
    back = only(found.changes)
    assert (found.next, back.move) == (
        "back",
        replace(
            model.move,  # type: ignore[type-var]
            permille=0,
            turned_back=True,
            words="alarm x went off",
            since_ms=NOW + BAKE,
        ),
    )
    again = watched(back, row, is_baked=True)
    assert (again.next, again.changes) == ("back", ())
    assert moves.turn_back(back, row, "other words", NOW + 9 * BAKE) == ()
    assert moves.turn_back(served_model(), row, "words", NOW) == ()


@pytest.mark.parametrize("outcome", ["released", "rolled_back", "failed", "stopped"])
def test_a_release_that_was_not_released_ends_without_a_share(outcome: Any) -> None:
    """In the transaction of its ending; one that was keeps all requests until it is live."""
    row = moving()
    model = at_work(row, permille=1000, step=1)
    changes = moves.end_move(model, row, ReleaseEnding(outcome, "w"), NOW)
    if outcome == "released":
        assert changes == ()
    else:
        move = only(changes).move
        assert move is not None
        assert (move.permille, move.turned_back, move.words) == (0, True, "w")


def test_an_endpoint_is_left_when_nobody_can_ask_it_any_more() -> None:
    """The release's own after a turn back, else the one before it; some seconds later."""
    released, failed = ReleaseEnding("released", "w"), ReleaseEnding("failed", "w")
    assert moves.endpoint_left(moving()) == ""
    assert moves.endpoint_left(moving(ending=failed)) == NEXT
    assert moves.endpoint_left(moving(ending=released)) == ENDPOINT
    assert moves.endpoint_left(moving(ending=released, before=None)) == ""
    assert moves.endpoint_left(moving(ending=released, before=live(endpoint=NEXT))) == ""
    assert moves.endpoint_left(release(ending=failed)) == ""
    # Others ask the shared endpoint: it is never left by one model alone.
    shared = live(endpoint=SHARED, kind="multi-model")
    there = {"endpoint": SHARED, "endpoint_kind": "multi-model"}
    assert moves.endpoint_left(moving(ending=failed, **there)) == ""
    assert moves.endpoint_left(moving(ending=released, **there)) == ENDPOINT
    assert moves.endpoint_left(moving(ending=released, before=shared)) == ""
    row = moving()
    assert moves.leaves_until(at_work(row, step=1, since_ms=NOW), row) == NOW + 15 * SECOND
    assert moves.leaves_until(at_work(row, since_ms=NOW), row) == 0
    assert moves.leaves_until(served_model(), row) == 0
    # Nobody goes by an older reading for longer.
    assert moves.LEAVE_MS > 2 * moves.BELIEVED_MS == 10 * SECOND


def test_the_archive_of_what_is_live_stays_on_the_shared_endpoint() -> None:
    """And no other: a rollback brings its own again."""
    shared = live(endpoint=SHARED, kind="multi-model")
    assert moves.archives_kept(shared) == {shared.config}
    assert moves.archives_kept(live()) == moves.archives_kept(None) == frozenset()


def test_a_release_that_moved_is_live_where_it_stands() -> None:
    """Kind and recording with it; what was there may be gone back to; the move is closed."""
    names = replace(NAMES, endpoint=NEXT, kind="serverless", moves=True, captured=40)
    from perennial.domain.ledger.releases import OpenRelease

    row, _ = open_release(OpenRelease(served_model(), wanted(), 3), names, NOW)
    assert (row.endpoint, row.endpoint_kind, row.moves, row.captured) == (
        *(NEXT, "serverless", True),
        40,
    )
    row = replace(row, ending=ReleaseEnding("released", "w", config=row.config, at_ms=NOW))
    model = at_work(row, permille=1000, step=1)
    (_, freed) = free(model, row, NOW)
    assert isinstance(freed, Write)
    after = freed.row
    assert isinstance(after, ModelRow)
    assert after.live is not None
    assert (after.live.endpoint, after.live.kind, after.live.captured) == (NEXT, "serverless", 40)
    assert (after.previous, after.move) == (live(), None)
    assert left_over(model, row) == ()


def test_words_tell_how_requests_are_divided() -> None:
    """While traffic moves, for whoever asks."""
    move = Move(3, NEXT, 5, "c", "a", 250)
    assert moves.moving_words(move, live()) == (
        "25% of the predictions go to version 5 (perennial-next-census), the others to version 4"
    )
    assert moves.moving_words(move, None).endswith("(perennial-next-census), nothing else answers")
    assert moves.moving_words(None, live()) == ""


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["shift", "watch", "trouble"]), st.integers(0, 2 * BAKE)),
        max_size=20,
    ),
    strategy=st.sampled_from(["canary", "linear", "all-at-once"]),
    share=st.integers(10, 50),
)
def test_shares_only_grow_until_they_are_taken_back(
    steps: list[tuple[str, int]], strategy: Any, share: int
) -> None:
    """In whatever order and however often the machine's functions are called."""
    row, now_ms = moving(), NOW
    model = at_work(row)
    for what, wait in steps:
        now_ms += wait
        before = model.move
        assert before is not None
        if what == "shift":
            changes = shifted(model, row, now_ms, strategy=strategy, share=share / 100)
        else:
            trouble = "alarm" if what == "trouble" else ""
            is_baked = wait > BAKE
            changes = watched(model, row, is_baked=is_baked, trouble=trouble).changes
        model = only(changes) if changes else model
        after = model.move
        assert after is not None
        assert after.permille >= before.permille or after.turned_back
        assert not (after.turned_back and after.permille)
        assert not after.baked or after.permille == 1000
        assert after.step <= before.step + 1
