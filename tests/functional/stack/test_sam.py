"""The unmodified SAM command takes the real template onto the local cloud, and off again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import REPOSITORY, LocalCloud, start_local_cloud

PARTS = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachines")
BUILT = ".aws-sam/build/template.yaml"


@dataclass
class Checkout:
    """A copy of what `sam` reads, so that no test builds into the work tree."""

    folder: Path
    cloud: LocalCloud
    outputs: dict[str, str] = field(default_factory=dict)

    def sam(self, *arguments: str, fails: bool = False) -> str:
        """What a command prints; it must succeed, or fail if that is asked for."""
        tool = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
        command = str(tool) if tool.exists() else shutil.which("sam")
        assert command, "the SAM command is not installed: run `make setup`"
        environment = {**self.cloud.environment(), "SAM_CLI_POLL_DELAY": "0.5"}
        done = subprocess.run(
            [command, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        assert (done.returncode != 0) == fails, f"sam {arguments[0]}: {text}"
        return text

    def built(self, change: Callable[[str], str], name: str) -> str:
        """The built template with a change, as a file beside it."""
        text = (self.folder / BUILT).read_text("utf-8")
        changed = change(text)
        assert changed != text, f"{name} changes nothing"
        path = Path(BUILT).with_name(f"{name}.yaml")
        (self.folder / path).write_text(changed, "utf-8")
        return str(path)

    def deploy_changed(self, template: str, *, fails: bool = False) -> str:
        """Deploy a changed template; `sam` looks for its configuration beside it otherwise."""
        config = str(self.folder / "samconfig.toml")
        return self.sam("deploy", "--template-file", template, "--config-file", config, fails=fails)

    def stack(self, name: str) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it, or None."""
        client = self.cloud.client("cloudformation")
        try:
            found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
        except client.exceptions.ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None
        return found

    def outputs_of(self, name: str) -> dict[str, str]:
        """A stack's outputs by key."""
        stack = self.stack(name)
        assert stack is not None
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def memory(self, output: str) -> int:
        """The memory of the function that an output names."""
        client = self.cloud.client("lambda")
        found = client.get_function_configuration(FunctionName=self.outputs[output])
        return int(found["MemorySize"])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The stack `perennial`, built and deployed on a cloud of this module's own."""
    folder = tmp_path_factory.mktemp("checkout")
    hidden = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=hidden)
        else:
            shutil.copy(source, folder / part)
    os.symlink(REPOSITORY / ".tools", folder / ".tools")
    cloud = start_local_cloud(tmp_path_factory.mktemp("cloud") / "state")
    made = Checkout(folder, cloud)
    made.sam("build")
    made.sam("deploy")
    made.outputs = made.outputs_of("perennial")
    yield made
    cloud.stop()


def test_deployed_stack_is_complete(checkout: Checkout) -> None:
    """Every output has a value, and every resource of the template stands."""
    stack = checkout.stack("perennial")
    assert stack is not None
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert all(checkout.outputs.values())
    assert checkout.outputs["StackToken"] == "perennial"
    resources = checkout.cloud.client("cloudformation").get_paginator("list_stack_resources")
    statuses = {
        resource["LogicalResourceId"]: resource["ResourceStatus"]
        for page in resources.paginate(StackName="perennial")
        for resource in page["StackResourceSummaries"]
    }
    assert set(statuses.values()) == {"CREATE_COMPLETE"}
    assert "RemoveDataPolicy" not in statuses, "only DataRetention=delete may remove data"


def test_deployed_data_is_protected(checkout: Checkout) -> None:
    """What the template says of buckets and ledger is so, asked of the services themselves."""
    s3, dynamodb = checkout.cloud.client("s3"), checkout.cloud.client("dynamodb")
    for bucket in (checkout.outputs["LandingBucket"], checkout.outputs["ArtifactBucket"]):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}
    table = checkout.outputs["LedgerTable"]
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    assert recovery == "ENABLED"
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert (expiry["AttributeName"], expiry["TimeToLiveStatus"]) == ("expires", "ENABLED")


def test_deploying_again_changes_nothing(checkout: Checkout) -> None:
    """The same build a second time is no change."""
    assert "No changes to deploy" in checkout.sam("deploy")


def test_building_again_is_the_same_build(checkout: Checkout) -> None:
    """A second build from the same sources deploys nothing either, without a network."""
    shutil.rmtree(checkout.folder / ".aws-sam" / "build")
    checkout.sam("build")
    assert "No changes to deploy" in checkout.sam("deploy")


def test_changed_template_updates(checkout: Checkout) -> None:
    """A changed property reaches the function; changing it back does too."""
    changed = checkout.built(lambda text: text.replace("MemorySize: 512", "MemorySize: 640"), "big")
    checkout.deploy_changed(changed)
    assert checkout.memory("StackChangedFunctionArn") == 640
    checkout.sam("deploy")
    assert checkout.memory("StackChangedFunctionArn") == 512


def test_failing_change_is_rolled_back(checkout: Checkout) -> None:
    """A change that a service refuses is undone whole, and the reason is told."""
    failing = checkout.built(
        lambda text: text.replace("BatchSize: 10", "BatchSize: 50000").replace(
            "MemorySize: 512", "MemorySize: 640"
        ),
        "failing",
    )
    assert "UPDATE_ROLLBACK_COMPLETE" in checkout.deploy_changed(failing, fails=True)
    events = checkout.cloud.client("cloudformation").describe_stack_events(StackName="perennial")
    failed = [e for e in events["StackEvents"] if e["ResourceStatus"] == "UPDATE_FAILED"]
    assert {event["LogicalResourceId"] for event in failed} == {"OnSignalFunctionSignals"}
    assert "50000" in failed[0]["ResourceStatusReason"]
    stack = checkout.stack("perennial")
    assert stack is not None
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert checkout.memory("StackChangedFunctionArn") == 512
    assert "No changes to deploy" in checkout.sam("deploy")


def test_remote_invoke_and_logs(checkout: Checkout) -> None:
    """Function, queue and state machine are invoked by their names; the log is there to read."""
    stack = ("--stack-name", "perennial")
    checkout.sam("remote", "invoke", "OnSweepDueFunction", *stack, "-e", "{}")
    assert "REPORT RequestId" in checkout.sam("logs", *stack, "-n", "OnSweepDueFunction")
    wake = json.dumps({"perennial": "wake", "model": "nobody", "due_ms": 1})
    assert "MessageId" in checkout.sam("remote", "invoke", "SignalQueue", *stack, "-e", wake)
    by_hand = json.dumps({"model": "nobody", "run": 1})
    text = checkout.sam("remote", "invoke", "RetrainMachine", *stack, "-e", by_hand)
    assert "NotClaimed" in text
    checkout.cloud.idle()
    group = checkout.cloud.client("logs").describe_log_groups(
        logGroupNamePrefix="/perennial/perennial/"
    )["logGroups"]
    assert {found["logGroupName"].rsplit("/", 1)[-1] for found in group} == {
        path.name for path in (REPOSITORY / "functions").iterdir() if path.is_dir()
    }
    assert {found["retentionInDays"] for found in group} == {30}


def test_deleting_with_delete_leaves_nothing(checkout: Checkout) -> None:
    """The stack `dev-perennial` takes its data with it: versions, buckets, ledger."""
    checkout.sam("deploy", "--config-env", "dev")
    outputs = checkout.outputs_of("dev-perennial")
    assert outputs["StackToken"] == "dev-perenn"
    s3 = checkout.cloud.client("s3")
    for body in (b"one", b"two"):
        s3.put_object(Bucket=outputs["LandingBucket"], Key="incoming/x/a.csv", Body=body)
    s3.put_object(Bucket=outputs["ArtifactBucket"], Key="runs/x/1/settings.json", Body=b"{}")
    s3.delete_object(Bucket=outputs["LandingBucket"], Key="incoming/x/a.csv")
    checkout.sam("delete", "--config-env", "dev", "--stack-name", "dev-perennial", "--no-prompts")
    assert checkout.stack("dev-perennial") is None
    buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert not buckets & {outputs["LandingBucket"], outputs["ArtifactBucket"]}
    tables = checkout.cloud.client("dynamodb").list_tables()["TableNames"]
    assert outputs["LedgerTable"] not in tables
    assert checkout.outputs["LedgerTable"] in tables, "the other stack's data is not touched"


def test_deleting_with_keep_leaves_the_data(checkout: Checkout) -> None:
    """The stack `perennial` leaves buckets and ledger, and nothing else, behind."""
    s3 = checkout.cloud.client("s3")
    outputs = checkout.outputs
    s3.put_object(Bucket=outputs["LandingBucket"], Key="incoming/x/a.csv", Body=b"one")
    checkout.sam("delete", "--stack-name", "perennial", "--no-prompts")
    assert checkout.stack("perennial") is None
    body = s3.get_object(Bucket=outputs["LandingBucket"], Key="incoming/x/a.csv")["Body"].read()
    assert body == b"one"
    assert outputs["LedgerTable"] in checkout.cloud.client("dynamodb").list_tables()["TableNames"]
    assert checkout.cloud.client("lambda").list_functions()["Functions"] == []
    machines = checkout.cloud.client("stepfunctions").list_state_machines()["stateMachines"]
    assert machines == []
