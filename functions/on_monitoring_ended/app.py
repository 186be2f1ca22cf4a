"""EventBridge consumer: records what a monitor's job found, in the ledger and as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.domain.naming import parse_earlier_job, parse_monitor_job, parse_watch_name
from perennial.domain.settings_monitor import MODEL_QUALITY
from perennial.end_monitor import end_monitor
from perennial.end_scores import end_scores
from perennial.observability import count, logger, observed
from perennial.take_executions import take_executions
from perennial.wiring import ports

if TYPE_CHECKING:
    from perennial.end_monitor import EndedWindow


@observed
def handler(event: Any, context: Any) -> None:
    """End the window of the job that ended; the sweeper names model and monitor itself."""
    del context
    watched = _watched(event.get("detail", {}))
    if watched is not None:
        _take(*watched)
        return
    if "detail" in event:
        job = event["detail"]["ProcessingJobName"]
        named = parse_monitor_job(job, ports().deployment.token)
    else:
        job, named = "", (event["model"], event["monitor"])
    scored = parse_earlier_job(job, ports().deployment.token)
    if scored is not None:
        _scores(scored, job)
        return
    if named is None:
        logger.info("job of no monitor", extra={"job": job})
        return
    model, kind = named
    _tell(model, kind, end_monitor(ports(), model, kind, job), job)
    if not job:
        _take(model, kind)
    if kind == MODEL_QUALITY and not job:
        _scores(model)


def _watched(detail: Any) -> tuple[str, str] | None:
    """Model and kind of the monitoring schedule that a job worked for; None: for none of ours."""
    told = detail.get("Environment") or {}
    name = told.get("sagemaker_monitoring_schedule_name", "")
    return parse_watch_name(name, ports().deployment.token)


def _take(model: str, kind: str) -> None:
    """Record what SageMaker's schedule of a monitor has found, if there is one."""
    for done in take_executions(ports(), model, kind):
        _tell(model, kind, done)


def _tell(model: str, kind: str, done: EndedWindow, job: str = "") -> None:
    """Log and count what became of a window."""
    logger.info(
        "monitor's job looked at",
        extra={
            "model": model,
            "monitor": kind,
            "job": job or (done.window.job if done.window else ""),
            "decision": done.decision,
            "violations": done.found.violations if done.found else None,
            "words": done.found.words if done.found else "",
        },
    )
    stack = ports().deployment.stack
    if done.decision in ("done", "failed"):
        count("MonitorsEnded", stack=stack, model=model)
    if done.decision == "failed":
        count("MonitorsFailed", stack=stack, model=model)


def _scores(model: str, job: str = "") -> None:
    """Go on with what is scored; a model that was removed meanwhile has nothing to score."""
    said = end_scores(ports(), model)
    logger.info("earlier versions scored", extra={"model": model, "job": job, "decision": said})
