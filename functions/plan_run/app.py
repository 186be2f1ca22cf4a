"""State PlanRun: whom the candidate meets, and which finished steps need not be repeated."""

from __future__ import annotations

from typing import Any

from perennial.observability import logger, observed
from perennial.plan_run import RegionImages, plan_run
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer the run's plan."""
    model, run, execution = event["model"], int(event["run"]), event["execution"]
    images = RegionImages(
        jobs=event["image"],
        clarify=event["clarify_image"],
        gpu=event["gpu_image"],
        algorithms=event["algorithm_images"],
    )
    plan = plan_run(ports(), model, run, execution, images)
    reused = sorted(step for step, done in plan.done.items() if done)
    logger.info(
        "planned",
        extra={
            "model": model,
            "run": run,
            "champion": plan.champion.version or plan.champion.words,
            "reused": reused,
            "warm_start": plan.warm_start.words if plan.warm_start else "",
        },
    )
    return plan.to_json()
