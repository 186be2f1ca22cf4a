"""Hyperparameter tuning jobs: a search over real training jobs."""

import copy
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.early_stopping import MedianRule
from local.sagemaker.errors import SageMakerError
from local.sagemaker.family import TERMINAL, JobFamily
from local.sagemaker.measurements import Measurement
from local.sagemaker.ranges import read_ranges
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.search import Search
from local.sagemaker.tags import Tags, as_list
from local.sagemaker.training import TrainingJob, TrainingJobs
from local.sagemaker.tuning_rules import (
    MAX_JOBS,
    accepted,
    check_parents,
    training_request,
    tuning_event,
)

log = logging.getLogger(__name__)
VALUE = "FinalObjectiveMetricValue"  # what lists may be sorted by
GIVE_UP = 5  # training jobs without one success, or without one objective value
LOOK_SECONDS = 1.0  # between two looks when nothing is reported
DETAILS = (
    "For additional details, please take a look at the training job failures by listing training "
    "jobs for the hyperparameter tuning job."
)


SUMMARY = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "FailureReason",
)
DEFAULTS = (  # that the training jobs' rules fill in
    "StoppingCondition",
    "InputDataConfig",
    "OutputDataConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
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


class TuningJob:
    """One tuning job in a thread of its own."""

    def __init__(
        self,
        training: TrainingJobs,
        name: str,
        record: Record,
        tags: Tags,
        parents: "Sequence[TuningJob]",
    ) -> None:
        self.name = name
        self.record = record
        self.lock = threading.RLock()
        self._training = training
        self._cloud = training.cloud
        self._runtime = training.runtime
        self._tags = tags
        self._parents = parents
        self._key = f"hyper-parameter-tuning-job/{name}"
        config = record["HyperParameterTuningJobConfig"]
        self._objective = config["HyperParameterTuningJobObjective"]["MetricName"]
        self._sign = (
            1.0 if config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else -1.0
        )
        self._limits = config["ResourceLimits"]
        self._criteria = config.get("TuningJobCompletionCriteria", {})
        self._early = config["TrainingJobEarlyStoppingType"] == "Auto"
        self._rule = MedianRule(maximize=self._sign > 0)
        self._trials: list[Trial] = []
        self._since_best = 0
        self._wake = threading.Event()
        self._stop_asked = threading.Event()
        self._move("InProgress")

    # --- status -----------------------------------------------------------------------------
    def _move(self, status: str) -> None:
        with self.lock:
            now = round(time.time(), 3)
            self.record.update(HyperParameterTuningJobStatus=status, LastModifiedTime=now)
            if status in TERMINAL:
                self.record["HyperParameterTuningEndTime"] = now
            arn = self.record["HyperParameterTuningJobArn"]
            detail = tuning_event(self.snapshot(), self._tags.of(arn))
        name = "SageMaker HyperParameter Tuning Job State Change"
        self._cloud.publish_event("aws.sagemaker", name, detail, [arn])

    def start(self) -> None:
        """Begin; returns at once."""
        self._runtime.enter(self._key, computes=False)
        self._cloud.background(f"tuning job {self.name}", self._live)

    def stop(self) -> None:
        """Ask for the end; the job's own thread does it."""
        self._stop_asked.set()
        self._wake.set()

    def stopping(self) -> None:
        """Once."""
        with self.lock:
            if self.record["HyperParameterTuningJobStatus"] == "InProgress":
                self._move("Stopping")

    def snapshot(self) -> Record:
        """What Describe shows now."""
        with self.lock:
            found = copy.deepcopy(self.record)
            trials = list(self._trials)
        found["Strategy"] = found["HyperParameterTuningJobConfig"]["Strategy"]
        found["ResourceLimits"] = found["HyperParameterTuningJobConfig"]["ResourceLimits"]
        found["TrainingJobStatusCounters"] = _status_counters(trials)
        scores = [self._summary(trial)["ObjectiveStatus"] for trial in trials]
        found["ObjectiveStatusCounters"] = {
            status: scores.count(status) for status in ("Succeeded", "Pending", "Failed")
        }
        end = found.get("HyperParameterTuningEndTime", time.time())
        runtime = max(0, round(end - found["CreationTime"]))
        found["ConsumedResources"] = {"RuntimeInSeconds": runtime}
        found["TuningJobCompletionDetails"] = {
            "NumberOfTrainingJobsObjectiveNotImproving": self._since_best
        }
        known = self.knowledge()
        best = self._best(known)
        if best:
            found["BestTrainingJob"] = best.summary
        warm = found.get("WarmStartConfig", {}).get("WarmStartType")
        if warm == "IdenticalDataAndAlgorithm":
            inherited = [entry for parent in self._parents for entry in parent.knowledge()]
            overall = self._best([*known, *inherited])
            if overall:
                name = overall.tuning_job
                found["OverallBestTrainingJob"] = {**overall.summary, "TuningJobName": name}
        return found

    def summaries(self) -> list[Record]:
        """What ListTrainingJobsForHyperParameterTuningJob shows, oldest first."""
        with self.lock:
            trials = list(self._trials)
        return [self._summary(trial) for trial in trials]

    def _summary(self, trial: Trial) -> Record:
        """One training job, as summaries show it."""
        if trial.final is not None:
            return trial.final
        record = trial.job.snapshot()
        found = {name: record[name] for name in SUMMARY if name in record}
        found["TunedHyperParameters"] = dict(trial.chosen)
        if record["TrainingJobStatus"] not in TERMINAL:
            return {**found, "ObjectiveStatus": "Pending"}
        value = self._objective_of(record)
        if value is None or record["TrainingJobStatus"] == "Failed":
            found["ObjectiveStatus"] = "Failed"
        else:
            found["ObjectiveStatus"] = "Succeeded"
            metric = {"MetricName": self._objective, "Value": value}
            found["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        trial.final = found
        return found

    def _objective_of(self, record: Record) -> float | None:
        for metric in record.get("FinalMetricDataList", []):
            if metric["MetricName"] == self._objective:
                return float(metric["Value"])
        return None

    def knowledge(self) -> list[Knowledge]:
        """Every training job that completed with an objective."""
        static = self.record["TrainingJobDefinition"]["StaticHyperParameters"]
        with self.lock:
            completed = [trial for trial in self._trials if trial.completed]
        summaries = [(trial, self._summary(trial)) for trial in completed]
        return [
            Knowledge({**static, **trial.chosen}, final_value(entry), self.name, entry)
            for trial, entry in summaries
            if entry["ObjectiveStatus"] == "Succeeded"
        ]

    def _best(self, known: Sequence[Knowledge]) -> Knowledge | None:
        return max(known, key=lambda entry: self._sign * entry.value, default=None)

    # --- work -------------------------------------------------------------------------------
    def _live(self) -> None:
        try:
            status, reason = self._search()
        except SageMakerError as error:
            status, reason = "Failed", error.message
        except Exception as error:
            log.exception("tuning job %s", self.name)
            status = "Failed"
            reason = f"InternalServerError: the local cloud failed: {type(error).__name__}: {error}"
        self._stop_trials()
        self._await_trials()
        with self.lock:
            if reason:
                self.record["FailureReason"] = reason[:1024]
            self._move(status)
        self._runtime.leave(self._key)

    def _search(self) -> tuple[str, str]:
        """Launch training jobs until there are enough; the status of the end and its reason."""
        search = self._prepared()
        while True:
            self._wake.clear()
            self._collect(search)
            if self._stop_asked.is_set():
                return "Stopped", ""
            hopeless = self._failure()
            running = [trial for trial in self._trials if not trial.ended]
            if not hopeless and self._is_enough():
                return self._verdict()
            more = not hopeless and len(self._trials) < self._most()
            if not more and not running:
                return self._verdict()
            if more and len(running) < self._limits["MaxParallelTrainingJobs"]:
                self._launch(search)
                continue
            if self._early:
                self._stop_hopeless(running)
            self._wake.wait(LOOK_SECONDS)

    def _prepared(self) -> Search:
        """The search with what its parents know."""
        config = self.record["HyperParameterTuningJobConfig"]
        search = Search(
            read_ranges(config["ParameterRanges"]),
            config["Strategy"],
            maximize=self._sign > 0,
            jobs=self._most(),
            seed=config.get("RandomSeed"),
        )
        warm = self.record.get("WarmStartConfig", {}).get("WarmStartType")
        for parent in self._parents:
            known = parent.knowledge()
            if warm == "IdenticalDataAndAlgorithm":
                for entry in known:
                    search.observe(entry.chosen, entry.value)
            else:
                # On other data their figures say nothing, but their best place is worth a try.
                best = self._best(known)
                if best:
                    search.begin_with(best.chosen)
        return search

    def _most(self) -> int:
        return int(self._limits.get("MaxNumberOfTrainingJobs", MAX_JOBS))

    def _launch(self, search: Search) -> None:
        number, chosen = search.suggest()
        name = f"{self.name}-{len(self._trials) + 1:03d}-{secrets.token_hex(4)}"
        request = training_request(self.record, name, chosen)
        arn = self.record["HyperParameterTuningJobArn"]
        tags = as_list(self._tags.of(arn))
        job = self._training.admit({**request, "TuningJobArn": arn, "Tags": tags})
        trial = Trial(number, chosen, job)
        job.follower = self._follower(trial)
        with self.lock:
            self._trials.append(trial)
        job.start()
        self._runtime.watch(job.key, self._wake)

    def _follower(self, trial: Trial) -> Callable[[Sequence[Measurement]], None]:
        def follow(measurements: Sequence[Measurement]) -> None:
            trial.values += [value for name, value, _ in measurements if name == self._objective]
            if self._early:
                self._wake.set()

        return follow

    def _collect(self, search: Search) -> None:
        """Learn from the training jobs that have ended."""
        for trial in [trial for trial in self._trials if trial.ended and not trial.told]:
            trial.told = True
            summary = self._summary(trial)
            has_value = summary["ObjectiveStatus"] == "Succeeded"
            search.tell(trial.number, final_value(summary) if has_value else None)
            if not trial.completed or not has_value:
                continue
            self._rule.completed(trial.values)
            best = self._best(self.knowledge())
            is_best = best is not None and best.summary["TrainingJobName"] == trial.job.name
            self._since_best = 0 if is_best else self._since_best + 1

    def _is_enough(self) -> bool:
        """Whether a completion criterion other than the number of training jobs is met."""
        seconds = self._limits.get("MaxRuntimeInSeconds")
        if seconds is not None and time.time() - self.record["CreationTime"] >= seconds:
            return True
        idle = self._criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        )
        if idle is not None and self._since_best >= idle:
            return True
        target, best = (
            self._criteria.get("TargetObjectiveMetricValue"),
            self._best(self.knowledge()),
        )
        return (
            target is not None
            and best is not None
            and self._sign * best.value >= self._sign * target
        )

    def _failure(self) -> str:
        """Why SageMaker gives up: the first training jobs all failed, or said no objective."""
        ended = [trial for trial in self._trials if trial.ended]
        enough = min(GIVE_UP, self._most())
        if self.knowledge() or len(ended) < enough:
            return ""
        if any(trial.completed for trial in ended):
            return (
                f"No objective metrics found after running {enough} training jobs. Please ensure "
                "that the custom algorithm is emitting the objective metric as defined by the "
                "regular expression provided."
            )
        return f"No training job succeeded after {enough} attempts. {DETAILS}"

    def _verdict(self) -> tuple[str, str]:
        if self.knowledge():
            return "Completed", ""
        return "Failed", self._failure() or f"No training job succeeded in time. {DETAILS}"

    def _stop_hopeless(self, running: Sequence[Trial]) -> None:
        for trial in running:
            if self._rule.is_hopeless(list(trial.values)):
                self._stop_trial(trial)

    def _stop_trials(self) -> None:
        for trial in self._trials:
            self._stop_trial(trial)

    def _stop_trial(self, trial: Trial) -> None:
        with trial.job.lock:
            if not trial.ended:
                trial.job.stop()
                trial.job.stopping()

    def _await_trials(self) -> None:
        for trial in self._trials:
            over = threading.Event()
            self._runtime.watch(trial.job.key, over)
            over.wait()


def _status_counters(trials: Sequence[Trial]) -> dict[str, int]:
    counters = dict.fromkeys(
        ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0
    )
    names = {"Completed": "Completed", "Failed": "NonRetryableError", "Stopped": "Stopped"}
    for trial in trials:
        counters[names.get(trial.job.record["TrainingJobStatus"], "InProgress")] += 1
    return counters


class TuningJobs(JobFamily[TuningJob]):
    """CreateHyperParameterTuningJob and its siblings."""

    kind = "HyperParameterTuning"
    path = "hyper-parameter-tuning-job"
    words = "hyperparameter tuning job"
    missing = "Amazon SageMaker can't find a tuning job with the name {name}."
    taken = (
        "A hyperparameter tuning job with the name, {name}, already exists. Choose a different "
        "name."
    )

    def __init__(
        self,
        cloud: Cloud,
        model: ServiceModel,
        tags: Tags,
        runtime: JobRuntime,
        training: TrainingJobs,
    ) -> None:
        super().__init__(cloud, model, tags, runtime)
        self._training = training
        self._trial = members(model, "HyperParameterTrainingJobSummary")
        self._listing = Listing(
            self._name, "HyperParameterTuningJobSummaries", self._status, sort_by="Name"
        )
        self._trials = Listing(
            "TrainingJobName", "TrainingJobSummaries", "TrainingJobStatus", sort_by="Name"
        )

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        """What this part answers."""
        own = {"ListTrainingJobsForHyperParameterTuningJob": self.page_of_trials}
        return {**super().operations(), **own}

    def find(self, name: str) -> TuningJob:
        """The job of that name; ResourceNotFound where other jobs say ValidationException."""
        try:
            return super().find(name)
        except SageMakerError as error:
            raise SageMakerError("ResourceNotFound", error.message) from error

    def accept(self, parameters: Record, arn: str) -> Record:
        """Refuse what is not done here, fill in AWS's defaults."""
        record = accepted(parameters)
        # The training jobs' own rules judge their part, before any of them exists.
        name = f"{parameters[self._name]}-001-00000000"
        probe = self._training.accept(
            copy.deepcopy(training_request(record, name, {})), self._training.arn(name)
        )
        filled = {member: probe[member] for member in DEFAULTS if member in probe}
        record["TrainingJobDefinition"].update(filled)
        if "WarmStartConfig" in record:
            check_parents(record, [parent.snapshot() for parent in self._parents(record)])
        record.update(HyperParameterTuningJobArn=arn, CreationTime=round(time.time(), 3))
        return record

    def build(self, name: str, record: Record) -> TuningJob:
        """The job itself."""
        return TuningJob(self._training, name, record, self.tags, self._parents(record))

    def _parents(self, record: Record) -> list[TuningJob]:
        found = record.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
        return [self.find(entry.get("HyperParameterTuningJobName", "")) for entry in found]

    def page_of_trials(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobsForHyperParameterTuningJob, filtered, sorted, paged."""
        records = self.find(parameters[self._name]).summaries()
        if parameters.get("SortBy") == VALUE:
            scored = [entry for entry in records if entry["ObjectiveStatus"] == "Succeeded"]
            records = [{**entry, VALUE: final_value(entry)} for entry in scored]
        entries, token = listed(self._trials, records, parameters)
        found: dict[str, Any] = {
            "TrainingJobSummaries": [project(self._trial, entry) for entry in entries]
        }
        return {**found, "NextToken": token} if token else found
