"""State JudgeRelease: does the version win against the champion that there is now?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.judge_release import judge_release
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer in words that it wins; one that does not ends in `Stale`."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    judged = judge_release(ports(), model, release, execution)
    logger.info("judged again", extra={"model": model, "release": release, "verdict": judged.words})
    return asdict(judged)
