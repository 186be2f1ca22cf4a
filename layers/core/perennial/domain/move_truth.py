"""How a release ended that brought an endpoint of its own: told from its move and the endpoint.

Nothing of SageMaker's tells who answers: the ledger's shares do. A move that held all requests for
its last bake, with no alarm, is released if its endpoint serves; every other one is turned back,
and says whether it ever answered anybody.
"""

from __future__ import annotations

from dataclasses import replace

from perennial.domain.ledger.ending import LONGEST_WORDS, telling_line
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import ReleaseEnding, ReleaseOutcome, ReleaseRow
from perennial.domain.release_truth import (
    CHANGING,
    CUT_OFF,
    GRACE_MS,
    IN_SERVICE,
    AtWork,
    SeenEndpoint,
    SeenExecution,
    as_it_was,
    by_execution,
    ending_by,
)

#: An endpoint with one of these answers; SageMaker repairs one of the second by itself.
ANSWERING = (IN_SERVICE, "SystemUpdating")
#: One that several models share may be changed by another's release, and answers meanwhile.
SHARED_ANSWERING = (*ANSWERING, "Updating", "RollingBack")


def outcome_of_move(  # noqa: PLR0913  # what was seen, part by part
    release: ReleaseRow,
    move: Move | None,
    target: SeenEndpoint | None,
    execution: SeenExecution | None,
    now_ms: int,
    *,
    is_before_gone: bool = False,
) -> ReleaseEnding | AtWork:
    """How a moving release ended, or that it is still at work. `move`: its own, once opened.

    `target` None: its endpoint is not there; `execution` None: AWS does not know it (any more).
    Of an ending other than `released`, the endpoint before the release is what is live, unless
    somebody deleted it meanwhile (`is_before_gone`).
    """
    serves = target is not None and target.status == IN_SERVICE and target.config == release.config
    if move is not None and move.baked and not move.turned_back and serves:
        words = f"released: {release.endpoint} serves version {release.version}"
        again = " again, as before" if release.kind == "rollback" else ""
        return ReleaseEnding("released", words + again, config=release.config)
    waits = _waits_for(release, target, execution, now_ms)
    if waits:
        return AtWork(waits)
    if move is not None and move.step > 0:
        ending = _rolled_back(release, move, target, execution)
        return _nothing_left(release, ending) if is_before_gone else ending
    if release.updating_ms is not None and target is not None and not serves:
        said = f"failed: the new {_trouble(release, target)}"
        return _turned_back(release, "failed", said, execution)
    return by_execution(release, execution, _config_before(release))


def trouble_with(release: ReleaseRow, target: SeenEndpoint | None) -> str:
    """What keeps a release's own endpoint from answering, in words; empty: nothing."""
    if target is None:
        return f"endpoint {release.endpoint} was deleted by someone"
    answering = SHARED_ANSWERING if release.endpoint_kind == "multi-model" else ANSWERING
    if target.status in answering and target.config == release.config:
        return ""
    return _trouble(release, target)


def _trouble(release: ReleaseRow, target: SeenEndpoint) -> str:
    if not target.config:
        return f"the archive of {release.config} was taken from {release.endpoint} by someone"
    if target.config != release.config:
        return f"endpoint {release.endpoint} was changed by someone to {target.config}"
    return f"endpoint {release.endpoint} is {target.status} ({target.reason or 'no reason given'})"


def _waits_for(
    release: ReleaseRow,
    target: SeenEndpoint | None,
    execution: SeenExecution | None,
    now_ms: int,
) -> str:
    """What keeps the release at work, in words; empty: nothing."""
    if target is not None and target.status in CHANGING:
        return f"endpoint {release.endpoint} is {target.status}"
    if execution is None:
        return ""
    if not execution.is_over:
        return "its execution goes on"
    was_cut_off = execution.status in CUT_OFF and release.updating_ms is not None
    if was_cut_off and target is None and now_ms - execution.stopped_ms < GRACE_MS:
        return "its last request may not have reached the endpoint yet"
    return ""


def _rolled_back(
    release: ReleaseRow,
    move: Move,
    target: SeenEndpoint | None,
    execution: SeenExecution | None,
) -> ReleaseEnding:
    """It answered some requests, and answers none any more: why, and who answers now."""
    why = move.words or trouble_with(release, target)
    if not why and release.stop is not None:
        why = f"stopped by {release.stop.by}: {release.stop.because}"
    if not why and execution is not None and execution.status in CUT_OFF:
        why = f"its execution was cut off ({execution.status})"
    if not why and execution is not None:
        why = telling_line(execution.cause)
    said = f"rolled back: {why or 'its execution ended before all traffic had moved'}"
    return _turned_back(release, "rolled_back", said, execution)


def _nothing_left(release: ReleaseRow, ending: ReleaseEnding) -> ReleaseEnding:
    """The same ending where there was nothing to go back to any more."""
    place = release.before.endpoint if release.before is not None else ""
    tail = (
        f"; and endpoint {place} was deleted by someone: nothing is live. `perennial release "
        f"{release.model}` makes one anew"
    )
    words = ending.words.removesuffix(f"; {as_it_was(release)}")[: LONGEST_WORDS - len(tail)]
    return replace(ending, words=words + tail, config="")


def _turned_back(
    release: ReleaseRow, outcome: ReleaseOutcome, said: str, execution: SeenExecution | None
) -> ReleaseEnding:
    """An ending after which what was live before is live; the words say so, however long."""
    tail = f"; {as_it_was(release)}"
    words = said[: LONGEST_WORDS - len(tail)] + tail
    return ending_by(outcome, words, execution, _config_before(release))


def _config_before(release: ReleaseRow) -> str:
    return release.before.config if release.before is not None else ""
