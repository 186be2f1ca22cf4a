"""State RegisterVersion: every judged candidate becomes a version, pending or rejected."""

from __future__ import annotations

from typing import Any

from perennial.observability import logger, observed
from perennial.register_version import Registration, register_version
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Register the run's candidate and answer its number, ARN and status."""
    version = register_version(ports(), Registration(**event))
    logger.info(
        "registered",
        extra={"model": event["model"], "run": event["run"], "version": version.arn},
    )
    return {"version": version.number, "arn": version.arn, "status": version.status}
