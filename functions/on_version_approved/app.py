"""EventBridge consumer: an approved version goes to production, or is recorded as champion."""

from __future__ import annotations

from typing import Any

from perennial.end_release import look_after_releases, release_counts
from perennial.look_after import wake_now
from perennial.observability import count, logger, observed
from perennial.record_champion import record_approval
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> None:
    """Hear of an approval, or of one taken back; events of other stacks do nothing."""
    done = record_approval(ports(), event)
    logger.info(
        "approval heard of",
        extra={
            "model": done.model,
            "version": event["detail"]["ModelPackageArn"],
            "decision": done.decision,
        },
    )
    stack = ports().deployment.stack
    if done.decision == "recorded":
        # A new champion reopens what alarms wait for.
        wake_now(ports(), done.model)
        count("ChampionsRecorded", stack=stack, model=done.model)
    elif done.decision in ("new", "known", "withdrawn", "staged"):
        # Known too: whoever heard of it first may have died before it opened the release.
        advanced = look_after_releases(ports(), done.model, may_settle=False)
        for name, number in release_counts(advanced).items():
            count(name, stack=stack, model=done.model, value=number)
