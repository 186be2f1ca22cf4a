"""Name the models of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.ledger.store import read_model

if TYPE_CHECKING:
    from perennial.wiring import Ports


def list_models(ports: Ports) -> list[str]:
    """Every model that was pushed and not removed, by name."""
    return [name for name in ports.ledger.models() if read_model(ports.ledger, name) is not None]
