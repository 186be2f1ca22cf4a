"""createHyperParameterTuningJob.sync: followed, described, and stopped with its execution."""

import json
import time
from typing import Any

import pytest

from tests.functional.sagemaker.tuning_jobs import Tuning

RESOURCE = "arn:aws:states:::sagemaker:createHyperParameterTuningJob.sync"


@pytest.fixture(scope="session")
def tuning(jobs: Any) -> Tuning:
    """Shorthand for tuning jobs."""
    return Tuning(jobs)


def task(tuning: Tuning, script: str, **more: Any) -> dict[str, Any]:
    """A Task that runs a tuning job; its name comes from the input."""
    parameters = tuning.request(script, **more)
    del parameters["HyperParameterTuningJobName"]
    parameters["HyperParameterTuningJobName.$"] = "$.name"
    return {"Type": "Task", "Resource": RESOURCE, "Parameters": parameters, "End": True}


def test_the_result_is_the_description_of_the_tuning_job(machines: Any, tuning: Any) -> None:
    """The best training job is there for the next state, times in milliseconds, tags inherited."""
    work = task(
        tuning,
        "print('loss=0.25;')",
        ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
    )
    name = machines.name("hpo")
    execution = machines.start(machines.create({"Tune": work}), {"name": name})
    found = machines.wait(execution)
    assert found["status"] == "SUCCEEDED", found
    output = found["output"]
    assert output["HyperParameterTuningJobStatus"] == "Completed"
    assert output["HyperParameterTuningJobName"] == name
    assert output["CreationTime"] > 1_000_000_000_000
    best = output["BestTrainingJob"]
    assert best["TrainingJobName"].startswith(f"{name}-00")
    assert best["CreationTime"] > 1_000_000_000_000
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "MetricName": "loss",
        "Value": 0.25,
    }
    kinds = machines.kinds(execution)
    assert kinds[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    submitted = machines.history(execution)[4]["taskSubmittedEventDetails"]
    answer = json.loads(submitted["output"])
    assert answer["HyperParameterTuningJobArn"] == output["HyperParameterTuningJobArn"]
    arn = best["TrainingJobArn"]
    assert tuning.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
    ]


def test_a_failed_search_is_task_failed_with_its_description(machines: Any, tuning: Any) -> None:
    """The cause is the JSON of the Describe answer, with the reason."""
    limits = {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2}
    work = task(tuning, "raise SystemExit(3)", ResourceLimits=limits)
    found = machines.run({"Tune": work}, {"name": machines.name("hpo")})
    assert (found["status"], found["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(found["cause"])
    assert cause["HyperParameterTuningJobStatus"] == "Failed"
    assert cause["FailureReason"].startswith("No training job succeeded after 2 attempts")


def test_a_stopped_execution_stops_its_tuning_job(machines: Any, tuning: Any) -> None:
    """The training jobs go with it."""
    work = task(tuning, "import time; time.sleep(60)")
    name = machines.name("hpo")
    execution = machines.start(machines.create({"Tune": work}), {"name": name})
    end = time.monotonic() + 20
    while "TaskSubmitted" not in machines.kinds(execution) and time.monotonic() < end:
        time.sleep(0.05)
    machines.states.stop_execution(executionArn=execution)
    found = tuning.wait(name)
    assert found["HyperParameterTuningJobStatus"] == "Stopped"
    assert found["TrainingJobStatusCounters"]["InProgress"] == 0


def test_a_taken_name_has_the_optimised_error_name(machines: Any, tuning: Any) -> None:
    """ResourceInUse comes with the integration's prefix."""
    limits = {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}
    name = tuning.start("print('loss=1;')", ResourceLimits=limits)
    work = task(tuning, "print('loss=1;')", ResourceLimits=limits)
    found = machines.run({"Tune": work}, {"name": name})
    assert found["error"] == "SageMaker.ResourceInUseException"
