"""State ShiftTraffic: the release's own endpoint gets its next share of the requests."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.observability import logger, observed
from perennial.shift_traffic import shift_traffic
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer the share, in thousandths; a repeated call shifts once."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    shifted = asdict(shift_traffic(ports(), model, release, execution, int(event["step"])))
    logger.info("shifted", extra={"model": model, "release": release, **shifted})
    return shifted
