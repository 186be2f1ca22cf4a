"""Approve or reject a registered version, as a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws import registry
from perennial.describe_model import known_model
from perennial.domain import naming
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.rows import Version
from perennial.record_champion import note_decision, run_of_version

if TYPE_CHECKING:
    from perennial.wiring import Ports


def approve_version(ports: Ports, model: str, number: int, because: str, by: str) -> str:
    """Approve a version, also one that was rejected; its ARN.

    The registry's event then makes it the champion. Raises `NotFound`, and `NotAllowed` for a
    version that is approved already.
    """
    version = find_version(ports, model, number)
    if version.status == registry.APPROVED:
        raise NotAllowed(f"{model} {number} is approved already: {version.approval_words}")
    words = f"approved by {by}: {because}"
    if version.status == registry.REJECTED:
        words = f"{words} (overrules: {version.approval_words})"
    decide(ports, model, version, registry.APPROVED, words)
    return version.arn


def decide(ports: Ports, model: str, version: registry.Version, status: str, words: str) -> None:
    """Set a version's approval, and note it with its words on the row of the run that made it.

    The registry comes first: what only it has, its event or the next look will note.
    """
    kept = registry.update_approval(version.arn, status, words)
    run = run_of_version(ports, model, version.arn)
    if run is not None:
        note_decision(ports, run, Version(version.number, version.arn, status, kept))


def find_version(ports: Ports, model: str, number: int) -> registry.Version:
    """A version of a known model as the registry has it now; raises `NotFound`."""
    known_model(ports.ledger, model)
    return registry.find_version(naming.package_group(ports.deployment.stack, model), number)
