"""Open the run of a model that is due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from perennial.advance import Advance
from perennial.domain.ledger.store import read_model
from perennial.look_after import look_after

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: How long a wake may list a new model's objects; the sweeps go on from there.
LISTING_SECONDS = 15


def open_run(ports: Ports, model: str, *, arrived_ms: int | None = None) -> Advance:
    """Open and start the model's next run if one is due, else see that a wake is under way.

    `arrived_ms` is the due time of the wake that is being handled, if one is. Unknown models
    are passed over. Repeatable after a crash at any point, by anyone.
    """
    if arrived_ms is not None:
        _find_first_data(ports, model)
    return look_after(ports, model, arrived_ms=arrived_ms)


def _find_first_data(ports: Ports, model: str) -> None:
    """List what landed before the model was pushed: no event will announce it any more."""
    row = read_model(ports.ledger, model)
    if row is None or row.has_data:
        return
    from perennial.sweep import find_landed  # noqa: PLC0415  # spares a cold start

    find_landed(ports, model, deadline=time.monotonic() + LISTING_SECONDS)
