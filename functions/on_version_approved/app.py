"""EventBridge consumer: records an approved version as its model's champion."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from perennial.look_after import wake_now
from perennial.observability import count, logger, observed
from perennial.record_champion import record_champion
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> None:
    """Record the champion; events of other stacks, or of a version that is gone, do nothing."""
    detail = event["detail"]
    group, arn = detail["ModelPackageGroupName"], detail["ModelPackageArn"]
    stamp = detail.get("LastModifiedTime") or event["time"]
    approved_ms = int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)
    done = record_champion(ports(), group, arn, approved_ms)
    logger.info(
        "version approved",
        extra={"model": done.model, "version": arn, "decision": done.decision},
    )
    if done.decision == "recorded":
        # A new champion reopens what alarms wait for.
        wake_now(ports(), done.model)
        count("ChampionsRecorded", stack=ports().deployment.stack, model=done.model)
