"""EventBridge consumer: settles the run of an execution that ended, and frees its model."""

from __future__ import annotations

from typing import Any

from perennial.end_run import end_run
from perennial.handle_signals import ended_counts
from perennial.observability import count, logger, observed
from perennial.wiring import ports

# Left for the settling itself, when the run's jobs take their two minutes to stop.
MARGIN_S = 20.0


@observed
def handler(event: Any, context: Any) -> None:
    """End the run if it is over. What is still stopping is left to the sweeper."""
    execution = event["detail"]["executionArn"]
    patience_s = context.get_remaining_time_in_millis() / 1000 - MARGIN_S
    done = end_run(ports(), execution, patience_s=patience_s)
    run = done.run
    logger.info(
        "execution ended",
        extra={
            "model": done.model,
            "run": run.number if run else None,
            "execution": execution,
            "decision": done.decision,
            "outcome": run.outcome if run else None,
            "words": run.ending.words if run and run.ending else "",
        },
    )
    if done.decision == "ended" and run is not None:
        stack = ports().deployment.stack
        for name, number in ended_counts((run,)).items():
            count(name, stack=stack, model=done.model, value=number)
