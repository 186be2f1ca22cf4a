"""Settle a release whose ending is recorded: what it leaves behind removed, its version marked,
its model freed. Each part may be repeated after a crash at any point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perennial.aws import alarms, endpoints, jobs, registry, scaling
from perennial.aws.machine import describe
from perennial.domain import naming
from perennial.domain.errors import Conflict, NotFound
from perennial.domain.ledger import releases
from perennial.domain.ledger.moves import archives_kept, endpoint_left, leaves_until
from perennial.domain.ledger.releases import ReleaseBook
from perennial.domain.ledger.rows import ModelRow, ReleaseRow
from perennial.domain.ledger.store import read_release
from perennial.domain.release_truth import is_stillborn
from perennial.leave_shared import leave_shared

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class SettledRelease:
    """The release's row as it ended; None while something is being removed, as `words` say."""

    row: ReleaseRow | None
    words: str = ""


def settle_release(ports: Ports, book: ReleaseBook, *, is_at_work: bool = False) -> SettledRelease:
    """Settle and free the open release. `is_at_work`: its own execution asks, in its last state.

    Raises `Conflict` when another process settles the same one; read again.
    """
    release = book.release
    if release is None or release.ending is None:
        raise Conflict(f"{book.model.model} has no release to settle")
    words = _remove_endpoints(ports, release, is_at_work=is_at_work)
    words = words or _leave(ports, book.model, release)
    if words:
        return SettledRelease(None, words)
    _remove_configs(ports, book, release)
    _mark_version(release)
    ports.ledger.commit(releases.free(book.model, release, ports.clock()))
    ended = read_release(ports.ledger, release.key)
    return SettledRelease(ended if ended is not None else replace(release, state="ended"))


def _remove_endpoints(ports: Ports, release: ReleaseRow, *, is_at_work: bool) -> str:
    """Stop the release's jobs, remove its staging endpoint and one that never came up.

    In words what is not gone yet; empty: nothing is left.
    """
    stack, model = ports.deployment.stack, release.model
    prefix = naming.release_prefix(stack, model, release.number)
    execution = None if is_at_work else describe(release.execution)
    if not is_at_work and (execution is None or execution.is_over):
        stopping = jobs.stop_release_jobs(prefix)
        if stopping:
            return f"job {stopping[0].name} is being stopped"
    gone = [naming.staging_endpoint(stack, model)]
    live = endpoints.describe_endpoint(release.endpoint)
    if live is not None and not release.moves and is_stillborn(release, live):
        gone.append(release.endpoint)
    for name in gone:
        if endpoints.remove_endpoint_named(name):
            return f"endpoint {name} is being removed"
    return ""


def _leave(ports: Ports, model: ModelRow, release: ReleaseRow) -> str:
    """Remove the endpoint that a move has left, and what scales it; in words what is not gone yet.

    On an endpoint that several models share it is the archives that nobody asks for any more.

    Not at once: who divides the requests may not know yet. One that somebody else has changed is
    theirs to remove.
    """
    if "multi-model" in (release.endpoint_kind, release.before.kind if release.before else ""):
        if ports.clock() < leaves_until(model, release):
            return f"requests leave an archive of {release.endpoint}"
        kept = archives_kept(releases.live_after(model, release)[0])
        deployment = ports.deployment
        if leave_shared(deployment.stack, deployment.artifact_bucket, release.model, kept):
            return "the shared endpoint is being removed, as its last model left"
    name = endpoint_left(release)
    seen = endpoints.describe_endpoint(name) if name else None
    if seen is None or (name == release.endpoint and seen.config != release.config):
        return ""
    if ports.clock() < leaves_until(model, release):
        return f"requests leave endpoint {name}"
    before = release.before
    if before is not None and name == before.endpoint and before.kind == "instances":
        scaling.remove_scaling(name)  # nobody may scale what is about to go
    endpoints.remove_endpoint_named(name)
    return f"endpoint {name} is being removed"


def _remove_configs(ports: Ports, book: ReleaseBook, release: ReleaseRow) -> None:
    """Remove alarms, the staging configuration, and configurations that nothing needs any more."""
    stack, model = ports.deployment.stack, release.model
    prefix = naming.release_prefix(stack, model, release.number)
    alarms.delete_alarms(
        [naming.guard_alarm(stack, model, release.number, kind) for kind in naming.GUARD_KINDS]
    )
    endpoints.delete_config(naming.staging_config(prefix))
    live = endpoints.describe_endpoint(release.endpoint)
    for config in releases.left_over(book.model, release):
        is_served = live is not None and live.config == config
        # What was adopted under a name of somebody else's is theirs to remove.
        if not is_served and naming.release_of_name(stack, model, config) is not None:
            endpoints.delete_config(config)
            endpoints.delete_model(config)


def _mark_version(release: ReleaseRow) -> None:
    """Let the registry tell what became of the version; one that is gone needs no mark."""
    ending = release.ending
    try:
        registry.note_metadata(
            release.arn,
            {
                "perennial:release": str(release.number),
                "perennial:release_outcome": ending.outcome if ending else "",
                "perennial:release_words": ending.words if ending else "",
            },
        )
    except NotFound:
        return
