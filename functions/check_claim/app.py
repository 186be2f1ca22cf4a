"""Step of the retrain machine: does this execution hold its run's claim?"""

from __future__ import annotations

from typing import Any

from perennial.check_claim import check_claim
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Let the execution go on, or end it with `NotClaimed`."""
    model, run, execution = event["model"], int(event["run"]), event["execution"]
    check_claim(ports(), model, run, execution)
    logger.info("claim holds", extra={"model": model, "run": run, "execution": execution})
    return {}
