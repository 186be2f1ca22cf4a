"""State WatchTraffic: does the release's own endpoint do harm while it answers requests?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.observability import logger, observed
from perennial.watch_traffic import watch_traffic
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer what comes next: `wait`, `shift`, `done`, or `back` and why."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    step, looks = int(event["step"]), int(event["looks"])
    watched = asdict(watch_traffic(ports(), model, release, execution, step=step, looks=looks))
    logger.info("watched", extra={"model": model, "release": release, **watched})
    return watched
