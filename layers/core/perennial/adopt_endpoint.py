"""Adopt what is live already, or an approved version, as a model's champion.

For an endpoint that the ledger does not know of (made by hand, changed by somebody else, or older
than the ledger), and for a version that nobody released.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.approve_version import find_version
from perennial.aws import endpoints, registry
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import naming
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.ledger import releases
from perennial.domain.ledger.move_rows import EndpointKind
from perennial.domain.ledger.releases import ReleaseNames
from perennial.domain.ledger.rows import ModelRow, Wanted
from perennial.domain.ledger.single_flight import refuse_during_test
from perennial.domain.ledger.store import Transaction
from perennial.domain.release_truth import IN_SERVICE
from perennial.record_champion import run_of_version

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Adopted:
    """What was adopted; `config` is empty for a version that serves nowhere.

    `is_new` is False when the ledger said so already.
    """

    model: str
    version: int
    endpoint: str
    config: str
    is_new: bool


def adopt_endpoint(ports: Ports, model: str, number: int | None, because: str, by: str) -> Adopted:
    """Record the version that the live endpoint serves, or `number` without one, as champion.

    Raises `NotFound`, and `NotAllowed` when the endpoint is not in service, serves something that
    is no approved version of the model, or another version than `number`.
    """
    row = known_model(ports.ledger, model)
    refuse_during_test(row, "an adoption")
    if row.live is not None and row.live.kind == "multi-model":
        raise NotAllowed(
            f"{row.live.endpoint} serves several models, each by an archive that a release brought "
            f"there, so nothing on it can be adopted; perennial release {model} --version <n>"
        )
    endpoint = _standing(ports, row)
    config, kind, served = _served(ports, model, endpoint)
    if number is None and not config:
        raise NotFound(
            f"there is no endpoint {endpoint}; `perennial adopt {model} --version <n>` records an "
            "approved version as champion without one"
        )
    if number is not None and config and number != served:
        raise NotAllowed(f"{endpoint} serves version {served} of {model}, not {number}")
    version = find_version(ports, model, number or served)
    if version.status != registry.APPROVED:
        raise NotAllowed(
            f"{model} {version.number} is {version.status}; approve it first, or release another"
        )
    run = run_of_version(ports, model, version.arn)
    wanted = Wanted(
        kind="adopt",
        version=version.number,
        arn=version.arn,
        decided_ms=ports.clock(),
        run=run.number if run else 0,
        settings=run.settings if run else 0,
        digest=version.metadata.get("perennial:artifact_digest", ""),
        by=by,
        because=because,
    )
    asked = read_settings_of(ports.ledger, row).release.endpoint
    # SageMaker captures nothing of a serverless endpoint: `predict` does, as the settings say.
    captured = round(100 * asked.capture) if asked and kind != "instances" else 0
    place = endpoint if config else ""
    names = ReleaseNames("", "", place, config, kind, captured=captured)

    def decide() -> Transaction:
        row = known_model(ports.ledger, model)
        return releases.adopt(row, wanted, names, ports.clock())

    is_new = commit_change(ports, decide)
    return Adopted(model, version.number, names.endpoint, config, is_new)


def _standing(ports: Ports, row: ModelRow) -> str:
    """The name of the endpoint that answers: the live one, or whichever of the two is there."""
    stack = ports.deployment.stack
    first = row.live.endpoint if row.live is not None else naming.live_endpoint(stack, row.model)
    names = (first, naming.other_slot(stack, row.model, first))
    there = [name for name in names if endpoints.describe_endpoint(name) is not None]
    return there[0] if there else first


def _served(ports: Ports, model: str, endpoint: str) -> tuple[str, EndpointKind, int]:
    """The configuration that the endpoint serves, its kind and version; empty: no endpoint."""
    found = endpoints.describe_endpoint(endpoint)
    if found is None:
        return "", "instances", 0
    if found.status != IN_SERVICE:
        raise NotAllowed(f"{endpoint} is {found.status}; adopt it when it is {IN_SERVICE}")
    variants = endpoints.describe_config(found.config)
    if len(variants) != 1 or variants[0].variant != "main":
        names = ", ".join(each.variant for each in variants)
        raise NotAllowed(
            f"{endpoint} serves the variants {names}; only one called main can be adopted, for "
            "every release updates that one"
        )
    kind: EndpointKind = "instances" if variants[0].instance else "serverless"
    return found.config, kind, _version_of(ports, model, endpoint, variants[0])


def _version_of(ports: Ports, model: str, endpoint: str, served: endpoints.ServedVersion) -> int:
    """Which version a variant serves: the one of its package, or that has its very artifact."""
    group = naming.package_group(ports.deployment.stack, model)
    for summary in registry.list_versions(group):
        arn = str(summary["ModelPackageArn"])
        if arn == served.package or (served.artifact and _artifact(arn) == served.artifact):
            return int(summary["ModelPackageVersion"])
    what = served.package or served.artifact or "no artifact at all"
    raise NotAllowed(
        f"{endpoint} serves {what}, which is no version of {group}; register it there, or release "
        f"a version of {model} in its place: perennial release {model} --version <n>"
    )


def _artifact(arn: str) -> str:
    specification = registry.describe_version(arn).raw.get("InferenceSpecification", {})
    containers = specification.get("Containers") or [{}]
    return str(containers[0].get("ModelDataUrl", ""))
