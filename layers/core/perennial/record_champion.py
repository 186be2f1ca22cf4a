"""Hear of approvals: a version goes to production by a release, or is champion at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.domain import naming
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.ledger import champion as champions
from perennial.domain.ledger import claims
from perennial.domain.ledger.release_claims import approve_production
from perennial.domain.ledger.rows import RUN_SK, Champion, RunRow, Version, model_pk
from perennial.domain.ledger.store import Transaction, read_model, read_run
from perennial.request_release import (
    is_released,
    read_steady,
    request_release,
    withdraw_release,
)

if TYPE_CHECKING:
    from perennial.wiring import Ports

STATUS = "ModelApprovalStatus"
#: What a stage's status says when the version may be in it.
LET_IN = ("approved", "active")
Decision = Literal[
    "recorded",
    "new",
    "superseded",
    "known",
    "withdrawn",
    "staged",
    "not approved",
    "not ours",
    "gone",
]


@dataclass(frozen=True)
class Recorded:
    """What became of an approval.

    `recorded`: its version is champion. `new`: a release brings it into production. `superseded`:
    a newer decision was heard of first. `known`: heard of before. `withdrawn`: the version is not
    approved any more, and was kept from production. `staged`: its release, which waited for a
    person, goes on into production.
    """

    decision: Decision
    model: str = ""
    champion: Champion | None = None


def record_approval(ports: Ports, event: Any) -> Recorded:
    """Hear of what a "SageMaker Model Package State Change" event tells.

    An approval, one that was taken back, or a life cycle stage that lets a release go on.
    """
    detail = event["detail"]
    if STATUS not in detail.get("UpdatedModelPackageFields", [STATUS]):
        return _hear_stage(ports, detail)
    stamp = detail.get("LastModifiedTime") or event["time"]
    approved_ms = int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)
    group, arn = detail["ModelPackageGroupName"], detail["ModelPackageArn"]
    return record_champion(ports, group, arn, approved_ms)


def _hear_stage(ports: Ports, detail: Any) -> Recorded:
    """Let a release go on whose version was set to production, as `approve --production` does."""
    group, arn = detail["ModelPackageGroupName"], detail["ModelPackageArn"]
    model = group.removeprefix(f"{ports.deployment.token}-")
    cycle = detail.get("ModelLifeCycle") or {}
    stage, status = str(cycle.get("Stage", "")), str(cycle.get("StageStatus", ""))
    if stage.lower() != "production" or status.lower() not in LET_IN:
        return Recorded("not approved", model)
    words = cycle.get("StageDescription") or f"{stage} is {status}"

    def decide() -> Transaction:
        book = read_steady(ports, model)
        release = book.release if book is not None else None
        if release is None or release.arn != arn or not release.token:
            return ()
        try:
            return approve_production(release, "the registry", words)
        except NotAllowed:  # it is over, or being stopped
            return ()

    return Recorded("staged" if commit_change(ports, decide) else "known", model)


def record_champion(ports: Ports, group: str, arn: str, approved_ms: int) -> Recorded:
    """Hear of a version's approval, if it is ours and still approved.

    Of a model that is served the version goes to production by a release, which makes it champion;
    else it is champion at once. The newest approval wins, in whatever order approvals are heard
    of. A version that no run of the ledger registered never becomes champion by its approval.
    """
    model = group.removeprefix(f"{ports.deployment.token}-")
    if group != naming.package_group(ports.deployment.stack, model):
        return Recorded("not ours")
    row = read_model(ports.ledger, model)
    if row is None:
        return Recorded("not ours", model)
    try:
        version = registry.describe_version(arn)
    except NotFound:
        is_kept = withdraw_release(ports, model, arn, "it was removed from the registry")
        return Recorded("withdrawn" if is_kept else "gone", model)
    if version.status != registry.APPROVED:
        words = f"version {version.number} is {version.status}: {version.approval_words}"
        is_kept = withdraw_release(ports, model, arn, words)
        return Recorded("withdrawn" if is_kept else "not approved", model)
    run = run_of_version(ports, model, arn)
    if run is None:
        return Recorded("not ours", model)
    champion = Champion(
        version=version.number,
        arn=arn,
        digest=version.metadata.get("perennial:artifact_digest", ""),
        run=run.number,
        settings=run.settings,
        since_ms=approved_ms,
    )
    decision: Decision
    if is_released(ports, row):
        decision = request_release(ports, model, champion, version.approval_words)
    else:
        decision = "recorded" if _record(ports, model, champion) else "known"
    note_decision(ports, run, Version(version.number, arn, version.status, version.approval_words))
    return Recorded(decision, model, champion)


def _record(ports: Ports, model: str, champion: Champion) -> bool:
    def decide() -> Transaction:
        row = read_model(ports.ledger, model)
        return () if row is None else champions.record_champion(row, champion)

    return commit_change(ports, decide)


def note_decision(ports: Ports, run: RunRow, version: Version) -> None:
    """Note on its run's row how a version stands, and who or what decided so, and why."""

    def decide() -> Transaction:
        row = read_run(ports.ledger, run.key)
        return () if row is None else claims.record_version(row, version)

    commit_change(ports, decide)


def run_of_version(ports: Ports, model: str, arn: str) -> RunRow | None:
    """The run that registered a version, as the ledger knows it; packages may claim anything."""
    for row in ports.ledger.query(model_pk(model), RUN_SK):
        if isinstance(row, RunRow) and row.version is not None and row.version.arn == arn:
            return row
    return None
