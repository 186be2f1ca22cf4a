"""A stack in moto: buckets, ledger, queue, topic and machine, under a clock of the test's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cache
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.sagemaker.models import SageMakerModelBackend
from moto.stepfunctions.models import stepfunctions_backends
from perennial.aws.ledger_table import LedgerTable
from perennial.describe_run import known_run
from perennial.domain.ledger.rows import DONE_SK, OPEN_SK, ModelRow, RunRow, SignalRow
from perennial.domain.ledger.store import read_model, read_signals
from perennial.domain.settings import parse_settings
from perennial.handle_signals import Handled, handle_signals
from perennial.publish_settings import publish_settings
from perennial.settings_env import Deployment
from perennial.wiring import Ports

# Making a client costs up to 75 ms; moto answers one that was made under another mock as well.
boto_client: Any = cache(boto3.client)

START_MS = 1_795_000_000_000
REGION = "eu-west-1"
MODEL = "census"
DOCUMENT: Mapping[str, Any] = {
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "data": {
        "columns": {
            "age": {"type": "int"},
            "income": {"type": "category", "levels": ["<=50K", ">50K"]},
        },
        "select": ["*.csv"],
    },
    "gates": {"auc": {"min": 0.5}},
    "triggers": {
        "quiet_period": "30s",
        "max_wait": "5m",
        "cool_down": "1m",
        "max_runs_per_day": 24,
    },
}


@dataclass
class Clock:
    """A clock that only the test moves."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        """The time of the test."""
        return self.now_ms


@dataclass
class World:
    """The stack, and what a test does to it and asks of it."""

    outputs: dict[str, str]
    clock: Clock = field(default_factory=Clock)
    name: str = MODEL

    @property
    def ports(self) -> Ports:
        """Fresh ports, as a new process has them."""
        return Ports(Deployment(self.outputs), self.clock)

    @property
    def ledger(self) -> LedgerTable:
        """The ledger."""
        return self.ports.ledger

    def sibling(self, name: str) -> World:
        """The same stack with another model, whose ledger is a table of its own."""
        make_table(f"ledger-{name}")
        return replace(self, name=name, outputs={**self.outputs, "LedgerTable": f"ledger-{name}"})

    def copy(self, name: str) -> World:
        """The same stack and model with a copy of its ledger, as it is now."""
        tables: Any = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables
        make_table(f"ledger-{name}")
        tables[f"ledger-{name}"].items = deepcopy(tables[self.outputs["LedgerTable"]].items)
        return replace(self, outputs={**self.outputs, "LedgerTable": f"ledger-{name}"})

    def push(self, code_sha: str = "a" * 64, **changes: Any) -> int:
        """Publish the model with changed settings; the version."""
        document = {**DOCUMENT, **changes}
        settings = json.dumps(parse_settings(document, project=self.name).to_json(), sort_keys=True)
        uri = f"s3://artifacts/code/{self.name}/{code_sha}.tar.gz"
        return publish_settings(self.ports, self.name, settings, uri, code_sha, "ann").version

    def land(self, name: str, body: bytes = b"age,income\n", model: str = "") -> str:
        """Put an object; the body of its event."""
        key = f"incoming/{model or self.name}/{name}"
        put = boto_client("s3").put_object(Bucket="landing", Key=key, Body=body)
        return json.dumps(
            {
                "version": "0",
                "id": "1",
                "detail-type": "Object Created",
                "source": "aws.s3",
                "time": datetime.fromtimestamp(self.clock.now_ms / 1000, timezone.utc).isoformat(),
                "resources": ["arn:aws:s3:::landing"],
                "detail": {
                    "version": "0",
                    "bucket": {"name": "landing"},
                    "object": {
                        "key": key,
                        "size": len(body),
                        "etag": put["ETag"].strip('"'),
                        "version-id": put["VersionId"],
                        "sequencer": "00",
                    },
                    "reason": "PutObject",
                },
            }
        )

    def deliver(self, *bodies: str) -> Handled:
        """Let on_signal handle a batch."""
        batch = [(f"m{number}", body) for number, body in enumerate(bodies)]
        return handle_signals(self.ports, batch)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now_ms += int(seconds * 1000)

    def wake(self) -> Handled:
        """Deliver a wake that is due now."""
        due = {"perennial": "wake", "model": self.name, "due_ms": self.clock.now_ms}
        return self.deliver(json.dumps(due))

    def finish(self, number: int, status: str = "SUCCEEDED", output: Any = None, **why: str) -> str:
        """Let a run's execution end; its ARN."""
        arn = self.run(number).execution
        backend = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION]
        execution: Any = backend.describe_execution(arn)
        execution.status = status
        execution.output = json.dumps(output) if output is not None else None
        execution.stop_date = datetime.now(timezone.utc)
        execution.error, execution.cause = why.get("error"), why.get("cause")
        return arn

    def win(self, number: int, *, passed: bool = True) -> str:
        """Let a run's execution reach its verdict; its ARN."""
        output = {"model": self.name, "run": number, "verdict": {"passed": passed}}
        return self.finish(number, output=output)

    def report(self, number: int, objects: Sequence[Mapping[str, Any]], **summary: Any) -> None:
        """Write the check's report of a run."""
        boto_client("s3").put_object(
            Bucket="artifacts",
            Key=f"runs/{self.name}/{number}/check/report.json",
            Body=json.dumps({"refused": False, "reason": "", **summary, "objects": list(objects)}),
        )

    def manifest(self, number: int) -> list[dict[str, Any]]:
        """What a run reads."""
        found = self.run(number).manifest
        assert found is not None
        key = found.uri.removeprefix("s3://artifacts/")
        body = boto_client("s3").get_object(Bucket="artifacts", Key=key)["Body"].read()
        objects: list[dict[str, Any]] = json.loads(body)["objects"]
        return objects

    def model(self) -> ModelRow:
        """The model's row."""
        row = read_model(self.ledger, self.name)
        assert row is not None
        return row

    def run(self, number: int) -> RunRow:
        """A run's row."""
        return known_run(self.ledger, self.name, number)

    def signals(self) -> list[SignalRow]:
        """Every signal, settled or not."""
        return [
            row
            for family in (OPEN_SK, DONE_SK)
            for row in read_signals(self.ledger, self.name, family)
        ]

    def states(self) -> dict[str, str]:
        """What became of each signal, by its last part (key, or version or token)."""
        return {
            (row.parts[1] if row.kind == "data" else row.parts[0]).rsplit("/", 1)[-1]: row.state
            for row in self.signals()
        }

    def executions(self) -> list[str]:
        """The names of all executions of the model ever started."""
        found = boto_client("stepfunctions").list_executions(
            stateMachineArn=self.outputs["RetrainMachineArn"]
        )
        front = f"perennial-{self.name}-"
        names = [each["name"] for each in found["executions"]]
        return sorted(name for name in names if name.removeprefix(front).isdecimal())

    def inbox(self) -> list[dict[str, Any]]:
        """Take every notice that people got since the last look."""
        sqs, found = boto_client("sqs"), []
        while answer := sqs.receive_message(
            QueueUrl=self.outputs["Inbox"], MaxNumberOfMessages=10
        ).get("Messages"):
            for message in answer:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(
                    QueueUrl=self.outputs["Inbox"], ReceiptHandle=message["ReceiptHandle"]
                )
        return found

    def wakes(self) -> list[tuple[str, int]]:
        """Take every message off the signal queue: model and due time, delayed ones too."""
        backend: Any = _sqs()
        (queue,) = [q for q in backend.queues.values() if q.name == "signals"]
        bodies = [json.loads(message.body) for message in queue._messages]
        queue._messages.clear()
        return [(body["model"], body["due_ms"]) for body in bodies]


_update_model_package: Any = SageMakerModelBackend.update_model_package


def update_model_package(backend: Any, **given: Any) -> Any:
    """UpdateModelPackage as SageMaker does it: what is left out stays; moto forgets it."""
    arn = given["model_package_arn"]
    known = backend.model_packages.get(backend.model_package_name_mapping.get(arn, arn))
    if known is not None:
        for name in ("model_approval_status", "approval_description"):
            given[name] = given.get(name) or getattr(known, name)
        before = known.customer_metadata_properties or {}
        added = given.get("customer_metadata_properties") or {}
        given["customer_metadata_properties"] = {**before, **added}
    return _update_model_package(backend, **given)


def _sqs() -> Any:
    from moto.sqs.models import sqs_backends

    return sqs_backends[DEFAULT_ACCOUNT_ID][REGION]


def make_table(name: str) -> None:
    """Create a ledger's table."""
    boto_client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )


@contextmanager
def new_world() -> Iterator[World]:
    """A fresh stack in a fresh account."""
    patched = patch.object(SageMakerModelBackend, "update_model_package", update_model_package)
    with mock_aws(), patched:
        s3 = boto_client("s3")
        for bucket in ("landing", "artifacts"):
            s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
            )
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        make_table("ledger")
        sqs, sns = boto_client("sqs"), boto_client("sns")
        topic = sns.create_topic(Name="notices")["TopicArn"]
        inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:{REGION}:{DEFAULT_ACCOUNT_ID}:inbox",
        )
        machine = boto_client("stepfunctions").create_state_machine(
            name="perennial-retrain",
            definition=json.dumps({"StartAt": "D", "States": {"D": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        release_machine = boto_client("stepfunctions").create_state_machine(
            name="perennial-release",
            definition=json.dumps({"StartAt": "D", "States": {"D": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        boto_client("sagemaker").create_model_package_group(
            ModelPackageGroupName=f"perennial-{MODEL}"
        )
        yield World(
            {
                "StackName": "perennial",
                "StackToken": "perennial",
                "LandingBucket": "landing",
                "ArtifactBucket": "artifacts",
                "LedgerTable": "ledger",
                "SignalQueueUrl": sqs.create_queue(QueueName="signals")["QueueUrl"],
                "RetrainMachineArn": machine,
                "ReleaseMachineArn": release_machine,
                "NoticesTopicArn": topic,
                "Inbox": inbox,
            }
        )
