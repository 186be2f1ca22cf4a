"""Open the run of a model that is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.advance import Advance
from perennial.look_after import look_after

if TYPE_CHECKING:
    from perennial.wiring import Ports


def open_run(ports: Ports, model: str, *, arrived_ms: int | None = None) -> Advance:
    """Open and start the model's next run if one is due, else see that a wake is under way.

    `arrived_ms` is the due time of the wake that is being handled, if one is. Unknown models
    are passed over. Repeatable after a crash at any point, by anyone.
    """
    return look_after(ports, model, arrived_ms=arrived_ms)
