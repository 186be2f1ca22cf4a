"""EventBridge consumer: records an approved version as its model's champion."""

from __future__ import annotations

from typing import Any

from perennial.look_after import wake_now
from perennial.observability import count, logger, observed
from perennial.record_champion import record_approval
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> None:
    """Record the champion; events of other stacks, or of a version that is gone, do nothing."""
    done = record_approval(ports(), event)
    logger.info(
        "version approved",
        extra={
            "model": done.model,
            "version": event["detail"]["ModelPackageArn"],
            "decision": done.decision,
        },
    )
    if done.decision == "recorded":
        # A new champion reopens what alarms wait for.
        wake_now(ports(), done.model)
        count("ChampionsRecorded", stack=ports().deployment.stack, model=done.model)
