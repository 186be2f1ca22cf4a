"""Managed spot training: machines taken away on demand, checkpoints, honest times."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 30, "MaxWaitTimeInSeconds": 60},
}
# Counts to six, keeps its place in a checkpoint, and says from where it started.
COUNTS = """
    import os, pathlib, time
    place = pathlib.Path("/opt/ml/checkpoints/round.txt")
    first = int(place.read_text()) if place.is_file() else 0
    print(f"from {first}", flush=True)
    for number in range(first + 1, 7):
        print(f"round={number};", flush=True)
        part = place.with_suffix(".part")
        part.write_text(str(number))
        os.replace(part, place)
        time.sleep(0.15)
"""


def secondary(found: Any) -> list[str]:
    """The secondary statuses that a job has passed."""
    return [entry["Status"] for entry in found["SecondaryStatusTransitions"]]


def test_an_interrupted_job_goes_on_from_its_checkpoint(jobs: Any) -> None:
    """The restarted container finds its checkpoints, trains what is missing, waits unbilled."""
    name = jobs.name("train-spot")
    interruption = {"job": name, "checkpoint": True, "capacity_after_seconds": 1.2}
    jobs.cloud.faults(interrupt=interruption)
    try:
        jobs.train(
            COUNTS,
            TrainingJobName=name,
            CheckpointConfig={"S3Uri": jobs.uri(f"checkpoints/{name}")},
            **SPOT,
        )
        found = jobs.wait(name)
    finally:
        jobs.cloud.faults()
    assert found["Status"] == "Completed", found.get("FailureReason")
    once = ["Starting", "Downloading", "Training"]
    assert secondary(found) == [*once, "Interrupted", *once, "Uploading", "Completed"]
    lines = [line for line in jobs.logs(name) if line]
    starts = [int(line.split()[1]) for line in lines if line.startswith("from ")]
    rounds = [line for line in lines if line.startswith("round=")]
    assert starts[0] == 0
    assert len(starts) == 2
    assert starts[1] > 0
    # At most the round that was under way when the machine went is trained twice.
    assert set(rounds) == {f"round={number};" for number in range(1, 7)}
    assert len(rounds) <= 7
    assert found["BillableTimeInSeconds"] < found["TrainingTimeInSeconds"]
    assert jobs.get(f"checkpoints/{name}/round.txt") == b"6"
    noted = [e for e in jobs.cloud.journal("fault") if e.get("job") == name]
    assert [entry["fault"] for entry in noted] == ["interrupt"]


def test_without_a_checkpoint_place_it_begins_anew(jobs: Any) -> None:
    """An interrupted job that has no CheckpointConfig finds nothing of its first machine."""
    name = jobs.name("train-anew")
    jobs.cloud.faults(
        interrupt={"job": name, "after_seconds": 0.2, "times": 2, "capacity_after_seconds": 0}
    )
    try:
        found = jobs.wait(jobs.train(COUNTS, TrainingJobName=name, **SPOT))
    finally:
        jobs.cloud.faults()
    assert found["Status"] == "Completed"
    assert secondary(found).count("Interrupted") == 2
    assert [line for line in jobs.logs(name) if line.startswith("from")] == ["from 0"] * 3


def test_a_job_without_capacity_ends_when_it_has_waited_too_long(jobs: Any) -> None:
    """MaxWaitTimeExceeded while no machine comes back; a stop ends such a wait as well."""
    names = [jobs.name("train-wait"), jobs.name("train-stop")]
    plan = {"after_seconds": 0, "capacity_after_seconds": 60}
    jobs.cloud.faults(interrupt=[{"job": name, **plan} for name in names])
    try:
        for name, wait in zip(names, (2, 60), strict=True):
            condition = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": wait}
            more = {**SPOT, "StoppingCondition": condition}
            jobs.train("import time; time.sleep(30)", TrainingJobName=name, **more)
        found = jobs.wait(names[0])
        jobs.sagemaker.stop_training_job(TrainingJobName=names[1])
        stopped = jobs.wait(names[1])
    finally:
        jobs.cloud.faults()
    assert (found["Status"], found["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert secondary(found)[-3:] == ["Interrupted", "Stopping", "MaxWaitTimeExceeded"]
    assert (stopped["Status"], stopped["SecondaryStatus"]) == ("Stopped", "Stopped")


def test_only_spot_jobs_are_interrupted(jobs: Any) -> None:
    """A planned interruption passes a job by that runs on demand."""
    name = jobs.name("train-steady")
    jobs.cloud.faults(interrupt={"job": name})
    try:
        found = jobs.wait(jobs.train("import time; time.sleep(0.2)", TrainingJobName=name))
    finally:
        jobs.cloud.faults()
    assert "Interrupted" not in secondary(found)
    assert found["BillableTimeInSeconds"] == found["TrainingTimeInSeconds"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 20}},
            "only supported when EnableManagedSpotTraining",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 9},
            },
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 10},
            },
            "must be present",
        ),
        (
            {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/../etc"}},
            "CheckpointConfig.LocalPath",
        ),
    ],
)
def test_the_times_of_a_spot_job_are_checked(jobs: Any, more: Any, words: str) -> None:
    """AWS's texts for waits without spot, too short or missing, and for paths we do not have."""
    with pytest.raises(ClientError, match=words):
        jobs.train("print(1)", **more)


def test_a_wrong_interruption_is_refused(jobs: Any) -> None:
    """The control API names the mistake."""
    with pytest.raises(AssertionError, match="negative"):
        jobs.cloud.faults(interrupt={"after_seconds": -1})
    with pytest.raises(AssertionError, match="whom"):
        jobs.cloud.faults(interrupt={"whom": "x"})
    with pytest.raises(AssertionError, match="is a text"):
        jobs.cloud.faults(interrupt={"job": 7})


def test_the_script_hears_of_it_and_run_time_adds_up(jobs: Any) -> None:
    """SIGTERM comes first; what is saved then is there again; MaxRuntime counts all machines."""
    script = """
        import pathlib, signal, time
        place = pathlib.Path("/opt/ml/checkpoints/last.txt")
        if place.is_file():
            print("found", place.read_text(), flush=True)
        def save(*_):
            place.write_text("saved late")
            raise SystemExit(0)
        signal.signal(signal.SIGTERM, save)
        print("ready", flush=True)
        time.sleep(30)
    """
    name = jobs.name("train-late")
    jobs.cloud.faults(
        interrupt={"job": name, "after_seconds": 1, "times": 1, "capacity_after_seconds": 0}
    )
    try:
        jobs.train(
            script,
            TrainingJobName=name,
            CheckpointConfig={"S3Uri": jobs.uri(f"checkpoints/{name}")},
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 60},
        )
        found = jobs.wait(name)
    finally:
        jobs.cloud.faults()
    assert (found["Status"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "Interrupted" in secondary(found)
    assert [line for line in jobs.logs(name) if line] == ["ready", "found saved late", "ready"]
