"""Hyperparameter tuning jobs in the API."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError
from local.sagemaker.family import JobFamily
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs
from local.sagemaker.trials import final_value
from local.sagemaker.tuning_job import TuningJob
from local.sagemaker.tuning_rules import accepted, check_parents, training_request

VALUE = "FinalObjectiveMetricValue"  # what lists may be sorted by
DEFAULTS = (  # that the training jobs' rules fill in
    "StoppingCondition",
    "InputDataConfig",
    "OutputDataConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)


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
        record = accepted(parameters, self._built_in_metrics)
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

    def _built_in_metrics(self, image: str) -> Sequence[Mapping[str, str]]:
        found = self.runtime.images.shelf.find(image)
        return found.metrics if found is not None else ()

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
