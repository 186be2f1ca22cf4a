"""How a training goes while it runs: its curves, or how far a search over many trainings is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.aws.jobs import describe_training_job, describe_tuning_job, list_trials
from perennial.aws.training_metrics import Curve, period_s, read_curves
from perennial.domain import naming
from perennial.domain.errors import NotFound


@dataclass(frozen=True)
class Best:
    """The best trial so far: its job, its objective, the hyperparameters that it was given."""

    job: str
    value: float | None
    tuned: Mapping[str, str]


@dataclass(frozen=True)
class Search:
    """A tuning job: what it seeks, and how many of its trials are done, at work and failed.

    `stopped` trials were given up early, by the search itself or by a person.
    """

    objective: str
    goal: str
    trials: int
    done: int
    running: int
    stopped: int
    failed: int
    best: Best | None


@dataclass(frozen=True)
class TrainingView:
    """One look at a training job or a search; times in milliseconds since 1970, UTC.

    A training has a curve a metric, a point a period of `period_ms`. A search has one curve: the
    objective of each trial that is over, at its end.
    """

    job: str
    began_ms: int
    period_ms: int
    curves: tuple[Curve, ...]
    search: Search | None = None


def watch_training(job: str) -> TrainingView | None:
    """Look once; None for a job that trains nothing or does not exist (yet)."""
    kind = naming.job_kind(job)
    try:
        if kind == "training":
            return _training(job)
        return _search(job) if kind == "tuning" else None
    except NotFound:
        return None


def _training(job: str) -> TrainingView:
    found = describe_training_job(job)
    definitions = found["AlgorithmSpecification"].get("MetricDefinitions") or []
    began, now = _ms(found["CreationTime"]), time.time_ns() // 1_000_000
    curves = read_curves(job, [each["Name"] for each in definitions], began, now)
    return TrainingView(job, began, period_s(began, now) * 1000, curves)


def _search(job: str) -> TrainingView:
    found = describe_tuning_job(job)
    config = found["HyperParameterTuningJobConfig"]
    counters = found.get("TrainingJobStatusCounters") or {}
    sought = config["HyperParameterTuningJobObjective"]
    search = Search(
        objective=sought["MetricName"],
        goal=sought["Type"].lower(),
        trials=int(config["ResourceLimits"]["MaxNumberOfTrainingJobs"]),
        done=counters.get("Completed", 0),
        running=counters.get("InProgress", 0),
        stopped=counters.get("Stopped", 0),
        failed=counters.get("NonRetryableError", 0) + counters.get("RetryableError", 0),
        best=_best(found.get("BestTrainingJob")),
    )
    points = sorted(
        (_ms(trial["TrainingEndTime"]), float(_objective(trial)))
        for trial in list_trials(job)
        if trial.get("TrainingEndTime") and _objective(trial) is not None
    )
    curves = (Curve(search.objective, tuple(points)),) if points else ()
    return TrainingView(job, _ms(found["CreationTime"]), 0, curves, search)


def _best(trial: Any) -> Best | None:
    if not trial:
        return None
    tuned = {str(key): str(value) for key, value in trial.get("TunedHyperParameters", {}).items()}
    return Best(trial["TrainingJobName"], _objective(trial), tuned)


def _objective(trial: Any) -> Any:
    return (trial.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value")


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
