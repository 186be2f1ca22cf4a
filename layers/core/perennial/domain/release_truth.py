"""How a release ended, told from the endpoint itself.

An execution says what it wanted and how far it came; only the endpoint says what is live. A
deployment that SageMaker rolled back leaves an endpoint in service, with the configuration that
it had before; so the configuration's name decides, whatever became of the execution.
"""

from __future__ import annotations

from dataclasses import dataclass

from perennial.domain.ledger.ending import LONGEST_CAUSE, LONGEST_WORDS, telling_line
from perennial.domain.ledger.releases import stopped
from perennial.domain.ledger.rows import ReleaseEnding, ReleaseOutcome, ReleaseRow

IN_SERVICE = "InService"
#: An endpoint with one of these comes to rest by itself: ask again.
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
#: How an execution that another hand ended may have left a request of its own under way.
CUT_OFF = ("ABORTED", "TIMED_OUT")
#: A request that was under way has reached the endpoint after so long.
GRACE_MS = 30_000
#: How far the clocks of SageMaker and of our functions may lie apart.
SKEW_MS = 5_000
#: The machine's own ends by name, and what they mean.
ENDS: dict[str, ReleaseOutcome] = {"Withdrawn": "withdrawn", "Stale": "stale"}


@dataclass(frozen=True)
class SeenEndpoint:
    """What DescribeEndpoint told: ``modified_ms`` is its LastModifiedTime."""

    status: str
    config: str
    reason: str = ""
    modified_ms: int = 0


@dataclass(frozen=True)
class SeenExecution:
    """What DescribeExecution told; ``is_over`` also when its last state asks how it ended."""

    status: str
    is_over: bool
    error: str = ""
    cause: str = ""
    stopped_ms: int = 0


@dataclass(frozen=True)
class AtWork:
    """The release is not over: ask again."""

    words: str


def outcome_of(
    release: ReleaseRow,
    endpoint: SeenEndpoint | None,
    execution: SeenExecution | None,
    now_ms: int,
) -> ReleaseEnding | AtWork:
    """How a release that was started ended, or that it is still at work.

    ``endpoint`` None: there is none; ``execution`` None: AWS does not know it (any more).
    """
    is_live = endpoint is not None and endpoint.status == IN_SERVICE
    if endpoint is not None and is_live and _is_asked(release, endpoint):
        return _released(release, endpoint)
    waits = _waits_for(release, endpoint, execution, now_ms)
    if waits:
        return AtWork(waits)
    if endpoint is None:
        return _without_endpoint(release, execution)
    return _in_service(release, endpoint, execution) if is_live else _broken(release, endpoint)


def is_stillborn(release: ReleaseRow, endpoint: SeenEndpoint) -> bool:
    """Whether the endpoint was made by this release and never came up: it can only be removed."""
    return endpoint.status == "Failed" and endpoint.config == release.config


def _is_asked(release: ReleaseRow, endpoint: SeenEndpoint) -> bool:
    """Whether this release made the endpoint what it is.

    A rollback to what is live already would have changed nothing; it ends by its execution.
    """
    if endpoint.config != release.config:
        return False
    was_so = release.before is not None and release.before.config == release.config
    return not was_so or release.updating_ms is not None


def _waits_for(
    release: ReleaseRow,
    endpoint: SeenEndpoint | None,
    execution: SeenExecution | None,
    now_ms: int,
) -> str:
    """What keeps the release at work, in words; empty: nothing."""
    if endpoint is not None and endpoint.status in CHANGING:
        return f"endpoint {release.endpoint} is {endpoint.status}"
    if execution is not None and not execution.is_over:
        return "its execution goes on"
    if execution is not None and _may_still_change(release, endpoint, execution, now_ms):
        return "its last request may not have reached the endpoint yet"
    return ""


def _in_service(
    release: ReleaseRow, endpoint: SeenEndpoint, execution: SeenExecution | None
) -> ReleaseEnding:
    """The endpoint serves something else than what was asked for."""
    if release.before is None or endpoint.config != release.before.config:
        return _of_another(release, endpoint)
    if _was_changed(release, endpoint):
        return _rolled_back(release, endpoint, execution)
    return by_execution(release, execution, endpoint.config)


def _was_changed(release: ReleaseRow, endpoint: SeenEndpoint) -> bool:
    """Whether the update was asked for: announced, and the endpoint touched since."""
    announced = release.updating_ms
    if announced is None:
        return False
    if release.endpoint_ms is not None:
        return endpoint.modified_ms > release.endpoint_ms
    # Announced by an earlier Perennial, which noted its own time alone.
    return endpoint.modified_ms >= announced - SKEW_MS


def _may_still_change(
    release: ReleaseRow,
    endpoint: SeenEndpoint | None,
    execution: SeenExecution,
    now_ms: int,
) -> bool:
    """Whether a request that was under way when the execution was cut off may yet take effect."""
    if execution.status not in CUT_OFF or release.updating_ms is None:
        return False
    if endpoint is not None and _was_changed(release, endpoint):
        return False
    return now_ms - execution.stopped_ms < GRACE_MS


def _released(release: ReleaseRow, endpoint: SeenEndpoint) -> ReleaseEnding:
    words = f"released: {release.endpoint} serves version {release.version}"
    if release.kind == "rollback":
        words = f"{words} again, as before"
    return ReleaseEnding("released", words, config=endpoint.config)


def _rolled_back(
    release: ReleaseRow, endpoint: SeenEndpoint, execution: SeenExecution | None
) -> ReleaseEnding:
    why = endpoint.reason or (telling_line(execution.cause) if execution else "")
    why = why.rstrip(".") or "a guarding alarm went off, or the new fleet did not come up"
    words = f"rolled back: {why}; {as_it_was(release)}"
    return ending_by("rolled_back", words, execution, endpoint.config)


def _without_endpoint(release: ReleaseRow, execution: SeenExecution | None) -> ReleaseEnding:
    if release.before is None:
        return by_execution(release, execution, "")
    words = (
        f"failed: endpoint {release.endpoint} was deleted by someone; nothing is live. `perennial "
        f"release {release.model}` makes it anew"
    )
    return ending_by("failed", words, execution, "")


def _broken(release: ReleaseRow, endpoint: SeenEndpoint) -> ReleaseEnding:
    """The endpoint came to rest in a state that nothing serves from, or nobody knows what."""
    why = endpoint.reason or "no reason was given"
    name = f"endpoint {release.endpoint} is {endpoint.status}"
    words = (
        f"failed: {name} ({why}); `perennial endpoint {release.model} --remove` takes it away, and "
        f"`perennial release {release.model}` makes it anew"
    )
    if endpoint.status == "UpdateRollbackFailed":
        words = (
            f"FAILED, AND SO DID ITS ROLLBACK: {name}: machines of both versions may answer ({why})"
            f". Repair it at once: `perennial release {release.model}` updates it again"
        )
    elif is_stillborn(release, endpoint):
        words = f"failed: the new {name} ({why}); it is removed"
        return ReleaseEnding("failed", words[:LONGEST_WORDS], endpoint.status, why)
    return ReleaseEnding("failed", words[:LONGEST_WORDS], endpoint.status, why, endpoint.config)


def _of_another(release: ReleaseRow, endpoint: SeenEndpoint) -> ReleaseEnding:
    words = (
        f"failed: {release.endpoint} was changed by someone else to {endpoint.config}; "
        f"`perennial adopt {release.model}` records that, `perennial release {release.model}` "
        "undoes it"
    )
    return ReleaseEnding("failed", words, "ChangedByAnother", endpoint.config, endpoint.config)


def by_execution(
    release: ReleaseRow, execution: SeenExecution | None, config: str
) -> ReleaseEnding:
    """Production is as it was (`config`): why, the execution tells."""
    present = as_it_was(release)
    if execution is None:
        words = f"failed: its execution does not exist any more; {present}"
        return ReleaseEnding("failed", words, "ExecutionDoesNotExist", config=config)
    if release.is_withdrawn or execution.status == "ABORTED":
        ending = stopped(release)
        words = f"{ending.words}; {present}"
        return ending_by(ending.outcome, words, execution, config)
    if execution.status == "TIMED_OUT":
        return ending_by("failed", f"failed: it took too long; {present}", execution, config)
    if execution.status == "SUCCEEDED":
        words = f"failed: its execution ended without changing anything; {present}"
        return ending_by("failed", words, execution, config)
    why = telling_line(execution.cause) or "no cause was given"
    outcome = ENDS.get(execution.error, "failed")
    name = execution.error or "unknown error"
    said = f"{outcome}: {why}" if outcome != "failed" else f"failed: {name}: {why}"
    room = LONGEST_WORDS - len(present) - 2
    return ending_by(outcome, f"{said[:room]}; {present}", execution, config)


def as_it_was(release: ReleaseRow) -> str:
    """What is live after a release that changed nothing, in words."""
    before = release.before
    if before is None:
        return "nothing is live, as before"
    return f"production is as it was: version {before.version}"


def ending_by(
    outcome: ReleaseOutcome, words: str, execution: SeenExecution | None, config: str
) -> ReleaseEnding:
    """An ending with the execution's own error and cause; `config`: what is live."""
    error = execution.error if execution is not None else ""
    cause = execution.cause if execution is not None else ""
    return ReleaseEnding(
        outcome, words[:LONGEST_WORDS], error[:LONGEST_WORDS], cause[:LONGEST_CAUSE], config
    )
