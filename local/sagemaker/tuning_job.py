"""One hyperparameter tuning job: a search over real training jobs."""

import copy
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from local.sagemaker.early_stopping import MedianRule
from local.sagemaker.errors import SageMakerError
from local.sagemaker.family import TERMINAL
from local.sagemaker.measurements import Measurement
from local.sagemaker.ranges import read_ranges
from local.sagemaker.records import Record
from local.sagemaker.search import Search
from local.sagemaker.tags import Tags, as_list
from local.sagemaker.training import TrainingJobs
from local.sagemaker.trials import Knowledge, Trial, final_value, status_counters
from local.sagemaker.tuning_rules import MAX_JOBS, is_enough, training_request, tuning_event

log = logging.getLogger(__name__)
GIVE_UP = 5  # training jobs without one success, or without one objective value
LOOK_SECONDS = 1.0  # between two looks when nothing is reported
DETAILS = (
    "For additional details, please take a look at the training job failures by listing training "
    "jobs for the hyperparameter tuning job."
)


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
        found["TrainingJobStatusCounters"] = status_counters(trials)
        scores = [trial.summary(self._objective)["ObjectiveStatus"] for trial in trials]
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
        return [trial.summary(self._objective) for trial in trials]

    def knowledge(self) -> list[Knowledge]:
        """Every training job that completed with an objective."""
        static = self.record["TrainingJobDefinition"]["StaticHyperParameters"]
        with self.lock:
            completed = [trial for trial in self._trials if trial.completed]
        summaries = [(trial, trial.summary(self._objective)) for trial in completed]
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
            if self._is_enough():
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
            summary = trial.summary(self._objective)
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
        best = self._best(self.knowledge())
        return is_enough(
            self.record["HyperParameterTuningJobConfig"],
            seconds=time.time() - self.record["CreationTime"],
            best=best.value if best else None,
            since_best=self._since_best,
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
