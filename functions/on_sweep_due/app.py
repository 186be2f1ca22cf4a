"""Schedule: one pass of the sweeper over every model; and a challenger's alarm: over its test."""

from __future__ import annotations

import time
from typing import Any

from perennial.domain.naming import parse_ab_alarm
from perennial.end_release import release_counts
from perennial.handle_signals import ended_counts
from perennial.observability import count, logger, observed
from perennial.sweep import ModelSweep, sweep, sweep_test
from perennial.wiring import ports

# The longest that one step of a model takes, so that none is cut off half-way.
MARGIN_S = 60.0


@observed
def handler(event: Any, context: Any) -> None:
    """Sweep until the time is nearly up; what is left is done by the next pass."""
    if event.get("source") == "aws.cloudwatch":
        named = parse_ab_alarm(event["detail"]["alarmName"], ports().deployment.token)
        if named is not None:  # else it guards a release, which SageMaker itself heeds
            _tell(sweep_test(ports(), named[0]))
        return
    remaining_s = context.get_remaining_time_in_millis() / 1000
    deadline = time.monotonic() + max(remaining_s - MARGIN_S, remaining_s / 2)
    for found in sweep(ports(), deadline=deadline):
        _tell(found)


def _tell(found: ModelSweep) -> None:
    """Log and count what the pass did for one model."""
    stack, done = ports().deployment.stack, found.advances
    counts = {
        "SignalsAdmitted": found.admitted,
        "SweepsFailed": int(bool(found.failure)),
        "RunsOpened": sum(len(each.opened) for each in done),
        "RunsStarted": sum(len(each.started) for each in done),
        **ended_counts([run for each in done for run in each.ended]),
        **(release_counts(found.releases) if found.releases is not None else {}),
    }
    for name, number in counts.items():
        count(name, stack=stack, model=found.model, value=number)
    log = logger.error if found.failure else logger.info
    log(
        "model swept",
        extra={
            "model": found.model,
            "listed": found.listed,
            "admitted": found.admitted,
            "retired": found.retired,
            "purged": found.purged,
            "told": list(found.told),
            "finished": found.finished,
            "ab": found.ab,
            "monitors": list(found.monitors),
            "words": found.failure,
            "scaling": found.releases.scaling if found.releases is not None else "",
        },
    )
