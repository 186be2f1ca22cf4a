"""Processing jobs run for real: inputs, outputs, configuration, messages, life and death."""

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.conftest import Jobs

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"


def source(name: str, uri: str, **more: Any) -> dict[str, Any]:
    """One S3 input."""
    s3 = {"S3Uri": uri, "LocalPath": f"{INPUT}/{name}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": {**s3, "S3InputMode": "File", **more}}


def target(name: str, uri: str, mode: str = "EndOfJob") -> dict[str, Any]:
    """One S3 output."""
    s3 = {"S3Uri": uri, "LocalPath": f"{OUTPUT}/{name}", "S3UploadMode": mode}
    return {"OutputName": name, "S3Output": s3}


def test_inputs_and_outputs_pass_through_s3(jobs: Any) -> None:
    """A whole object, a prefix and a folder come in under their names; outputs go out."""
    jobs.put("in/one.json", "{}")
    jobs.put("in/many/a.csv", "a")
    jobs.put("in/many/sub/b.csv", "b")
    command = f"cd {INPUT} && find . -type f | sort > {OUTPUT}/found/list.txt && "
    command += f"cp /opt/ml/config/*.json {OUTPUT}/found/ && ln -s list.txt {OUTPUT}/found/link"
    name = jobs.process(
        ["bash", "-c", command],
        ProcessingInputs=[
            source("one", jobs.uri("in/one.json")),
            source("many", jobs.uri("in/many/")),
        ],
        ProcessingOutputConfig={"Outputs": [target("found", jobs.uri("out/found"))]},
        Environment={"MODE": "test"},
    )
    found = jobs.wait(name)
    assert found["Status"] == "Completed", found
    listed = jobs.get("out/found/list.txt").decode().split()
    assert listed == ["./many/a.csv", "./many/sub/b.csv", "./one/one.json"]
    assert jobs.keys("out/found/") == [
        "out/found/list.txt",
        "out/found/processingjobconfig.json",
        "out/found/resourceconfig.json",
    ]
    assert found["ProcessingStartTime"] >= found["CreationTime"]
    assert found["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"] == "FullyReplicated"


def test_a_failing_container_leaves_its_message_and_no_outputs(jobs: Any) -> None:
    """FailureReason has AWS's words, ExitMessage the container's; EndOfJob outputs stay away."""
    command = f"echo x > {OUTPUT}/o/x; printf 'too few rows' > /opt/ml/output/message; exit 3"
    outputs = {"Outputs": [target("o", jobs.uri("out/failed"))]}
    name = jobs.process(["bash", "-c", command], ProcessingOutputConfig=outputs)
    found = jobs.wait(name)
    assert found["Status"] == "Failed"
    assert found["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert found["ExitMessage"] == "too few rows"
    assert jobs.keys("out/failed") == []


def test_continuous_outputs_come_while_the_job_runs(jobs: Any) -> None:
    """S3UploadMode Continuous stores a file long before the job's end."""
    outputs = {"Outputs": [target("o", jobs.uri("out/live"), "Continuous")]}
    name = jobs.process(
        ["bash", "-c", f"echo early > {OUTPUT}/o/early.txt; sleep 30"],
        ProcessingOutputConfig=outputs,
    )
    end = time.monotonic() + 15
    while not jobs.keys("out/live") and time.monotonic() < end:
        time.sleep(0.1)
    assert jobs.describe(name)["Status"] == "InProgress"
    assert jobs.get("out/live/early.txt") == b"early\n"
    jobs.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert jobs.wait(name)["Status"] == "Stopped"


def test_the_time_limit_stops_a_job(jobs: Any) -> None:
    """MaxRuntimeInSeconds ends a processing job as Stopped."""
    limit = {"MaxRuntimeInSeconds": 1}
    found = jobs.wait(jobs.process(["sleep", "60"], StoppingCondition=limit))
    assert found["Status"] == "Stopped"


def test_a_missing_program_is_named_in_the_logs(jobs: Any) -> None:
    """An entry point that does not exist fails the job, and the log says which."""
    name = jobs.process(["/no/such/program"])
    assert jobs.wait(name)["Status"] == "Failed"
    jobs.wait_for_log(name, "cannot run '/no/such/program'")


def test_what_is_not_done_is_refused_by_name(jobs: Any) -> None:
    """Pipe mode, several instances and paths outside /opt/ml/processing are refused."""
    jobs.put("in/x", "x")
    piped = [source("x", jobs.uri("in/x"), S3InputMode="Pipe")]
    with pytest.raises(ClientError, match="S3InputMode Pipe"):
        jobs.process(["true"], ProcessingInputs=piped)
    outside = [source("x", jobs.uri("in/x"), LocalPath="/tmp/x")]
    with pytest.raises(ClientError, match="must begin with /opt/ml/processing/"):
        jobs.process(["true"], ProcessingInputs=outside)
    double = [source("x", jobs.uri("in/x")), source("y", jobs.uri("in/x"))]
    double[1]["S3Input"]["LocalPath"] = f"{INPUT}/x"
    with pytest.raises(ClientError, match="LocalPath must be unique"):
        jobs.process(["true"], ProcessingInputs=double)
    with pytest.raises(ClientError, match="Could not find requested job"):
        jobs.describe("process-missing")


def test_state_changes_are_announced_in_awss_shape(jobs: Any) -> None:
    """Every status of both kinds of jobs reaches the default bus."""
    sqs, events = jobs.cloud.client("sqs"), jobs.cloud.client("events")
    queue = sqs.create_queue(QueueName=jobs.name("events"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    rule = jobs.name("rule")
    events.put_rule(Name=rule, EventPattern='{"source": ["aws.sagemaker"]}')
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn["QueueArn"]}])
    name = jobs.process(["true"], Tags=[{"Key": "perennial:run", "Value": "7"}])
    jobs.wait(name)
    trained = jobs.train("print(1)")
    jobs.wait(trained)

    seen: list[dict[str, Any]] = []
    end = time.monotonic() + 10
    while time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        seen += [json.loads(m["Body"]) for m in answer.get("Messages", [])]
        mine = [e for e in seen if trained in e["resources"][0]]
        if any(e["detail"]["TrainingJobStatus"] == "Completed" for e in mine):
            break
    events.remove_targets(Rule=rule, Ids=["q"])
    events.delete_rule(Name=rule)
    processing = [e for e in seen if e["resources"][0].endswith(name)]
    assert {e["detail"]["ProcessingJobStatus"] for e in processing} == {"InProgress", "Completed"}
    assert processing[0]["detail-type"] == "SageMaker Processing Job State Change"
    assert processing[0]["detail"]["Tags"] == {"perennial:run": "7"}
    assert isinstance(processing[0]["detail"]["CreationTime"], int)
    training = [e for e in seen if e["resources"][0].endswith(trained)]
    passed = {e["detail"]["SecondaryStatus"] for e in training}
    assert passed == {"Starting", "Downloading", "Training", "Uploading", "Completed"}
    assert training[0]["detail"]["CreationTime"].isdigit()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_jobs_die_with_the_cloud(start_cloud: Any, how: int) -> None:
    """Also after kill -9 nothing that a job started is left, not even in a session of its own."""
    jobs = Jobs(start_cloud())
    mark = f"{4000 + how}.{os.getpid()}"
    name = jobs.process(["bash", "-c", f"setsid sleep {mark} & echo up; sleep {mark}1"])
    jobs.wait_for_log(name, "up")

    def left() -> int:
        listing = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
        return listing.stdout.count(f"sleep {mark}")

    assert left() >= 2
    jobs.cloud.stop(how)
    end = time.monotonic() + 5
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    assert left() == 0
