"""State machines for tests: create one, run it, see what happened."""

import io
import json
import textwrap
import time
import uuid
import zipfile
from typing import Any

import pytest

from tests.functional.sagemaker.conftest import IMAGE, Jobs

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}


class Machines:
    """Shorthand for the API of one cloud."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self.states = cloud.client("stepfunctions")
        self._functions: dict[str, str] = {}
        self.role = cloud.client("iam").create_role(
            RoleName=self.name("states"), AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]

    def name(self, hint: str = "machine") -> str:
        """A fresh name."""
        return f"{hint}-{uuid.uuid4().hex[:8]}"

    def create(self, states: dict[str, Any], **more: Any) -> str:
        """Create a machine that starts at its first state; its ARN."""
        definition = {"StartAt": next(iter(states)), "States": states, **more.pop("top", {})}
        arn: str = self.states.create_state_machine(
            name=more.pop("name", None) or self.name(),
            definition=json.dumps(definition),
            roleArn=self.role,
            **more,
        )["stateMachineArn"]
        return arn

    def start(self, machine: str, given: Any = None, **more: Any) -> str:
        """Start an execution; its ARN."""
        arn: str = self.states.start_execution(
            stateMachineArn=machine, input=json.dumps({} if given is None else given), **more
        )["executionArn"]
        return arn

    def wait(self, execution: str, seconds: float = 20) -> Any:
        """Wait for the end; what Describe shows, with the output parsed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.states.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                if "output" in found:
                    found["output"] = json.loads(found["output"])
                return found
            time.sleep(0.01)
        raise AssertionError(f"still running after {seconds} s: {self.history(execution)[-3:]}")

    def run(self, states: dict[str, Any], given: Any = None, **more: Any) -> Any:
        """Create, start and wait."""
        return self.wait(self.start(self.create(states, **more), given))

    def history(self, execution: str) -> list[dict[str, Any]]:
        """All events."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def kinds(self, execution: str) -> list[str]:
        """The types of all events, in order."""
        return [event["type"] for event in self.history(execution)]

    def function(self, body: str, **more: Any) -> str:
        """Create a function with this body of `handler(event, context)`; its ARN, once a body."""
        key = body + json.dumps(more, sort_keys=True)
        if key not in self._functions:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                code = "import json, os, time\ndef handler(event, context):\n"
                archive.writestr("app.py", code + textwrap.indent(textwrap.dedent(body), "    "))
            self._functions[key] = self.cloud.client("lambda").create_function(
                FunctionName=self.name("function"),
                Runtime="python3.13",
                Role=self.role,
                Handler="app.handler",
                Code={"ZipFile": packed.getvalue()},
                Timeout=10,
                **more,
            )["FunctionArn"]
        return self._functions[key]


@pytest.fixture(scope="session")
def machines(local_cloud: Any) -> Machines:
    """Machines of the session's cloud."""
    return Machines(local_cloud)


@pytest.fixture(scope="session")
def jobs(local_cloud: Any) -> Jobs:
    """A role and a bucket for jobs."""
    return Jobs(local_cloud)


def processing(jobs: Jobs, command: list[str], **more: Any) -> dict[str, Any]:
    """A Task that runs a processing job; its name comes from the input and the attempt."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Parameters": {
            "ProcessingJobName.$": "States.Format('{}-{}', $.name, $$.State.RetryCount)",
            "RoleArn": jobs.role,
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": command},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                }
            },
        },
        "End": True,
        **more,
    }
