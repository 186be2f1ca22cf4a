"""State GuardEndpoint: alarms that look at the new fleet alone."""

from __future__ import annotations

from typing import Any

from perennial.guard_endpoint import guard_endpoint
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Put the alarms; answer their names."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    names = guard_endpoint(ports(), model, release, execution)
    logger.info("guarded", extra={"model": model, "release": release, "alarms": names})
    return {"alarms": list(names)}
