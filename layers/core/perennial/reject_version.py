"""Reject a registered version, as a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.approve_version import decide, find_version
from perennial.aws import registry
from perennial.describe_model import known_model
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.champion import check_reject

if TYPE_CHECKING:
    from perennial.wiring import Ports


def reject_version(ports: Ports, model: str, number: int, because: str, by: str) -> str:
    """Reject a version; its ARN.

    Raises `NotFound`, and `NotAllowed` for the champion or a version that is rejected already.
    """
    check_reject(known_model(ports.ledger, model), number)
    version = find_version(ports, model, number)
    if version.status == registry.REJECTED:
        raise NotAllowed(f"{model} {number} is rejected already: {version.approval_words}")
    decide(ports, model, version, registry.REJECTED, f"rejected by {by}: {because}")
    return version.arn
