"""How a release ended, from what the endpoint and the execution are seen to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.ledger.ending import LONGEST_WORDS
from perennial.domain.ledger.rows import ReleaseEnding, StopRequest
from perennial.domain.release_truth import (
    CHANGING,
    GRACE_MS,
    AtWork,
    SeenEndpoint,
    SeenExecution,
    is_stillborn,
    outcome_of,
)

from tests.unit.domain.ledger_builders import HOUR, MINUTE, NOW, SECOND
from tests.unit.domain.release_builders import endpoint, execution, live, release

ASKED, BEFORE = "perennial-census-r3", "perennial-census-r2"
UPDATED = release(updating_ms=NOW - 10 * MINUTE)
CHANGED = NOW - 9 * MINUTE


def ending(row: Any, seen: Any, done: Any, now_ms: int = NOW) -> ReleaseEnding:
    """How it ended, which it has."""
    found = outcome_of(row, seen, done, now_ms)
    assert isinstance(found, ReleaseEnding), found
    return found


@pytest.mark.parametrize(
    "done",
    [None, *(execution(each) for each in ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT"))],
)
def test_what_is_live_counts_whatever_became_of_the_execution(done: Any) -> None:
    """An execution that was killed after its update still released."""
    found = ending(UPDATED, endpoint(config=ASKED, modified_ms=CHANGED), done)
    assert (found.outcome, found.config) == ("released", ASKED)
    assert found.words == "released: perennial-live-census serves version 5"


@pytest.mark.parametrize("status", CHANGING)
@pytest.mark.parametrize("config", [ASKED, BEFORE, "other"])
def test_an_endpoint_that_changes_is_asked_again(status: str, config: str) -> None:
    """Nothing is settled over a fleet that is being made, moved or removed."""
    found = outcome_of(UPDATED, endpoint(status, config), execution("ABORTED"), NOW)
    assert found == AtWork(f"endpoint perennial-live-census is {status}")


def test_an_execution_that_runs_is_left_alone() -> None:
    """As long as what was asked for is not live."""
    for seen in (None, endpoint(), endpoint("Failed", ASKED), endpoint(config="other")):
        assert isinstance(outcome_of(UPDATED, seen, execution("RUNNING"), NOW), AtWork)


def test_back_to_the_old_configuration_after_an_update_is_a_rollback() -> None:
    """SageMaker leaves an endpoint in service; that is no success."""
    seen = endpoint(modified_ms=CHANGED, reason="alarm perennial-guard-census-r3-errors")
    found = ending(UPDATED, seen, execution())
    assert found.outcome == "rolled_back"
    assert "alarm perennial-guard-census-r3-errors" in found.words
    assert found.words.endswith("production is as it was: version 4")


def test_an_update_that_was_never_asked_for_is_no_rollback() -> None:
    """Announced, but refused by SageMaker: the endpoint was not touched."""
    done = execution(error="UpdateEndpointFailed", cause="ResourceLimitExceeded: no ml.m5.large")
    found = ending(UPDATED, endpoint(), done)
    assert found.outcome == "failed"
    assert found.words.startswith("failed: UpdateEndpointFailed: ResourceLimitExceeded")
    assert found.words.endswith("production is as it was: version 4")


def test_an_endpoint_that_changed_just_before_was_not_changed_by_this_release() -> None:
    """The last release ended a moment ago; what counts is the time that was seen, not a clock's."""
    announced = release(updating_ms=CHANGED, endpoint_ms=CHANGED - 1)
    failed = execution(error="UpdateEndpointFailed", cause="no quota")
    untouched = ending(announced, endpoint(modified_ms=CHANGED - 1), failed)
    assert (untouched.outcome, untouched.error) == ("failed", "UpdateEndpointFailed")
    turned_back = ending(announced, endpoint(modified_ms=CHANGED), failed)
    assert turned_back.outcome == "rolled_back"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("SmokeTestNotPassed", "failed"),
        ("Stale", "stale"),
        ("Withdrawn", "withdrawn"),
        ("NotApproved", "failed"),
        ("States.Runtime", "failed"),
        ("", "failed"),
    ],
)
def test_before_the_update_the_execution_tells_why(error: str, outcome: str) -> None:
    """Its named end, and its cause in one line."""
    found = ending(release(), endpoint(), execution(error=error, cause="p99 of 900 ms > 500 ms"))
    assert found.outcome == outcome
    assert "p99 of 900 ms > 500 ms; production is as it was: version 4" in found.words
    assert found.error == error


def test_a_stop_and_a_withdrawal_are_told_apart() -> None:
    """By what the row asked for; a stop from outside is named as such."""
    aborted = execution("ABORTED")
    stop = StopRequest("the registry", "version 5 was rejected by ann: biased")
    withdrawn = ending(release(stop=stop, is_withdrawn=True), endpoint(), aborted)
    assert withdrawn.outcome == "withdrawn"
    assert "rejected by ann: biased" in withdrawn.words
    assert ending(release(stop=stop), endpoint(), aborted).outcome == "stopped"
    by_hand = ending(release(), endpoint(), aborted)
    assert (by_hand.outcome, by_hand.words[:42]) == (
        "stopped",
        "stopped by hand, outside Perennial; produc",
    )


def test_the_first_release_that_fails_leaves_nothing_live() -> None:
    """There was nothing before it, and its words say so."""
    found = ending(release(before=None), None, execution(error="StagingFailed", cause="x"))
    assert (found.outcome, found.config) == ("failed", "")
    assert found.words.endswith("nothing is live, as before")


def test_a_first_endpoint_that_never_came_up_is_removed() -> None:
    """A Failed endpoint can only be deleted; its configuration is then served by nobody."""
    row = release(before=None, updating_ms=CHANGED)
    seen = endpoint("Failed", ASKED, reason="no answer to /ping")
    assert is_stillborn(row, seen)
    found = ending(row, seen, execution())
    assert (found.outcome, found.config) == ("failed", "")
    assert "(no answer to /ping); it is removed" in found.words


def test_a_failed_endpoint_of_old_stays_for_a_person() -> None:
    """It is not this release's to remove."""
    seen = endpoint("Failed", BEFORE)
    assert not is_stillborn(UPDATED, seen)
    found = ending(UPDATED, seen, execution())
    assert found.outcome == "failed"
    assert "perennial endpoint census --remove" in found.words


def test_a_rollback_that_failed_is_loud() -> None:
    """Both fleets may answer: people must act."""
    found = ending(UPDATED, endpoint("UpdateRollbackFailed", reason="no capacity"), execution())
    assert found.outcome == "failed"
    assert found.words.startswith("FAILED, AND SO DID ITS ROLLBACK")
    assert "machines of both versions may answer (no capacity)" in found.words
    assert "perennial release census" in found.words


def test_an_endpoint_that_was_deleted_is_named() -> None:
    """Somebody took it away during the release."""
    found = ending(UPDATED, None, execution())
    assert (found.outcome, found.config) == ("failed", "")
    assert "was deleted by someone" in found.words


def test_an_endpoint_that_someone_else_changed_is_named() -> None:
    """Neither what was asked for nor what was there before."""
    for row in (UPDATED, release(before=None, updating_ms=CHANGED)):
        found = ending(row, endpoint(config="by-hand"), execution())
        assert (found.outcome, found.config) == ("failed", "by-hand")
        assert "changed by someone else to by-hand" in found.words
        assert "perennial adopt census" in found.words


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
def test_a_request_under_way_is_waited_for(status: str) -> None:
    """An execution that is cut off in the middle of its call may still change the endpoint."""
    fresh = execution(status, stopped_ms=NOW - 5 * SECOND)
    assert isinstance(outcome_of(UPDATED, endpoint(), fresh, NOW), AtWork)
    assert isinstance(outcome_of(UPDATED, None, fresh, NOW), AtWork)
    later = NOW - 5 * SECOND + GRACE_MS
    assert ending(UPDATED, endpoint(), fresh, later).outcome in ("stopped", "failed")
    assert ending(release(), endpoint(), fresh).outcome in ("stopped", "failed")
    assert ending(UPDATED, endpoint(modified_ms=CHANGED), fresh).outcome == "rolled_back"


def test_a_rollback_says_that_it_is_one() -> None:
    """Version 4 again, by its own old configuration."""
    row = release(kind="rollback", version=4, config=BEFORE, before=live(3, 5), updating_ms=CHANGED)
    assert ending(row, endpoint(), execution("RUNNING")).words.endswith(
        "version 4 again, as before"
    )


def test_nothing_was_changed_by_asking_for_what_is_live() -> None:
    """The configuration alone does not make it this release's doing."""
    row = release(config=BEFORE)
    assert isinstance(outcome_of(row, endpoint(), execution("RUNNING"), NOW), AtWork)
    assert ending(row, endpoint(), execution(error="Stale")).outcome == "stale"


STATUSES = st.sampled_from(
    [*CHANGING, "InService", "Failed", "OutOfService", "UpdateRollbackFailed"]
)
ENDPOINTS = st.none() | st.builds(
    SeenEndpoint,
    STATUSES,
    st.sampled_from([ASKED, BEFORE, "other"]),
    st.text(max_size=600),
    st.sampled_from([NOW - HOUR, CHANGED, NOW]),
)
EXECUTIONS = st.none() | st.builds(
    execution,
    st.sampled_from(["RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "PENDING_REDRIVE"]),
    error=st.sampled_from(["", "Withdrawn", "Stale", "RolledBack"]),
    cause=st.text(max_size=600),
)
RELEASES = st.builds(
    release,
    before=st.sampled_from([None, live()]),
    updating_ms=st.sampled_from([None, NOW - 10 * MINUTE]),
    is_withdrawn=st.booleans(),
)


@given(row=RELEASES, seen=ENDPOINTS, done=EXECUTIONS)
def test_released_is_said_of_nothing_but_what_was_asked_for(
    row: Any, seen: SeenEndpoint | None, done: SeenExecution | None
) -> None:
    """In service, with the configuration that the release asked for; and then always."""
    found = outcome_of(row, seen, done, NOW)
    is_live = seen is not None and (seen.status, seen.config) == ("InService", ASKED)
    assert (isinstance(found, ReleaseEnding) and found.outcome == "released") == is_live


@given(row=RELEASES, seen=ENDPOINTS, done=EXECUTIONS)
def test_every_release_ends_once_all_is_at_rest(
    row: Any, seen: SeenEndpoint | None, done: SeenExecution | None
) -> None:
    """With words that fit, a configuration that was seen, and the same answer when asked again."""
    found = outcome_of(row, seen, done, NOW)
    runs = done is not None and not done.is_over
    changes = seen is not None and seen.status in CHANGING
    assert isinstance(found, ReleaseEnding) or runs or changes or row.updating_ms is not None
    if isinstance(found, ReleaseEnding):
        assert 0 < len(found.words) <= LONGEST_WORDS
        assert found.config in ("", seen.config if seen else "")
        assert outcome_of(row, seen, done, NOW + HOUR) == found


def test_a_rollback_says_what_sagemaker_said() -> None:
    """And what it may have been only where nobody said anything."""
    row = release(before=live(), updating_ms=NOW - MINUTE, endpoint_ms=NOW - 2 * MINUTE)
    for reason, said in (
        ("alarm guard-r3-latency is in ALARM.", "rolled back: alarm guard-r3-latency is in ALARM;"),
        ("", "rolled back: a guarding alarm went off, or the new fleet did not come up;"),
    ):
        seen = endpoint(config=live().config, reason=reason, modified_ms=NOW)
        found = outcome_of(row, seen, execution("FAILED"), NOW)
        assert isinstance(found, ReleaseEnding)
        assert found.words.startswith(said)
