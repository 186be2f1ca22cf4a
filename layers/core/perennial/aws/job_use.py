"""What a SageMaker job used: its instances, the seconds they are billed for, what tuning chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perennial.aws.jobs import (
    describe_processing_job,
    describe_training_job,
    describe_tuning_job,
    list_trials,
)
from perennial.domain.errors import NotFound, Rejected


@dataclass(frozen=True)
class JobUse:
    """`seconds` are billed seconds of all instances together; None while a job is not over.

    For a tuning job these are the seconds of all its trials; `tuned` are the hyperparameters of
    the best one, `trials` counts them by status.
    """

    instance: str
    seconds: float | None
    tuned: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, int] = field(default_factory=dict)


def job_use(kind: str, name: str) -> JobUse | None:
    """What a job of kind `training`, `processing` or `tuning` used; None if it is not there."""
    read = {"training": _training, "processing": _processing, "tuning": _tuning}.get(kind)
    if read is None:
        raise Rejected(f"{name} is a job of kind {kind!r}; known are processing, training, tuning")
    try:
        return read(name)
    except NotFound:
        return None


def _training(name: str) -> JobUse:
    return _training_use(describe_training_job(name))


def _training_use(job: Any) -> JobUse:
    """Billable seconds, like training seconds, are those of the clock: every instance has them."""
    resources = job["ResourceConfig"]
    seconds = job.get("BillableTimeInSeconds", job.get("TrainingTimeInSeconds"))
    if seconds is None:
        seconds = _between(job.get("TrainingStartTime"), job.get("TrainingEndTime"))
    count = resources.get("InstanceCount", 1)
    return JobUse(resources.get("InstanceType", ""), None if seconds is None else seconds * count)


def _processing(name: str) -> JobUse:
    job = describe_processing_job(name)
    cluster = job["ProcessingResources"]["ClusterConfig"]
    seconds = _between(job.get("ProcessingStartTime"), job.get("ProcessingEndTime"))
    count = cluster.get("InstanceCount", 1)
    return JobUse(cluster["InstanceType"], None if seconds is None else seconds * count)


def _tuning(name: str) -> JobUse:
    """Each trial is a training job of its own, so a spot trial's bill is known as well."""
    job = describe_tuning_job(name)
    trials = list_trials(name)
    definition = job.get("TrainingJobDefinition") or {}
    resources = definition.get("ResourceConfig") or {}
    is_spot = bool(definition.get("EnableManagedSpotTraining"))
    seconds = 0.0
    for trial in trials:
        used = _trial_seconds(trial, resources.get("InstanceCount", 1), is_spot=is_spot)
        seconds += used or 0.0
    best = job.get("BestTrainingJob") or {}
    counts: dict[str, int] = {}
    for trial in trials:
        status = str(trial.get("TrainingJobStatus", ""))
        counts[status] = counts.get(status, 0) + 1
    tuned = {str(key): str(value) for key, value in best.get("TunedHyperParameters", {}).items()}
    return JobUse(resources.get("InstanceType", ""), seconds, tuned, counts)


def _trial_seconds(trial: Any, count: int, *, is_spot: bool) -> float | None:
    if is_spot:
        used = job_use("training", trial["TrainingJobName"])
        return None if used is None else used.seconds
    seconds = _between(trial.get("TrainingStartTime"), trial.get("TrainingEndTime"))
    return None if seconds is None else seconds * count


def _between(began: Any, ended: Any) -> float | None:
    """The seconds from one time to another; None when one is missing."""
    if began is None or ended is None:
        return None
    return max(0.0, float((ended - began).total_seconds()))
