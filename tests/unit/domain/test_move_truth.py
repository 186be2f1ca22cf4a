"""How a release ended that brought an endpoint of its own, from its move and what is seen."""

from __future__ import annotations

from typing import Any

import pytest
from perennial.domain.ledger.ending import LONGEST_WORDS
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import ReleaseEnding, StopRequest
from perennial.domain.move_truth import outcome_of_move, trouble_with
from perennial.domain.release_truth import CHANGING, AtWork

from tests.unit.domain.ledger_builders import MINUTE, NOW, SECOND
from tests.unit.domain.release_builders import endpoint, execution, release

NEXT, ASKED, BEFORE = "perennial-next-census", "perennial-census-r3", "perennial-census-r2"
AS_IT_WAS = "production is as it was: version 4"
TARGET = endpoint(config=ASKED)


def row(**fields: Any) -> Any:
    """Release 3 on its way to a second endpoint; production was about to change."""
    return release(**{"endpoint": NEXT, "moves": True, "updating_ms": NOW - MINUTE, **fields})


def move(**fields: Any) -> Move:
    """Its move: half of the requests, unless said otherwise."""
    given = {"permille": 500, "step": 1, "since_ms": NOW - MINUTE, **fields}
    return Move(3, NEXT, 5, ASKED, "arn:5", **given)


def ending(*seen: Any, of: Any = None, now_ms: int = NOW) -> ReleaseEnding:
    """How it ended, which it has."""
    found = outcome_of_move(of if of is not None else row(), *seen, now_ms)
    assert isinstance(found, ReleaseEnding), found
    return found


DONE = move(permille=1000, step=2, baked=True)


@pytest.mark.parametrize("status", [None, "RUNNING", "SUCCEEDED", "FAILED", "ABORTED"])
def test_a_move_that_was_baked_is_released_whatever_became_of_the_execution(status: Any) -> None:
    """Its endpoint serves all requests, and no alarm went off."""
    found = ending(DONE, TARGET, None if status is None else execution(status))
    assert (found.outcome, found.config) == ("released", ASKED)
    assert found.words == f"released: {NEXT} serves version 5"
    again = ending(DONE, TARGET, None, of=row(kind="rollback"))
    assert again.words.endswith("serves version 5 again, as before")


@pytest.mark.parametrize("status", CHANGING)
def test_an_endpoint_that_changes_is_asked_again(status: str) -> None:
    """Also one that is still being made for an execution that was killed."""
    found = outcome_of_move(row(), None, endpoint(status, ASKED), execution("ABORTED"), NOW)
    assert found == AtWork(f"endpoint {NEXT} is {status}")


def test_an_execution_that_runs_is_left_alone() -> None:
    """Whatever share it has given; only its last state says that it is over."""
    runs, last = execution("RUNNING"), execution("RUNNING", is_over=True)
    for seen in (None, TARGET, endpoint("Failed", ASKED)):
        assert outcome_of_move(row(), move(), seen, runs, NOW) == AtWork("its execution goes on")
    back = move(permille=0, turned_back=True, words="alarm x went off")
    assert ending(back, TARGET, last).outcome == "rolled_back"


def test_an_alarm_is_told_and_so_is_who_answers_now() -> None:
    """The words of the turn back come first; the old configuration is what is live."""
    back = move(permille=0, turned_back=True, words="alarm x went off: 30% failed")
    found = ending(back, TARGET, execution("RUNNING", is_over=True))
    assert found.words == f"rolled back: alarm x went off: 30% failed; {AS_IT_WAS}"
    assert (found.outcome, found.config) == ("rolled_back", BEFORE)
    first = ending(back, TARGET, execution(), of=row(before=None))
    assert first.words.endswith("nothing is live, as before")
    assert first.config == ""


@pytest.mark.parametrize(
    ("seen", "done", "stop", "why"),
    [
        (TARGET, execution("ABORTED"), None, "its execution was cut off (ABORTED)"),
        (TARGET, execution("TIMED_OUT"), None, "its execution was cut off (TIMED_OUT)"),
        (TARGET, execution("ABORTED"), StopRequest("ann", "no"), "stopped by ann: no"),
        (TARGET, execution(cause="WatchTrafficFailed: x"), None, "WatchTrafficFailed: x"),
        (TARGET, execution(cause=""), None, "its execution ended before all traffic had moved"),
        (TARGET, None, None, "its execution ended before all traffic had moved"),
        (None, execution(), None, f"endpoint {NEXT} was deleted by someone"),
        (
            endpoint("Failed", ASKED, reason="r"),
            execution(),
            None,
            f"endpoint {NEXT} is Failed (r)",
        ),
        (endpoint(config="x"), execution(), None, f"endpoint {NEXT} was changed by someone to x"),
    ],
)
def test_a_release_that_had_traffic_is_rolled_back(
    seen: Any, done: Any, stop: Any, why: str
) -> None:
    """Whatever ended it, clients were answered by it, and are not any more."""
    found = ending(move(), seen, done, of=row(stop=stop))
    assert found.words == f"rolled back: {why}; {AS_IT_WAS}"
    assert (found.outcome, found.config) == ("rolled_back", BEFORE)


def test_a_rollback_to_nothing_is_no_rollback_to_what_was() -> None:
    """Somebody deleted the endpoint before it: the words say that nothing is live."""
    found = outcome_of_move(row(), move(), TARGET, execution("ABORTED"), NOW, is_before_gone=True)
    assert isinstance(found, ReleaseEnding)
    assert found.words == (
        "rolled back: its execution was cut off (ABORTED); and endpoint perennial-live-census was "
        "deleted by someone: nothing is live. `perennial release census` makes one anew"
    )
    assert (found.outcome, found.config) == ("rolled_back", "")
    done = outcome_of_move(row(), DONE, TARGET, None, NOW, is_before_gone=True)
    assert isinstance(done, ReleaseEnding)
    assert done.outcome == "released"


@pytest.mark.parametrize(
    "seen", [None, endpoint("Failed", ASKED), endpoint(config="another"), endpoint("OutOfService")]
)
def test_even_a_baked_move_needs_its_endpoint(seen: Any) -> None:
    """Somebody took it away in the last moment: the old one answers again, and it is said so."""
    found = ending(DONE, seen, execution("SUCCEEDED"))
    assert found.outcome == "rolled_back"
    assert trouble_with(row(), seen) in found.words


def test_a_move_that_was_turned_back_is_not_released_any_more() -> None:
    """Its end was recorded by somebody else between the last look and this one."""
    found = ending(move(turned_back=True, baked=True, words="w"), TARGET, execution())
    assert found.outcome == "rolled_back"


def test_what_happens_to_a_shared_endpoint_is_not_held_against_one_model() -> None:
    """Another's release may change it, and it answers meanwhile; an archive that is gone counts."""
    shared = row(endpoint="perennial-shared", endpoint_kind="multi-model")
    for status in ("InService", "Updating", "RollingBack", "SystemUpdating"):
        assert trouble_with(shared, endpoint(status, ASKED)) == ""
    assert trouble_with(row(), endpoint("Updating", ASKED)) != ""
    assert "is Failed" in trouble_with(shared, endpoint("Failed", ASKED))
    gone = trouble_with(shared, endpoint("InService", ""))
    assert gone == f"the archive of {ASKED} was taken from perennial-shared by someone"


def test_without_traffic_the_execution_tells_why() -> None:
    """No client was ever answered by it, so nothing was rolled back."""
    failed = execution(error="SmokeTestNotPassed", cause="p99 of 900 ms")
    for its in (None, move(permille=0, step=0)):
        found = ending(its, None, failed, of=row(updating_ms=None))
        assert found.words == f"failed: SmokeTestNotPassed: p99 of 900 ms; {AS_IT_WAS}"
        assert (found.outcome, found.config) == ("failed", BEFORE)
    cut = ending(move(permille=0, step=0), TARGET, execution("ABORTED"))
    assert (cut.outcome, cut.config) == ("stopped", BEFORE)


def test_an_endpoint_that_never_came_up_is_told_with_its_reason() -> None:
    """It is removed when the release is settled."""
    broken = endpoint("Failed", ASKED, reason="it did not pass the ping")
    found = ending(move(permille=0, step=0), broken, execution("RUNNING", is_over=True))
    assert found.words == (
        f"failed: the new endpoint {NEXT} is Failed (it did not pass the ping); {AS_IT_WAS}"
    )
    assert (found.outcome, found.config) == ("failed", BEFORE)
    silent = ending(None, endpoint("Failed", ASKED), execution())
    assert "is Failed (no reason given)" in silent.words


def test_a_request_that_was_under_way_is_waited_for() -> None:
    """An execution that was cut off may have asked for an endpoint that is not there yet."""
    cut = execution("ABORTED", stopped_ms=NOW - 29 * SECOND)
    found = outcome_of_move(row(), move(permille=0, step=0), None, cut, NOW)
    assert found == AtWork("its last request may not have reached the endpoint yet")
    assert ending(None, None, cut, now_ms=NOW + SECOND).outcome == "stopped"
    assert ending(None, TARGET, cut).outcome == "stopped"
    assert ending(None, None, cut, of=row(updating_ms=None)).outcome == "stopped"
    died = execution(stopped_ms=NOW)
    assert ending(None, None, died).outcome == "failed"


def test_words_are_never_too_long_to_keep() -> None:
    """The part that says who answers now is always there."""
    long = move(permille=0, turned_back=True, words="x" * 5000)
    found = ending(long, TARGET, execution(cause="y" * 90_000))
    assert len(found.words) <= LONGEST_WORDS
    assert found.words.endswith(AS_IT_WAS)
    broken = endpoint("Failed", ASKED, reason="z" * 5000)
    failed = ending(None, broken, execution()).words
    assert len(failed) <= LONGEST_WORDS
    assert failed.endswith(AS_IT_WAS)


def test_trouble_is_what_keeps_it_from_answering() -> None:
    """None while it serves what was asked for, also while SageMaker repairs it."""
    assert trouble_with(row(), TARGET) == ""
    assert trouble_with(row(), endpoint("SystemUpdating", ASKED)) == ""
    assert trouble_with(row(), endpoint("Updating", ASKED)) != ""
