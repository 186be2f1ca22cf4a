"""What jobs used: billed seconds of all instances, for each kind of job."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from perennial.aws.job_use import JobUse, job_use
from perennial.domain.errors import Rejected

BEGAN = datetime(2026, 11, 20, 10, tzinfo=timezone.utc)


def later(seconds: float) -> datetime:
    """So many seconds after the job began."""
    return BEGAN + timedelta(seconds=seconds)


@pytest.fixture
def answers(aws: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """SageMaker's answers by operation; what has none is not there."""
    found: dict[str, Any] = {}

    def call(_self: Any, operation: str, _request: dict[str, Any]) -> Any:
        answer = found.get(operation)
        if answer is None:
            message = "Requested resource not found."
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": message}}, operation
            )
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return found


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"BillableTimeInSeconds": 30, "TrainingTimeInSeconds": 100}, 60),
        ({"TrainingTimeInSeconds": 100}, 200),
        ({"TrainingStartTime": BEGAN, "TrainingEndTime": later(50)}, 100.0),
        ({"TrainingStartTime": BEGAN}, None),
    ],
)
def test_training_is_billed_for_every_instance(
    answers: dict[str, Any], times: dict[str, Any], seconds: float | None
) -> None:
    """Spot jobs by their billable seconds, others by the seconds they trained."""
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    answers["DescribeTrainingJob"] = {"ResourceConfig": resources, **times}
    assert job_use("training", "a") == JobUse("ml.m5.large", seconds)


def test_processing_is_billed_from_start_to_end(answers: dict[str, Any]) -> None:
    """Processing jobs tell their times only."""
    answers["DescribeProcessingJob"] = {
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.c5.xlarge"}},
        "ProcessingStartTime": BEGAN,
        "ProcessingEndTime": later(12.5),
    }
    assert job_use("processing", "a") == JobUse("ml.c5.xlarge", 12.5)


@pytest.mark.parametrize(("spot", "seconds"), [(False, 30.0), (True, 14)])
def test_tuning_is_the_sum_of_its_trials(
    answers: dict[str, Any], spot: bool, seconds: float
) -> None:
    """Each trial is a job; a trial that never began is billed nothing; the best one's values."""
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    answers["DescribeHyperParameterTuningJob"] = {
        "TrainingJobDefinition": {"ResourceConfig": resources, "EnableManagedSpotTraining": spot},
        "BestTrainingJob": {"TunedHyperParameters": {"rounds": "120"}},
    }
    trial = {"TrainingJobName": "t", "TrainingJobStatus": "Completed"}
    times = {"TrainingStartTime": BEGAN, "TrainingEndTime": later(30)}
    answers["ListTrainingJobsForHyperParameterTuningJob"] = {
        "TrainingJobSummaries": [{**trial, **times}, {**trial, "TrainingJobStatus": "Failed"}]
    }
    answers["DescribeTrainingJob"] = {"ResourceConfig": resources, "BillableTimeInSeconds": 7}
    assert job_use("tuning", "a") == JobUse(
        "ml.m5.large", seconds, {"rounds": "120"}, {"Completed": 1, "Failed": 1}
    )


@pytest.mark.parametrize("kind", ["training", "processing", "tuning"])
def test_a_job_that_is_not_there_used_nothing_known(answers: dict[str, Any], kind: str) -> None:
    """None, which is shown as unknown."""
    assert job_use(kind, "gone") is None


def test_an_unknown_kind_is_refused(answers: dict[str, Any]) -> None:
    """A mistake of the machine is named."""
    with pytest.raises(Rejected, match="job of kind 'transform'"):
        job_use("transform", "a")
