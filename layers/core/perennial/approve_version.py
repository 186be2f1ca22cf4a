"""Approve or reject a registered version, as a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws import registry
from perennial.describe_model import known_model
from perennial.domain import naming
from perennial.domain.errors import NotAllowed

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
    registry.update_approval(version.arn, registry.APPROVED, words)
    return version.arn


def find_version(ports: Ports, model: str, number: int) -> registry.Version:
    """A version of a known model as the registry has it now; raises `NotFound`."""
    known_model(ports.ledger, model)
    return registry.find_version(naming.package_group(ports.deployment.stack, model), number)
