"""Jobs for tests: a role, a bucket, tiny scripts, and a wait for the end."""

import io
import json
import tarfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
BREAKS = """
    def model_fn(folder):
        raise ValueError("no such model")

    def transform_fn(model, body, content_type, accept):
        return ""
"""
ENDED = ("Completed", "Failed", "Stopped")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


class Jobs:
    """Shorthand for the jobs API of one cloud."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.sagemaker = cloud.client("sagemaker")
        self.s3 = cloud.client("s3")
        mark = uuid.uuid4().hex[:8]
        self.bucket = f"jobs-{mark}"
        self.s3.create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        self.role = cloud.client("iam").create_role(
            RoleName=f"job-{mark}", AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]

    def name(self, hint: str = "job") -> str:
        """A fresh job name."""
        return f"{hint}-{uuid.uuid4().hex[:8]}"

    def put(self, key: str, body: bytes | str) -> str:
        """Store an object; its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return self.uri(key)

    def uri(self, key: str) -> str:
        """A URI in the tests' bucket."""
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        """The content of an object."""
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    def code(self, script: str, **files: str) -> str:
        """Pack a script (as train.py) and more files as a source tar; its URI."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, text in {"train.py": script, **files}.items():
                raw = textwrap.dedent(text).encode()
                member = tarfile.TarInfo(name)
                member.size = len(raw)
                tar.addfile(member, io.BytesIO(raw))
        return self.put(f"code/{uuid.uuid4().hex}.tar.gz", packed.getvalue())

    def train(self, script: str, hyperparameters: Any = None, **more: Any) -> str:
        """Start a training job in script mode; its name."""
        name: str = more.pop("TrainingJobName", None) or self.name("train")
        files = more.pop("files", {})
        request = {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "OutputDataConfig": {"S3OutputPath": self.uri("models")},
            "HyperParameters": {
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": json.dumps(self.code(script, **files)),
                **{k: json.dumps(v) for k, v in (hyperparameters or {}).items()},
            },
            **more,
        }
        self.sagemaker.create_training_job(**request)
        return name

    def process(self, command: list[str], **more: Any) -> str:
        """Start a processing job; its name."""
        name: str = more.pop("ProcessingJobName", None) or self.name("process")
        request = {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": command},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                }
            },
            **more,
        }
        self.sagemaker.create_processing_job(**request)
        return name

    def describe(self, name: str) -> dict[str, Any]:
        """Describe a job of either kind, by the first word of its name."""
        if name.startswith("process"):
            found: dict[str, Any] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
        else:
            found = self.sagemaker.describe_training_job(TrainingJobName=name)
        found["Status"] = found.get("TrainingJobStatus") or found["ProcessingJobStatus"]
        return found

    def wait(self, name: str, status: tuple[str, ...] = ENDED, seconds: float = 30) -> Any:
        """Wait until a job has one of these statuses."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.describe(name)
            if found["Status"] in status:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{name} is {found['Status']} after {seconds} s: {found}")

    def wait_for_log(self, name: str, text: str, seconds: float = 20) -> None:
        """Wait until a job has printed something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(text in line for line in self.logs(name)):
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} did not print {text!r}: {self.logs(name)[-20:]}")

    def logs(self, name: str) -> list[str]:
        """The job's last log lines, at most 10,000."""
        kind = "Processing" if name.startswith("process") else "Training"
        logs = self.cloud.client("logs")
        group = f"/aws/sagemaker/{kind}Jobs"
        try:
            streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)
        except logs.exceptions.ResourceNotFoundException:
            return []
        lines: list[str] = []
        for stream in streams["logStreams"]:
            events = logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], limit=10_000
            )["events"]
            lines += [event["message"] for event in events]
        return lines


@pytest.fixture(scope="session")
def jobs(local_cloud: Any) -> Jobs:
    """One role and bucket for all tests of jobs."""
    return Jobs(local_cloud)


@pytest.fixture(scope="session")
def hosting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cloud of its own for endpoints, whose waits pass sixty times faster."""
    from tests.functional.conftest import start_local_cloud
    from tests.functional.sagemaker.hosting import Hosting

    cloud = start_local_cloud(tmp_path_factory.mktemp("hosting") / "state", "--clock", "60")
    yield Hosting(cloud)
    cloud.stop()


@pytest.fixture(scope="session")
def broken(hosting: Any) -> str:
    """A serverless endpoint whose model cannot be loaded; nobody waits for it here.

    It fails when its time to stand up is over, so a module before the one that judges it asks.
    """
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    model = hosting.model("bad", BREAKS)
    variant = {"VariantName": "main", "ModelName": model, "ServerlessConfig": serverless}
    name: str = hosting.endpoint(hosting.config(variant), wait=False)
    return name
