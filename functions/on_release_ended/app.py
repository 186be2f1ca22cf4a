"""EventBridge consumer: settles the release of an execution that ended, by what is live."""

from __future__ import annotations

from typing import Any

from perennial.end_release import end_release
from perennial.observability import count, logger, observed
from perennial.wiring import ports

# Left for the settling itself, when the endpoint takes its time to come to rest.
MARGIN_S = 40.0


@observed
def handler(event: Any, context: Any) -> None:
    """End the release if it is over. What is still being removed is left to the sweeper."""
    execution = event["detail"]["executionArn"]
    patience_s = context.get_remaining_time_in_millis() / 1000 - MARGIN_S
    done = end_release(ports(), execution, patience_s=patience_s)
    row = done.row
    logger.info(
        "execution ended",
        extra={
            "model": done.model,
            "release": row.number if row else None,
            "execution": execution,
            "decision": done.decision,
            "outcome": row.outcome if row else None,
            "words": (row.words if row else "") or done.words,
        },
    )
    if done.decision == "ended" and row is not None:
        stack, outcome = ports().deployment.stack, (row.outcome or "failed").title()
        count("ReleasesEnded", stack=stack, model=done.model)
        count(f"Releases{outcome.replace('_', '')}", stack=stack, model=done.model)
