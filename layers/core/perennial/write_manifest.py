"""Fix what a run works on: its settings, its manifest and its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perennial.aws.objects import current_versions, put_bytes
from perennial.describe_model import parsed_settings
from perennial.domain import manifest as manifests
from perennial.domain import naming, run_input
from perennial.domain.errors import NotFound
from perennial.domain.ledger.opening import Claim, claim, retire
from perennial.domain.ledger.rows import (
    DONE_SK,
    ManifestRef,
    RunRow,
    SettingsRow,
    SignalRow,
    settings_key,
)
from perennial.domain.ledger.store import read_signals
from perennial.domain.settings import apply_overrides

if TYPE_CHECKING:
    from perennial.settings_env import Deployment
    from perennial.wiring import Ports

LEFT_OUT = ("quarantined", "excluded")


def write_manifest(ports: Ports, run: RunRow, claimed: Sequence[SignalRow]) -> None:
    """Write the run's settings and manifest and claim with them; the first writer wins.

    If some of what called for the run is gone, only that is settled: the caller reads again, for
    perhaps nothing is left that calls for it.

    Two writers list at different moments, so each manifest lies under its own digest and only
    the one that the run row names counts. Raises `Conflict` for the second writer.
    """
    pushed = _pushed(ports, run)
    settings = parsed_settings(pushed.settings, run.model)
    if run.overrides:
        settings = apply_overrides(settings, run.overrides)
    bucket = ports.deployment.artifact_bucket
    current = list(
        current_versions(ports.deployment.landing_bucket, naming.landing_prefix(run.model))
    )
    done = read_signals(ports.ledger, run.model, DONE_SK)
    manifest = manifests.build(
        (run.model, run.number),
        current,
        select=settings.data.select,
        left_out={row.id for row in done if row.state in LEFT_OUT},
        created_ms=run.opened_ms,
    )
    key = naming.manifest_key(run.model, run.number, manifest.digest)
    uri = put_bytes(bucket, key, manifest.body, content_type="application/json")
    put_bytes(
        bucket,
        naming.settings_key(run.model, run.number),
        run_input.effective_settings(settings),
        content_type="application/json",
    )
    gone = retire(run, claimed, current, manifest.ids, ports.clock())
    for transaction in gone:
        ports.ledger.commit(transaction)
    if gone:
        return
    place = run_input.Place(ports.deployment.stack, bucket, network_of(ports.deployment))
    name = naming.execution_name(ports.deployment.stack, run.model, run.number)
    facts = Claim(
        manifest=ManifestRef(uri, manifest.digest, len(manifest.objects), manifest.bytes),
        input=run_input.build(run, pushed, settings, place, uri),
        execution=naming.execution_arn(ports.deployment.machine_arn, name),
    )
    ports.ledger.commit(claim(run, claimed, facts, ports.clock()))


def network_of(deployment: Deployment) -> run_input.Network:
    """Where the stack's jobs run: parameters of the stack, none without a VPC."""

    def parts(variable: str) -> tuple[str, ...]:
        return tuple(part for part in deployment.optional(variable).split(",") if part)

    return run_input.Network(
        subnets=parts("VPC_SUBNET_IDS"),
        security_groups=parts("VPC_SECURITY_GROUP_IDS"),
        isolated=deployment.optional("NETWORK_ISOLATION") == "yes",
    )


def _pushed(ports: Ports, run: RunRow) -> SettingsRow:
    row = ports.ledger.get(settings_key(run.model, run.settings))
    if not isinstance(row, SettingsRow):
        raise NotFound(f"settings version {run.settings} of {run.model} does not exist any more")
    return row
