"""Fix what a run works on: its settings, its manifest and its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perennial.aws.objects import current_versions, put_bytes
from perennial.describe_model import parsed_settings
from perennial.domain import manifest as manifests
from perennial.domain import naming, run_input
from perennial.domain.errors import NotFound
from perennial.domain.ledger.opening import (
    Claim,
    Dataset,
    bring_back,
    claim,
    is_outside,
    retire,
)
from perennial.domain.ledger.rows import (
    DONE_SK,
    ManifestRef,
    RunRow,
    SettingsRow,
    SignalRow,
    settings_key,
)
from perennial.domain.ledger.store import read_signals
from perennial.domain.settings import Settings, apply_overrides
from perennial.domain.sources import LANDED, prefixes_of
from perennial.domain.window import Span, span_of

if TYPE_CHECKING:
    from perennial.settings_env import Deployment
    from perennial.wiring import Ports


def write_manifest(ports: Ports, run: RunRow, claimed: Sequence[SignalRow]) -> None:
    """Write the run's settings and manifest and claim with them; the first writer wins.

    If some of what called for the run is gone, or comes back into the data window, only that is
    settled: the caller reads again, for perhaps nothing is left that calls for it.

    Two writers list at different moments, so each manifest lies under its own digest and only
    the one that the run row names counts. Raises `Conflict` for the second writer.
    """
    pushed = _pushed(ports, run)
    settings = parsed_settings(pushed.settings, run.model)
    if run.overrides:
        settings = apply_overrides(settings, run.overrides)
    bucket = ports.deployment.artifact_bucket
    done = read_signals(ports.ledger, run.model, DONE_SK)
    span = span_of(settings.data.window, run.opened_ms, claimed)
    manifest, dataset = _dataset(ports, run, settings, span, done)
    key = naming.manifest_key(run.model, run.number, manifest.digest)
    uri = put_bytes(bucket, key, manifest.body, content_type="application/json")
    put_bytes(
        bucket,
        naming.settings_key(run.model, run.number),
        run_input.effective_settings(settings),
        content_type="application/json",
    )
    changes = retire(run, claimed, dataset, ports.clock())
    changes += bring_back(run, done, manifest.ids, ports.clock())
    for transaction in changes:
        ports.ledger.commit(transaction)
    if changes:
        return
    place = run_input.Place(ports.deployment.stack, bucket, network_of(ports.deployment))
    name = naming.execution_name(ports.deployment.stack, run.model, run.number)
    facts = Claim(
        manifest=ManifestRef(uri, manifest.digest, len(manifest.objects), manifest.bytes),
        input=run_input.build(run, pushed, settings, place, uri),
        execution=naming.execution_arn(ports.deployment.machine_arn, name),
        nothing=_why_empty(settings, span, manifest),
    )
    ports.ledger.commit(claim(run, claimed, facts, ports.clock()))


def _dataset(
    ports: Ports, run: RunRow, settings: Settings, span: Span, done: Sequence[SignalRow]
) -> tuple[manifests.Manifest, Dataset]:
    """The run's manifest, and what it makes of what has landed."""
    sources = dict(settings.data.sources)
    deployment = ports.deployment
    current = tuple(current_versions(deployment.landing_bucket, naming.landing_prefix(run.model)))
    others = [
        (source, each)
        for source in sources
        for prefix in prefixes_of(source, run.model)
        for each in current_versions(deployment.artifact_bucket, prefix)
    ]
    manifest = manifests.build(
        (run.model, run.number),
        current,
        select=settings.data.select if LANDED in sources else (),
        left_out={
            row.id
            for row in done
            if row.state == "quarantined" or (row.state == "excluded" and not is_outside(row))
        },
        created_ms=run.opened_ms,
        span=span,
        others=others,
    )
    left_by = "data.select" if LANDED in sources else "data.sources"
    return manifest, Dataset(current, manifest.ids, manifest.outside, span.words, left_by)


def _why_empty(settings: Settings, span: Span, manifest: manifests.Manifest) -> str:
    """Why a manifest lists nothing, if it is not for want of landed data alone."""
    if manifest.outside:
        return f"no data in the data window ({span.words})"
    sources = [source for source, _ in settings.data.sources]
    return f"no data in {', '.join(sources)}" if sources != [LANDED] else ""


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
