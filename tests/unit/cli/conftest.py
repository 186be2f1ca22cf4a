"""A main stack in moto, and a way to run commands on it as on an AWS account."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws
from perennial.aws.clients import forget_clients

from cli.main import perennial

TARGET = "aws:-/eu-west-1/perennial"
ROLE = "arn:aws:iam::123456789012:role/states"
KEYS = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
RESOURCES: dict[str, Any] = {
    "LandingBucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
    },
    "ArtifactBucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
    },
    "LedgerTable": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": KEYS,
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        },
    },
    "SignalQueue": {"Type": "AWS::SQS::Queue"},
    "SignalDeadLetters": {"Type": "AWS::SQS::Queue"},
    "RunEndedDeadLetters": {"Type": "AWS::SQS::Queue"},
    "ReleaseEndedDeadLetters": {"Type": "AWS::SQS::Queue"},
    "EventDeadLetters": {"Type": "AWS::SQS::Queue"},
    "CaptureQueue": {"Type": "AWS::SQS::Queue"},
    "CaptureDeadLetters": {"Type": "AWS::SQS::Queue"},
    "Notices": {"Type": "AWS::SNS::Topic"},
}
OUTPUTS = {
    "LandingBucket": "LandingBucket",
    "ArtifactBucket": "ArtifactBucket",
    "LedgerTable": "LedgerTable",
    "SignalQueueUrl": "SignalQueue",
    "SignalDeadLettersUrl": "SignalDeadLetters",
    "RunEndedDeadLettersUrl": "RunEndedDeadLetters",
    "ReleaseEndedDeadLettersUrl": "ReleaseEndedDeadLetters",
    "EventDeadLettersUrl": "EventDeadLetters",
    "CaptureQueueUrl": "CaptureQueue",
    "CaptureDeadLettersUrl": "CaptureDeadLetters",
    "NoticesTopicArn": "Notices",
}


@dataclass
class Cloud:
    """The stack's outputs, and `run` for commands on it."""

    outputs: dict[str, str]
    runner: CliRunner

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run one command on the target and return what it printed."""
        return self.runner.invoke(perennial, ["--target", TARGET, *arguments], input=stdin)

    def json(self, *arguments: str) -> Any:
        """Run one command with --json and return its document; it must succeed."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands change in the environment is taken back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("PERENNIAL_USER", "ann")


@pytest.fixture
def cloud(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A main stack in moto's AWS; model stacks are deployed by name only."""
    with mock_aws():
        forget_clients()
        machine = boto3.client("stepfunctions").create_state_machine(
            name="perennial-retrain", definition='{"States": {}}', roleArn=ROLE
        )["stateMachineArn"]
        outputs: dict[str, Any] = {name: {"Value": {"Ref": ref}} for name, ref in OUTPUTS.items()}
        outputs["RetrainMachineArn"] = {"Value": machine}
        release_machine = boto3.client("stepfunctions").create_state_machine(
            name="perennial-release", definition='{"States": {}}', roleArn=ROLE
        )["stateMachineArn"]
        outputs["ReleaseMachineArn"] = {"Value": release_machine}
        outputs["StackToken"] = {"Value": "perennial"}
        formation = boto3.client("cloudformation")
        template = json.dumps({"Resources": RESOURCES, "Outputs": outputs})
        formation.create_stack(StackName="perennial", TemplateBody=template)
        found = formation.describe_stacks(StackName="perennial")["Stacks"][0]["Outputs"]
        for name in ("LandingBucket", "ArtifactBucket"):
            bucket = next(o["OutputValue"] for o in found if o["OutputKey"] == name)
            # moto's CloudFormation leaves the versioning of a bucket out.
            boto3.client("s3").put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        monkeypatch.setattr("perennial.push_project.deploy_stack", lambda *_: True)
        yield Cloud({o["OutputKey"]: o["OutputValue"] for o in found}, CliRunner())
        forget_clients()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small valid project folder of a given name."""

    def make(name: str = "churn", **keys: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        document = {
            "problem": "binary",
            "label": "left",
            "positive": "yes",
            "data": {
                "columns": {
                    "age": {"type": "int"},
                    "left": {"type": "category", "levels": ["no", "yes"]},
                }
            },
            "gates": {"auc": {"min": 0.8}},
            **keys,
        }
        (folder / "model.yaml").write_text(json.dumps(document))
        (folder / "model.py").write_text(
            "def prepare(frame):\n    return frame\n\n"
            "def train(train, validation, hyperparameters):\n    return None\n\n"
            "def predict(model, frame):\n    return frame['age']\n"
        )
        return folder

    return make
