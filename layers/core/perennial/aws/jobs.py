"""A run's SageMaker jobs: found by the prefixes that their names share, and stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.naming import is_job_of, is_release_job_of, is_tuning_job_of

ACTIVE = ("InProgress", "Stopping")


#: How SageMaker calls each kind, and in its listings.
TITLES = {
    "training": "TrainingJob",
    "processing": "ProcessingJob",
    "tuning": "HyperParameterTuningJob",
}


@dataclass(frozen=True)
class Job:
    """One job; kind is `training`, `processing` or `tuning`."""

    kind: str
    name: str
    status: str


def active_jobs(run_prefix: str, tuning_prefix: str) -> Sequence[Job]:
    """The run's jobs that are not over, of every kind; trials belong to their tuning job."""
    return [
        job
        for kind in TITLES
        for status in ACTIVE
        for job in _listed(kind, tuning_prefix if kind == "tuning" else run_prefix, status)
    ]


def jobs_of(run_prefix: str, tuning_prefix: str) -> Sequence[Job]:
    """Every job of the run, over or not, also attempts that failed; without a tuning's trials."""
    return [
        job
        for kind in TITLES
        for job in _listed(kind, tuning_prefix if kind == "tuning" else run_prefix)
    ]


def _listed(kind: str, prefix: str, status: str = "") -> Iterator[Job]:
    """Jobs of one kind (and status) that are the run's; SageMaker finds by containment only."""
    wanted = {"StatusEquals": status} if status else {}
    title = TITLES[kind]
    sagemaker: Any = client("sagemaker")
    listing = "hyper_parameter_tuning" if kind == "tuning" else kind
    paginator = sagemaker.get_paginator(f"list_{listing}_jobs")
    with translated(f"listing {kind} jobs of {prefix}"):
        for page in paginator.paginate(NameContains=prefix, **wanted):
            for found in page[f"{title}Summaries"]:
                name = found[f"{title}Name"]
                is_ours = is_tuning_job_of if kind == "tuning" else is_job_of
                if is_ours(prefix, name):
                    yield Job(kind, name, found[f"{title}Status"])


def newest_processing_jobs(part: str) -> Sequence[str]:
    """The names of the newest hundred processing jobs, over or not, that contain a text."""
    with translated(f"listing processing jobs of {part}"):
        found = client("sagemaker").list_processing_jobs(
            NameContains=part, SortBy="CreationTime", SortOrder="Descending", MaxResults=100
        )
    return [each["ProcessingJobName"] for each in found["ProcessingJobSummaries"]]


def stop_jobs(run_prefix: str, tuning_prefix: str) -> Sequence[Job]:
    """Ask the run's active jobs to stop, and return those that are not over yet.

    A stop takes up to two minutes; repeat until nothing is returned.
    """
    active = active_jobs(run_prefix, tuning_prefix)
    for job in active:
        if job.status == "InProgress":
            _stop(job)
    return active


def _stop(job: Job) -> None:
    """Ask one job to stop; one that ended in between needs it no more."""
    sagemaker = client("sagemaker")
    try:
        with translated(f"stopping {job.name}"):
            if job.kind == "training":
                sagemaker.stop_training_job(TrainingJobName=job.name)
            elif job.kind == "tuning":
                sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=job.name)
            else:
                sagemaker.stop_processing_job(ProcessingJobName=job.name)
    except (NotFound, Rejected):
        # SageMaker refuses to stop a job that is over; the caller lists again anyway.
        return


def describe_training_job(name: str) -> Any:
    """SageMaker's description of a training job; raises `NotFound`."""
    with translated(f"describing training job {name}"):
        return client("sagemaker").describe_training_job(TrainingJobName=name)


def describe_tuning_job(name: str) -> Any:
    """SageMaker's description of a tuning job; raises `NotFound`."""
    with translated(f"describing tuning job {name}"):
        return client("sagemaker").describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )


def list_trials(tuning_job: str) -> Sequence[Any]:
    """SageMaker's summaries of a tuning job's training jobs; raises `NotFound`."""
    paginator: Any = client("sagemaker").get_paginator(
        "list_training_jobs_for_hyper_parameter_tuning_job"
    )
    with translated(f"listing the trials of {tuning_job}"):
        pages = paginator.paginate(HyperParameterTuningJobName=tuning_job)
        return [trial for page in pages for trial in page["TrainingJobSummaries"]]


def describe_processing_job(name: str) -> Any:
    """SageMaker's description of a processing job; raises `NotFound`."""
    with translated(f"describing processing job {name}"):
        return client("sagemaker").describe_processing_job(ProcessingJobName=name)


def start_processing_job(request: Mapping[str, Any]) -> bool:
    """CreateProcessingJob; False when there is a job of this name already, of whatever state."""
    try:
        with translated(f"starting {request['ProcessingJobName']}"):
            client("sagemaker").create_processing_job(**request)
    except Rejected as error:
        if "ResourceInUse" in str(error):
            return False
        raise
    return True


def stop_processing_jobs(prefix: str, is_ours: Callable[[str], bool]) -> Sequence[Job]:
    """Ask those active processing jobs to stop that a text and a rule name, and return them."""
    sagemaker: Any = client("sagemaker")
    active = []
    for status in ACTIVE:
        with translated(f"listing processing jobs of {prefix}"):
            paginator = sagemaker.get_paginator("list_processing_jobs")
            for page in paginator.paginate(NameContains=prefix, StatusEquals=status):
                active += [
                    Job("processing", found["ProcessingJobName"], found["ProcessingJobStatus"])
                    for found in page["ProcessingJobSummaries"]
                    if is_ours(found["ProcessingJobName"])
                ]
    for job in active:
        if job.status == "InProgress":
            _stop(job)
    return active


def stop_processing_job(name: str) -> bool:
    """Ask a processing job to stop; True once it is over, or was never there."""
    try:
        status = describe_processing_job(name)["ProcessingJobStatus"]
    except NotFound:
        return True
    if status == "InProgress":
        _stop(Job("processing", name, status))
    return status not in ACTIVE


def stop_release_jobs(prefix: str) -> Sequence[Job]:
    """Ask a release's active jobs to stop, and return those that are not over yet; repeat."""
    return stop_processing_jobs(prefix, lambda name: is_release_job_of(prefix, name))
