"""The command line and boto3 as a user has them, against the stack that a module deployed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from click.testing import CliRunner, Result

from cli.local_cloud import ROOT
from cli.main import perennial
from tests.functional.conftest import LocalCloud

WAIT_SECONDS = 240  # a machine that runs eight suites at once is slow
PEOPLE = {"PERENNIAL_USER": "ann"}


@dataclass(frozen=True)
class Champion:
    """Who serves: the version, and the SHA-256 of the bytes that lie under its artifact's name."""

    version: int
    arn: str
    digest: str


class Shell:
    """Runs `perennial …` and calls AWS on one local cloud."""

    def __init__(self, cloud: LocalCloud, outputs: dict[str, str]) -> None:
        self.cloud = cloud
        self.outputs = outputs
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PERENNIAL_"))}
        self.variables = {**PEOPLE, "PERENNIAL_STATE": str(cloud.state)}
        self.environment = {**kept, **self.variables}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command, as a process of its own, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """Run one command, which must succeed, and return what it said."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run one command with --json and return its document."""
        return json.loads(self.ok(*arguments, "--json"))

    def inside(self, *arguments: str) -> Result:
        """Run one command within this process, which is fast; from one thread at a time."""
        with mock.patch.dict(os.environ, self.variables):
            return CliRunner().invoke(perennial, list(arguments))

    def told(self, *arguments: str) -> Any:
        """The document of a command that runs within this process."""
        done = self.inside(*arguments, "--json")
        assert done.exit_code == 0, f"{arguments}: {done.output}"
        return json.loads(done.stdout)

    def put(self, key: str, body: bytes) -> str:
        """Put an object into the landing bucket under its whole key; its version."""
        answer = self.cloud.client("s3").put_object(
            Bucket=self.outputs["LandingBucket"], Key=key, Body=body
        )
        return str(answer["VersionId"])

    def delete(self, key: str, version: str = "") -> None:
        """Delete an object, or one version of it for good."""
        which = {"VersionId": version} if version else {}
        self.cloud.client("s3").delete_object(
            Bucket=self.outputs["LandingBucket"], Key=key, **which
        )

    def sweep(self) -> None:
        """Let the sweeper pass once, as its schedule does every five minutes."""
        answer = self.cloud.client("lambda").invoke(FunctionName=self.function("OnSweepDue"))
        assert "FunctionError" not in answer, answer["Payload"].read()

    def function(self, part: str) -> str:
        """The name of the stack's function whose logical id holds these letters."""
        found = self.cloud.client("cloudformation").describe_stack_resources(StackName="perennial")
        (name,) = [
            str(resource["PhysicalResourceId"])
            for resource in found["StackResources"]
            if resource["ResourceType"] == "AWS::Lambda::Function"
            and part in resource["LogicalResourceId"]
        ]
        return name

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Ask again and again until the answer is true; the answer."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            answer = found()
            if answer:
                return answer
            time.sleep(0.3)
        raise AssertionError(f"{what} did not come to be within {WAIT_SECONDS} s")

    def ended(self, model: str, number: int) -> dict[str, Any]:
        """Wait until the run is over and settled; its page."""

        def over() -> bool:
            row = self.ledger(model).get(f"run#{number:06d}", {})
            return bool(row.get("state") == {"S": "ended"})

        # Asking by the command line would cost a process each time.
        self.until(f"the end of run {number} of {model}", over)
        page: dict[str, Any] = self.json("run", "show", model, str(number))
        return page

    def settle(self, timeout: float = WAIT_SECONDS) -> None:
        """Wait until queues, functions, jobs and executions rest."""
        self.cloud.idle(timeout=timeout)

    def promote(self, model: str, version: int) -> Champion:
        """Approve a version and wait until it is the champion."""
        self.ok("approve", model, str(version), "--because", "it is the first")
        return self.first_champion(model)

    def first_champion(self, model: str) -> Champion:
        """Wait until the model has a champion."""
        self.until(
            f"the champion of {model}", lambda: "champion" in self.ledger(model).get("model", {})
        )
        return self.champion(model)

    def champion(self, model: str) -> Champion:
        """The champion as the ledger has it, with the digest of the bytes that S3 has now."""
        found = self.json("status", model)["champion"]
        assert found, f"{model} has no champion"
        package = self.cloud.client("sagemaker").describe_model_package(
            ModelPackageName=found["arn"]
        )
        assert package["ModelApprovalStatus"] == "Approved"
        place = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
        bucket, _, key = place.removeprefix("s3://").partition("/")
        body = self.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        digest = hashlib.sha256(body).hexdigest()
        assert digest == found["digest"], f"{place} does not hold what was approved"
        return Champion(found["version"], found["arn"], digest)

    def dead_letters(self) -> list[str]:
        """The bodies of all dead letters."""
        sqs = self.cloud.client("sqs")
        found = []
        for output in ("SignalDeadLettersUrl", "RunEndedDeadLettersUrl"):
            answer = sqs.receive_message(
                QueueUrl=self.outputs[output], MaxNumberOfMessages=10, VisibilityTimeout=0
            )
            found += [str(message["Body"]) for message in answer.get("Messages", [])]
        return found

    def waiting(self, model: str) -> list[str]:
        """The keys of the object versions that wait for a run."""
        rows = self.ledger(model)
        return [
            rows[key]["parts"]["L"][1]["S"]
            for key in rows
            if key.startswith("open#") and rows[key]["kind"] == {"S": "data"}
        ]

    def ledger(self, model: str) -> dict[str, Any]:
        """Every row that the ledger keeps of a model, by its sort key."""
        pages = (
            self.cloud.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.outputs["LedgerTable"],
                KeyConditionExpression="pk = :model",
                ExpressionAttributeValues={":model": {"S": f"model#{model}"}},
                ConsistentRead=True,
            )
        )
        return {item["sk"]["S"]: item for page in pages for item in page["Items"]}
