"""Schedule, another function or a person: starts the job that judges a monitor's next window.

And, after a window with labels, the jobs that score earlier versions on its rows.
"""

from __future__ import annotations

from typing import Any

from perennial.domain.errors import NotFound
from perennial.observability import count, logger, observed
from perennial.score_earlier import start_scores
from perennial.start_monitor import start_monitor
from perennial.wiring import ports


@observed
def handler(event: Any, context: Any) -> dict[str, str]:
    """Start what is due. A model that was removed meanwhile has nothing to watch."""
    del context
    model, kind = event["model"], event["monitor"]
    if event.get("perennial") == "earlier":
        return _score(model)
    try:
        done = start_monitor(ports(), model, kind, by=event.get("by", ""))
    except NotFound as error:
        logger.warning("no such monitor", extra={"model": model, "words": str(error)})
        return {"decision": "none", "words": str(error)}
    logger.info(
        "monitor looked at",
        extra={"model": model, "monitor": kind, "decision": done.decision, "words": done.words},
    )
    if done.decision in ("started", "resumed"):
        count("MonitorsStarted", stack=ports().deployment.stack, model=model)
    window = done.window
    return {
        "decision": done.decision,
        "words": done.words,
        **({"job": window.job, "end_ms": str(window.end_ms)} if window is not None else {}),
        **({"schedule": done.schedule} if done.schedule else {}),
    }


def _score(model: str) -> dict[str, str]:
    """Start what scores earlier versions on the last window."""
    try:
        started = start_scores(ports(), model)
    except NotFound as error:
        logger.warning("no such model", extra={"model": model, "words": str(error)})
        return {"decision": "none", "words": str(error)}
    words = ", ".join(started)
    logger.info("earlier versions looked at", extra={"model": model, "words": words})
    count("EarlierScored", stack=ports().deployment.stack, model=model, value=len(started))
    return {"decision": "started" if started else "none", "words": words}
