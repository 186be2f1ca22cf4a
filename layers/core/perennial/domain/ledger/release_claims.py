"""What an execution may do for its release, and what people may do to it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.domain.errors import NotAllowed, NotClaimed, Withdrawn
from perennial.domain.ledger.rows import ModelRow, ReleaseRow, StopRequest
from perennial.domain.ledger.store import Transaction, change


def check_release_claim(model: ModelRow | None, release: ReleaseRow | None, execution: str) -> None:
    """Raise ``NotClaimed`` unless ``execution`` (an ARN) may act for ``release`` now.

    It may if the release's row names it, the release holds its model, and its end is not
    recorded. Raises ``Withdrawn`` when the version's approval was taken back.
    """
    if model is None or release is None:
        raise NotClaimed("its model was removed, or its release never was; nothing is to be done")
    name = f"release {release.number} of {release.model}"
    if release.execution != execution:
        raise NotClaimed(f"{name} belongs to execution {release.execution or '(none)'}")
    if release.state == "ended" or release.ending is not None:
        outcome = release.outcome or (release.ending.outcome if release.ending else release.state)
        raise NotClaimed(
            f"{name} is over ({outcome}); to repeat it: perennial release {release.model} "
            f"--version {release.version}"
        )
    if model.open_release != release.number:
        raise NotClaimed(f"{name} does not hold its model any more")
    if release.stop is not None:
        words = f"{release.stop.by}: {release.stop.because}"
        if release.is_withdrawn:
            raise Withdrawn(words)
        raise NotClaimed(f"{name} was stopped by {words}")


def announce_update(
    release: ReleaseRow, now_ms: int, endpoint_ms: int | None = None
) -> Transaction:
    """Note that production is about to be changed; the first time stays.

    `endpoint_ms`: when the endpoint last changed. From here on a withdrawal comes too late. Call
    :func:`check_release_claim` first, on the same reading.
    """
    if release.updating_ms is not None:
        return ()
    return (change(release, updating_ms=now_ms, endpoint_ms=endpoint_ms),)


def ask_person(release: ReleaseRow, token: str, now_ms: int) -> Transaction:
    """Note the task token that a person's answer goes to; a repeated task has another one."""
    if release.token == token:
        return ()
    asked_ms = release.asked_ms if release.asked_ms is not None else now_ms
    return (change(release, token=token, asked_ms=asked_ms),)


def approve_production(release: ReleaseRow, by: str, because: str) -> Transaction:
    """Let a release that passed its smoke test into production; empty if that was said before."""
    name = f"release {release.number} of {release.model}"
    if release.state == "ended" or release.ending is not None:
        raise NotAllowed(f"{name} has ended ({release.outcome or 'it is being settled'})")
    if release.stop is not None:
        raise NotAllowed(f"{name} is being stopped: {release.stop.because}")
    if release.updating_ms is not None or release.approved_by:
        return ()
    if not release.token:
        raise NotAllowed(
            f"{name} does not wait for a person: it is being tested, or release.production of its "
            "settings is not person"
        )
    return (change(release, approved_by=f"{by}: {because}"),)


def withdraw(release: ReleaseRow, because: str) -> Transaction:
    """Stop a release whose version is not approved any more; empty if that comes too late."""
    is_over = release.state == "ended" or release.ending is not None
    if is_over or release.updating_ms is not None or release.stop is not None:
        return ()
    return (change(release, stop=StopRequest("the registry", because), is_withdrawn=True),)


def stop_release(release: ReleaseRow, by: str, because: str) -> Transaction:
    """Ask a release to stop; empty if it was asked before or is ending.

    A deployment that has begun goes on: then the endpoint tells how it ended.
    """
    if release.state == "ended" or release.ending is not None or release.stop is not None:
        return ()
    return (change(release, stop=StopRequest(by, because)),)


def note_figures(release: ReleaseRow, figures: Mapping[str, Any]) -> Transaction:
    """Add what was found (whole numbers and short texts); empty if it is noted already."""
    merged = {**release.figures, **figures}
    return () if merged == dict(release.figures) else (change(release, figures=merged),)
