"""Record an approved version as the model's champion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.ledger import champion as champions
from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import RUN_SK, Champion, RunRow, Version, model_pk
from perennial.domain.ledger.store import Transaction, read_model, read_run

if TYPE_CHECKING:
    from perennial.wiring import Ports

Decision = Literal["recorded", "known", "not approved", "not ours", "gone"]


@dataclass(frozen=True)
class Recorded:
    """What became of an approval."""

    decision: Decision
    model: str = ""
    champion: Champion | None = None


def record_approval(ports: Ports, event: Any) -> Recorded:
    """Record the champion that a "SageMaker Model Package State Change" event tells of."""
    detail = event["detail"]
    stamp = detail.get("LastModifiedTime") or event["time"]
    approved_ms = int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)
    group, arn = detail["ModelPackageGroupName"], detail["ModelPackageArn"]
    return record_champion(ports, group, arn, approved_ms)


def record_champion(ports: Ports, group: str, arn: str, approved_ms: int) -> Recorded:
    """Record the version of an approval event, if it is ours and still approved.

    The newest approval wins, in whatever order approvals are heard of. A version that no run of
    the ledger registered never becomes champion.
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
        return Recorded("gone", model)
    if version.status != registry.APPROVED:
        return Recorded("not approved", model)
    run = _run_of(ports, model, arn)
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
    recorded = _record(ports, model, champion)
    _note_status(ports, run, Version(version.number, arn, version.status))
    return Recorded("recorded" if recorded else "known", model, champion)


def _record(ports: Ports, model: str, champion: Champion) -> bool:
    def decide() -> Transaction:
        row = read_model(ports.ledger, model)
        return () if row is None else champions.record_champion(row, champion)

    return commit_change(ports, decide)


def _note_status(ports: Ports, run: RunRow, version: Version) -> None:
    def decide() -> Transaction:
        row = read_run(ports.ledger, run.key)
        return () if row is None else claims.record_version(row, version)

    commit_change(ports, decide)


def _run_of(ports: Ports, model: str, arn: str) -> RunRow | None:
    """The run that registered a version, as the ledger knows it; packages may claim anything."""
    for row in ports.ledger.query(model_pk(model), RUN_SK):
        if isinstance(row, RunRow) and row.version is not None and row.version.arn == arn:
            return row
    return None
