"""The unmodified SAM command takes the real template onto the local cloud, and off again."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout
from tests.functional.stack.two_stacks import Deployed, check_deaf


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


@pytest.mark.long
def test_building_again_is_the_same_build(checkout: Checkout) -> None:
    """A second build from the same sources deploys nothing either, without a network."""
    shutil.rmtree(checkout.folder / ".aws-sam" / "build")
    checkout.sam("build")
    assert "No changes to deploy" in checkout.sam("deploy")


@pytest.mark.long
def test_changed_template_updates(checkout: Checkout) -> None:
    """A changed property reaches the function; changing it back does too."""
    changed = checkout.built(lambda text: text.replace("MemorySize: 512", "MemorySize: 640"), "big")
    checkout.deploy_changed(changed)
    assert checkout.memory("StackChangedFunctionArn") == 640
    checkout.sam("deploy")
    assert checkout.memory("StackChangedFunctionArn") == 512


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.fixture(scope="module")
def dev(checkout: Checkout) -> dict[str, str]:
    """The outputs of a second stack in the same account, `dev-perennial`."""
    checkout.sam("deploy", "--config-env", "dev")
    return checkout.outputs_of("dev-perennial")


def test_two_stacks_never_hear_each_other(checkout: Checkout, dev: dict[str, str]) -> None:
    """Objects, alarms, executions, packages, endpoints and schedules of one leave the other be."""
    one = Deployed.of(checkout.cloud, "perennial", checkout.outputs)
    other = Deployed.of(checkout.cloud, "dev-perennial", dev)
    for stack in (one, other):
        stack.publish()
    check_deaf(one, other)
    check_deaf(other, one)


def test_deleting_with_delete_leaves_nothing(checkout: Checkout, dev: dict[str, str]) -> None:
    """The stack `dev-perennial` takes its data with it: versions, buckets, ledger."""
    outputs = dev
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
