"""The acceptance test: an unmodified sam CLI builds, deploys, updates, fails and deletes an app."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.conftest import REPOSITORY, LocalCloud

SAM = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
APP = Path(__file__).parent / "app"
STACK = "sam-acceptance"


class Sam:
    """The sam CLI in a copy of the app."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **cloud.environment(),
            "HOME": str(folder.parent),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.1",
        }

    def __call__(self, *arguments: str, ok: bool = True) -> str:
        """Run one command; returns what it says."""
        ran = subprocess.run(
            [str(SAM), *arguments],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert (ran.returncode == 0) is ok, ran.stdout
        return ran.stdout

    def deploy(self, *more: str, ok: bool = True) -> str:
        """Deploy the built app."""
        return self(
            "deploy", "--stack-name", STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
            "--no-confirm-changeset", *more, ok=ok,
        )  # fmt: skip


@pytest.fixture(scope="module")
def sam(local_cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam]:
    """The app, built and deployed once."""
    folder = tmp_path_factory.mktemp("sam") / "app"
    shutil.copytree(APP, folder)
    command = Sam(local_cloud, folder)
    command("build")
    said = command.deploy()
    assert "Successfully created/updated stack" in said
    yield command
    command("delete", "--stack-name", STACK, "--no-prompts")
    listed = local_cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert STACK not in [stack["StackName"] for stack in listed]


def test_deploying_again_changes_nothing(sam: Sam) -> None:
    """Building and deploying the same again exits 0 and says that there is nothing to do."""
    sam("build")
    assert "No changes to deploy" in sam.deploy("--no-fail-on-empty-changeset")


def test_what_was_deployed(sam: Sam, stacks: Stacks) -> None:
    """Every type of the app is there, configured as the template says."""
    cloud, name = stacks.cloud, STACK
    listed = json.loads(sam("list", "resources", "--stack-name", STACK, "--output", "json"))
    assert len(listed) > 40
    bucket = stacks.physical(name, "Landing")
    assert cloud.client("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = cloud.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    table = stacks.physical(name, "Ledger")
    backups = cloud.client("dynamodb").describe_continuous_backups(TableName=table)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    expiry = cloud.client("dynamodb").describe_time_to_live(TableName=table)
    assert expiry["TimeToLiveDescription"]["AttributeName"] == "expires"
    function = cloud.client("lambda").get_function_configuration(
        FunctionName=stacks.physical(name, "OnMessageFunction")
    )
    assert (function["MemorySize"], function["Environment"]["Variables"]["DAYS"]) == (256, "30")
    assert len(function["Layers"]) == 1


def test_remote_invoke_and_logs(sam: Sam) -> None:
    """Functions and machines answer sam, and their logs are found."""
    said = sam("remote", "invoke", "--stack-name", STACK, "ProviderFunction", "-e", '{"a": 1}')
    assert '{"echo": {"a": 1}}' in said
    said = sam("remote", "invoke", "--stack-name", STACK, "Machine", "-e", '{"b": 2}')
    assert '{"echo":{"b":2}}' in said.replace(" ", "")
    assert "requestid" in sam("logs", "--stack-name", STACK).lower()


def test_changed_parameter_updates(sam: Sam, stacks: Stacks) -> None:
    """A changed parameter changes what depends on it, and nothing else is replaced."""
    before = stacks.physical(STACK, "Landing")
    sam.deploy("--parameter-overrides", "Memory=512 Mode=delete")
    name = stacks.physical(STACK, "OnMessageFunction")
    function = stacks.cloud.client("lambda").get_function_configuration(FunctionName=name)
    assert (function["MemorySize"], function["Environment"]["Variables"]["DAYS"]) == (512, "7")
    assert stacks.physical(STACK, "Landing") == before


def test_failing_update_rolls_back(sam: Sam, stacks: Stacks) -> None:
    """A failing update is refused with its reason, and everything is as before."""
    name = stacks.physical(STACK, "OnMessageFunction")
    client = stacks.cloud.client("lambda")
    before = client.get_function_configuration(FunctionName=name)["MemorySize"]
    said = sam.deploy("--parameter-overrides", "Memory=1024 Mode=broken", ok=False)
    assert "Mode is broken" in " ".join(said.split())
    stack = stacks.client.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert client.get_function_configuration(FunctionName=name)["MemorySize"] == before
