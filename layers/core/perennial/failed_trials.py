"""Why a search over hyperparameters failed: SageMaker itself says only that no trial succeeded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from perennial.aws.jobs import list_trials
from perennial.domain.errors import NotFound
from perennial.domain.ledger.ending import Beneath, telling_line

FAILED = "Failed"
NAME = re.compile(r'"HyperParameterTuningJobName"\s*:\s*"([^"]+)"')
STATUS = re.compile(r'"HyperParameterTuningJobStatus"\s*:\s*"([^"]+)"')


def failed_trials(cause: str) -> Beneath | None:
    """Why the first failed trial failed, if an execution's cause tells of a failed tuning job."""
    job = _failed_search(cause)
    if not job:
        return None
    try:
        return beneath(list_trials(job))
    except NotFound:
        return None


def beneath(trials: Sequence[Any]) -> Beneath | None:
    """How many of these summaries of training jobs failed, and the reason of the first one."""
    failed = sorted(
        (trial for trial in trials if trial.get("TrainingJobStatus") == FAILED),
        key=lambda trial: (str(trial.get("CreationTime", "")), trial["TrainingJobName"]),
    )
    if not failed:
        return None
    reason = str(failed[0].get("FailureReason") or "no reason was given")
    count = f"{len(failed)} of {len(trials)} trials failed"
    return Beneath(f"{count}, the first so: {telling_line(reason)}", reason)


def _failed_search(cause: str) -> str:
    """The name of the tuning job whose description the cause holds; it may be cut off."""
    name, status = NAME.search(cause), STATUS.search(cause)
    return name[1] if name and status and status[1] == FAILED else ""
