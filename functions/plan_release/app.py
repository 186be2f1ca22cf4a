"""State PlanRelease: may the version still go out, and with which requests?"""

from __future__ import annotations

from typing import Any

from perennial.observability import logger, observed
from perennial.plan_release import plan_release
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer the release's plan."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    plan = plan_release(ports(), model, release, execution)
    logger.info(
        "planned",
        extra={
            "model": model,
            "release": release,
            "version": plan["version"],
            "judge_again": plan["judge_again"],
        },
    )
    return plan
