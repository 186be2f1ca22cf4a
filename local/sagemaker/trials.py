"""The training jobs of a tuning job, and what is known of those that have ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from local.sagemaker.family import TERMINAL
from local.sagemaker.records import Record
from local.sagemaker.training import TrainingJob

SUMMARY = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "FailureReason",
)


@dataclass
class Trial:
    """One training job of a tuning job."""

    number: int  # the search's
    chosen: dict[str, str]
    job: TrainingJob
    values: list[float] = field(default_factory=list)  # its objective's, one an epoch
    told: bool = False
    final: Record | None = None  # its summary, once it has ended

    @property
    def ended(self) -> bool:
        """Whether it has reached its end."""
        return self.job.record["TrainingJobStatus"] in TERMINAL

    @property
    def completed(self) -> bool:
        """Whether it has reached a good end."""
        return bool(self.job.record["TrainingJobStatus"] == "Completed")

    def summary(self, objective: str) -> Record:
        """What summaries show of it; `objective` is the metric that the search is about."""
        if self.final is not None:
            return self.final
        record = self.job.snapshot()
        found = {name: record[name] for name in SUMMARY if name in record}
        found["TunedHyperParameters"] = dict(self.chosen)
        if record["TrainingJobStatus"] not in TERMINAL:
            return {**found, "ObjectiveStatus": "Pending"}
        values = {
            metric["MetricName"]: float(metric["Value"])
            for metric in record.get("FinalMetricDataList", [])
        }
        if objective not in values or record["TrainingJobStatus"] == "Failed":
            found["ObjectiveStatus"] = "Failed"
        else:
            found["ObjectiveStatus"] = "Succeeded"
            metric = {"MetricName": objective, "Value": values[objective]}
            found["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        self.final = found
        return found


@dataclass(frozen=True)
class Knowledge:
    """A training job that completed: all hyperparameters, its objective, whose it is."""

    chosen: dict[str, str]
    value: float
    tuning_job: str
    summary: Record


def final_value(summary: Record) -> float:
    """The final objective value of a training job that has one."""
    return float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def status_counters(trials: Sequence[Trial]) -> dict[str, int]:
    """TrainingJobStatusCounters."""
    counters = dict.fromkeys(
        ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0
    )
    names = {"Completed": "Completed", "Failed": "NonRetryableError", "Stopped": "Stopped"}
    for trial in trials:
        counters[names.get(trial.job.record["TrainingJobStatus"], "InProgress")] += 1
    return counters
