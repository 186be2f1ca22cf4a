"""Step of the retrain machine: approves a candidate that won, if the policy says so."""

from __future__ import annotations

from typing import Any

from perennial.approve_candidate import approve_candidate
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Approve, or leave the version for a person; both are answers, not errors."""
    model, run, arn = event["model"], int(event["run"]), event["arn"]
    approval = approve_candidate(ports(), model, run, arn)
    logger.info(
        "approval decided",
        extra={"model": model, "run": run, "version": arn, "words": approval.words},
    )
    return {"approved": approval.approved, "words": approval.words}
