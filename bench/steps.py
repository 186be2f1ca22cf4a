"""Fixed cost of a run of no-op jobs and the extra seconds a step costs, beside Metaflow.

    .venv/bin/python -m bench.steps

Runs state machines of 0, 4 and 24 warm Lambda steps and of 1 and 4 no-op job steps on an empty
local cloud; the differences are the cost of a step. Metaflow's local run of a three-step no-op
flow, in an environment of its own, is the yardstick.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import boto3

from bench.common import ROOT, empty_cloud, report, run, timed

IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"  # known
ROLE = "arn:aws:iam::123456789012:role/bench"
METAFLOW = "metaflow==2.19.39"
FLOW = """
from metaflow import FlowSpec, step


class NoopFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    NoopFlow()
"""


def chain(states: list[dict[str, Any]]) -> str:
    """Render an Amazon States Language document of the states, one after the other."""
    named = {f"S{i}": dict(state) for i, state in enumerate(states)}
    for i, state in enumerate(named.values()):
        state.update({"Next": f"S{i + 1}"} if i + 1 < len(states) else {"End": True})
    return json.dumps({"StartAt": "S0", "States": named})


def job_state(number: int) -> dict[str, Any]:
    """Describe a processing job that does nothing."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Parameters": {
            "ProcessingJobName.$": f"States.Format('{{}}-{number}', $$.Execution.Name)",
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["true"]},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 1,
                }
            },
            "RoleArn": ROLE,
        },
        "ResultPath": None,
    }


def make_role() -> None:
    """Create the role that function, machine and jobs name."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Service": [f"{s}.amazonaws.com" for s in ("lambda", "states", "sagemaker")]
                },
                "Action": "sts:AssumeRole",
            }
        ],
    }
    boto3.client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(trust))


def make_function(name: str) -> str:
    """Create a no-op Lambda function and return its ARN."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return {}\n")
    made = boto3.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": body.getvalue()},
    )
    return str(made["FunctionArn"])


class Machines:
    """State machines of the benchmark; each call runs one and returns its seconds."""

    def __init__(self) -> None:
        self.states = boto3.client("stepfunctions")
        self.count = 0

    def seconds(self, states: list[dict[str, Any]], repeats: int = 5) -> float:
        """Run a machine of these states several times; the median seconds of an execution."""
        self.count += 1
        arn = self.states.create_state_machine(
            name=f"bench-{self.count}", definition=chain(states), roleArn=ROLE
        )["stateMachineArn"]
        self._run(arn)  # warm
        return timed(lambda: self._run(arn), repeats)

    def _run(self, arn: str) -> None:
        execution = self.states.start_execution(stateMachineArn=arn)["executionArn"]
        while True:
            answer = self.states.describe_execution(executionArn=execution)
            if answer["status"] != "RUNNING":
                break
            time.sleep(0.005)
        if answer["status"] != "SUCCEEDED":
            sys.exit(f"the bench machine ended {answer['status']}: {answer.get('cause')}")


def metaflow_seconds() -> float:
    """Median seconds of Metaflow's local run of the three-step no-op flow."""
    env = ROOT / ".tools" / "metaflow"
    uv = str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if not (env / ".done").exists():
        run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(env))
        run(
            uv, "pip", "install", "--quiet", "--compile-bytecode", METAFLOW,
            env={"VIRTUAL_ENV": str(env)},
        )  # fmt: skip
        (env / ".done").touch()
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "flow.py"
        flow.write_text(FLOW)
        environment = {**os.environ, "USERNAME": "bench", "HOME": folder}
        command = (str(env / "bin" / "python"), str(flow), "run")

        def once() -> None:
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

        once()
        return timed(once, 5)


def main() -> None:
    """Print each cost beside Metaflow's."""
    metaflow = metaflow_seconds()
    with empty_cloud():
        machines = Machines()
        make_role()
        function = make_function("bench-noop")
        step = {"Type": "Task", "Resource": function, "ResultPath": None}
        bare = machines.seconds([{"Type": "Pass"}])
        few, many = machines.seconds([step] * 4), machines.seconds([step] * 24)
        one = machines.seconds([job_state(0)])
        four = machines.seconds([job_state(i) for i in range(4)])
        three = machines.seconds([step, *(job_state(i) for i in range(3)), step])
    per_lambda, per_job = (many - few) / 20, (four - one) / 3
    print(f"an execution of one Pass state: {bare:.3f} s")
    print(f"warm Lambda step: {per_lambda:.4f} s (aim: at most 0.05 s)")
    print(f"no-op job step: {per_job:.3f} s (aim: at most 0.3 s)")
    report("extra seconds of a job step", per_job, "of a Metaflow step", metaflow / 3)
    report("run of three no-op jobs", three, "Metaflow, three no-op steps", metaflow)


if __name__ == "__main__":
    main()
