"""State JudgeCandidate: holds what was found of a candidate against the gates of its settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.judge_candidate import judge_candidate
from perennial.observability import logger, observed
from perennial.read_outcomes import candidate_of
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Judge the run's candidate and answer where the verdict lies and what it says."""
    judgement = judge_candidate(ports(), candidate_of(event))
    logger.info(
        "judged",
        extra={"model": event["model"], "run": event["run"], "verdict": judgement.words},
    )
    return asdict(judgement)
