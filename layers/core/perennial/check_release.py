"""The last look before production changes: is all still as it was planned?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import objects
from perennial.aws.endpoints import describe_endpoint, describe_variants
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import naming
from perennial.domain.errors import Rejected, Unavailable
from perennial.domain.ledger.moves import open_move
from perennial.domain.ledger.release_claims import announce_update, note_figures
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.ledger.store import Transaction
from perennial.domain.move_truth import trouble_with
from perennial.domain.release_plan import MAIN
from perennial.domain.release_truth import CHANGING, SeenEndpoint
from perennial.domain.scaling_plan import keeps_count
from perennial.own_release import own_release
from perennial.plan_release import approved_version
from perennial.see_place import is_gone, see_live, see_target

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: A configuration is only ever updated from rest; or from a rollback that failed, as a repair.
UPDATABLE = ("InService", "UpdateRollbackFailed")


@dataclass(frozen=True)
class Ready:
    """Production may change; `exists`: there is an endpoint to update, else one is made.

    `keeps_counts`: the update leaves the number of instances that scaling has chosen as it is.
    """

    exists: bool
    keeps_counts: bool = False


def check_release(ports: Ports, model: str, release: int, execution: str) -> Ready:
    """Look once more, and note that production is about to change: from here on nobody withdraws.

    Raises `NotClaimed` and `Withdrawn`, `Unavailable` while somebody else's update is under way,
    and `Rejected` for an endpoint that can only be removed, or that an approval would take from
    somebody else: what serves there is not what was live when the release was opened.
    """
    row = own_release(ports, model, release, execution)
    approved_version(row)
    if row.moves:
        _check_place(ports, row)
        exists, endpoint_ms = False, None
    else:
        seen = describe_endpoint(row.endpoint)
        exists = _check_endpoint(row, seen)
        endpoint_ms = seen.modified_ms if seen is not None else None
    figures = _figures(ports, row)

    def note() -> Transaction:
        return note_figures(own_release(ports, model, release, execution), figures)

    def announce() -> Transaction:
        own = own_release(ports, model, release, execution)
        return (
            *announce_update(own, ports.clock(), endpoint_ms),
            *open_move(known_model(ports.ledger, model), own),
        )

    commit_change(ports, note)
    commit_change(ports, announce)
    return Ready(exists, keeps_counts=exists and _keeps_counts(ports, row))


def _keeps_counts(ports: Ports, row: ReleaseRow) -> bool:
    """Whether the present count is one that scaling may have chosen; else that of the settings."""
    model = known_model(ports.ledger, row.model)
    endpoint = read_settings_of(ports.ledger, model, row.settings).release.endpoint
    if endpoint is None:
        return False
    counts = {
        each["VariantName"]: each.get("DesiredInstanceCount")
        for each in describe_variants(row.endpoint)
    }
    return keeps_count(endpoint, counts.get(MAIN))


def _figures(ports: Ports, row: ReleaseRow) -> Mapping[str, Any]:
    """What the smoke test measured; a rollback has none."""
    key = f"{naming.release_base(row.model, row.number)}/smoke-test/smoke_test.json"
    found = objects.find_json(f"s3://{ports.deployment.artifact_bucket}/{key}")
    figures: Mapping[str, Any] = {} if found is None else found["figures"]
    return figures


def _check_place(ports: Ports, row: ReleaseRow) -> None:
    """Nothing may stand yet where traffic will move to, and what answers now be as it was.

    Of an endpoint that several models share the version must be ready to be asked.
    """
    target = see_target(ports, row)
    if row.endpoint_kind == "multi-model":
        trouble = trouble_with(row, target)
        if trouble:
            raise Rejected(f"{trouble}; release again: perennial release {row.model}")
    elif target is not None:
        raise Rejected(
            f"endpoint {row.endpoint} is there already ({target.status}, serves {target.config}), "
            f"and no release of {row.model} left it; delete it, then `perennial release "
            f"{row.model} --version {row.version}`"
        )
    if row.before is None or row.kind != "approval":
        return
    seen = see_live(ports, row.model, row.before)
    if not is_gone(seen) and seen is not None and seen.config != row.before.config:
        raise Rejected(_of_another(row, row.before.endpoint, seen.config))


def _of_another(row: ReleaseRow, endpoint: str, config: str) -> str:
    return (
        f"endpoint {endpoint} serves {config}, which no release of {row.model} put there; "
        f"`perennial adopt {row.model}` records it, `perennial release {row.model} --version "
        f"{row.version}` replaces it"
    )


def _check_endpoint(row: ReleaseRow, endpoint: SeenEndpoint | None) -> bool:
    if endpoint is None:
        return False
    if endpoint.status in CHANGING:
        raise Unavailable(f"endpoint {row.endpoint} is {endpoint.status} by somebody else")
    if endpoint.status not in UPDATABLE:
        raise Rejected(
            f"endpoint {row.endpoint} is {endpoint.status} ({endpoint.reason or 'no reason'}) and "
            f"cannot be updated; `perennial endpoint {row.model} --remove` takes it away"
        )
    if row.kind == "approval" and (row.before is None or row.before.config != endpoint.config):
        raise Rejected(_of_another(row, row.endpoint, endpoint.config))
    return True
