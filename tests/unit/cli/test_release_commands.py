"""`release`, `releases`, `rollback`, `endpoint`, `adopt`, `approve --production` on a stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from moto.stepfunctions.models import stepfunctions_backends
from perennial.await_approval import await_approval
from perennial.aws import registry, scaling
from perennial.commit_change import commit_change
from perennial.domain.ledger.release_claims import announce_update
from perennial.domain.ledger.rows import RunRow, Version
from perennial.domain.ledger.store import create
from perennial.end_release import end_release, look_after_releases
from perennial.list_releases import known_release
from perennial.record_champion import record_champion
from perennial.wiring import Ports, connect, now_ms

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cloud

Make = Callable[..., Path]
REGION, LIVE = "eu-west-1", "perennial-live-churn"


@pytest.fixture
def ports(cloud: Cloud, project: Make) -> Ports:
    """A pushed model with an endpoint, of which runs registered two versions."""
    result = cloud.run("push", str(project(release={"endpoint": {}})))
    assert result.exit_code == 0, result.output
    made = connect({**cloud.outputs, "StackName": "perennial"})
    group = {"ModelPackageGroupName": "perennial-churn"}
    boto3.client("sagemaker").create_model_package_group(**group)
    for number in (1, 2):
        arn = registry.create_version({**group, "ModelApprovalStatus": registry.PENDING})
        version = Version(number, arn, registry.PENDING)
        row = RunRow("churn", number, 1, 1, state="ended", outcome="won", version=version)
        made.ledger.commit([create(row)])
    return made


def approve(ports: Ports, number: int) -> None:
    """Approve a version and hear of it."""
    version = registry.find_version("perennial-churn", number)
    registry.update_approval(version.arn, registry.APPROVED, "good")
    record_champion(ports, "perennial-churn", version.arn, now_ms())
    look_after_releases(ports, "churn", may_settle=False)


def go_live(ports: Ports, number: int) -> None:
    """Let a release do its work in moto, and end well."""
    row = known_release(ports, "churn", number)
    commit_change(ports, lambda: announce_update(known_release(ports, "churn", number), now_ms()))
    sagemaker, role = boto3.client("sagemaker"), "arn:aws:iam::123456789012:role/endpoint"
    if row.kind != "rollback":
        sagemaker.create_model(
            ModelName=row.config, PrimaryContainer={"Image": "i"}, ExecutionRoleArn=role
        )
        variant = {"VariantName": "main", "ModelName": row.config, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(
            EndpointConfigName=row.config,
            ProductionVariants=[{**variant, "InitialInstanceCount": 2}],
        )
    endpoints: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION].endpoints
    if LIVE not in endpoints:
        sagemaker.create_endpoint(EndpointName=LIVE, EndpointConfigName=row.config)
    endpoints[LIVE].endpoint_config_name = row.config
    after = datetime.now() + timedelta(seconds=5)
    endpoints[LIVE].last_modified_time = after.strftime("%Y-%m-%d %H:%M:%S")
    execution: Any = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION].describe_execution(
        row.execution
    )
    execution.status, execution.stop_date = "SUCCEEDED", datetime.now(timezone.utc)
    assert end_release(ports, row.execution).decision == "ended"


def refused(cloud: Cloud, *arguments: str) -> tuple[int, str]:
    """The exit code of a command and its words on one line."""
    result = cloud.run(*arguments)
    return result.exit_code, " ".join(result.stderr.split())


def test_without_a_release_the_next_command_is_named(cloud: Cloud, ports: Ports) -> None:
    """And an endpoint that is not there is not found."""
    assert "has had no release yet" in cloud.run("releases", "churn").stdout
    assert cloud.json("releases", "churn") == []
    code, words = refused(cloud, "endpoint", "churn")
    assert (code, "approve a version" in words) == (4, True), words
    assert cloud.run("releases", "churn", "-n", "0").exit_code == 2


def test_status_tells_what_is_live_and_what_is_on_its_way(cloud: Cloud, ports: Ports) -> None:
    """Version, endpoint and open release; without any of them it says so."""
    nothing = cloud.json("status", "churn")["production"]
    assert (nothing["version"], nothing["open_release"], nothing["waits"]) == (0, None, [])
    approve(ports, 1)
    go_live(ports, 1)
    shown = cloud.json("status", "churn")["production"]
    assert (shown["version"], shown["endpoint"], shown["open_release"]) == (1, LIVE, None)
    assert f"churn 1 is live on {LIVE}, released" in cloud.run("status").stdout
    approve(ports, 2)
    shown = cloud.json("status", "churn")["production"]
    assert (shown["version"], shown["open_release"], shown["open_version"]) == (1, 2, 2)
    text = " ".join(cloud.run("status").stdout.split())
    assert "release 2 of churn (version 2) is being tested on its staging endpoint" in text
    assert "version 1 ← 2 (release 2)" in text


def test_status_tells_of_an_endpoint_that_is_gone(cloud: Cloud, ports: Ports) -> None:
    """The ledger's word alone would call it live."""
    approve(ports, 1)
    go_live(ports, 1)
    boto3.client("sagemaker").delete_endpoint(EndpointName=LIVE)
    text = " ".join(cloud.run("status").stdout.split())
    assert f"churn 1 does not serve as it should: {LIVE} was deleted by someone" in text
    assert f"is live on {LIVE}" not in text
    assert "was deleted by someone" in cloud.json("status", "churn")["trouble"]


def test_a_release_is_shown_while_it_works_and_when_it_is_over(cloud: Cloud, ports: Ports) -> None:
    """By `why`, `releases` and `endpoint`."""
    approve(ports, 1)
    assert "is being tested on its staging endpoint" in cloud.run("why", "churn").stdout
    assert "release 1 is at work" in cloud.run("endpoint", "churn").stdout
    go_live(ports, 1)
    (row,) = cloud.json("releases", "churn")
    assert (row["number"], row["outcome"], row["version"]) == (1, "released", 1)
    assert "serves version 1" in cloud.run("releases", "churn").stdout.replace("\n", " ")
    shown = cloud.json("endpoint", "churn")
    assert (shown["status"], shown["config"], shown["words"]) == (
        ("InService", "perennial-churn-r1", "")
    )
    printed = cloud.run("endpoint", "churn").stdout
    assert "live: version 1, by release 1" in printed
    assert "ml.m5.large" in printed
    assert json.loads(json.dumps(cloud.json("why", "churn")))["releases"] == []


def test_rollback_and_release_open_releases_or_say_why_not(cloud: Cloud, ports: Ports) -> None:
    """Refusals have exit code 5 and say what to do."""
    code, words = refused(cloud, "rollback", "churn", "--because", "slow", "--yes")
    assert (code, "no endpoint in production" in words) == (5, True), words
    assert cloud.run("release", "churn", "--because", "x", "--yes").exit_code == 4
    approve(ports, 1)
    go_live(ports, 1)
    approve(ports, 2)
    go_live(ports, 2)
    assert "back: churn: version 1" in cloud.run("endpoint", "churn").stdout
    assert cloud.json("rollback", "churn", "--because", "slow", "--yes") == {
        "model": "churn",
        "releases": [3],
    }
    code, words = refused(cloud, "rollback", "churn", "--because", "once more", "--yes")
    assert (code, "release 3 of churn (version 1) is at work" in words) == (5, True), words
    go_live(ports, 3)
    row = cloud.json("releases", "churn", "-n", "1")[0]
    assert (row["kind"], row["version"], row["by"], row["because"]) == (
        ("rollback", 1, "ann", "slow")
    )
    registry.update_approval(row["arn"], registry.APPROVED, "moto forgets it with the metadata")
    assert (
        "Release 4 of churn is opened"
        in cloud.run("release", "churn", "--because", "again", "--yes").stdout
    )


@pytest.mark.parametrize("name", ["release", "rollback", "adopt", "endpoint"])
def test_on_aws_what_touches_production_asks(cloud: Cloud, ports: Ports, name: str) -> None:
    """Without anybody to answer it is refused."""
    more = ("--remove",) if name == "endpoint" else ("--because", "x")
    code, words = refused(cloud, name, "churn", *more)
    assert (code, "Say --yes if you mean it" in words) == (5, True), words


def test_a_person_lets_a_release_into_production(cloud: Cloud, ports: Ports) -> None:
    """Which waits for nobody else."""
    code, words = refused(
        cloud, "approve", "churn", "1", "--production", "--because", "fine", "--yes"
    )
    assert (code, "none waits for production" in words) == (5, True), words
    approve(ports, 1)
    await_approval(ports, "churn", 1, known_release(ports, "churn", 1).execution, "a-token")
    assert "perennial approve churn 1 --production" in cloud.run("why", "churn").stdout.replace(
        "\n", " "
    )
    shown = cloud.json("approve", "churn", "1", "--production", "--because", "fine", "--yes")
    assert shown["state"] == "approved for production"
    assert known_release(ports, "churn", 1).approved_by == "ann: fine"


def test_an_endpoint_is_adopted_and_taken_away(cloud: Cloud, ports: Ports) -> None:
    """Adoption makes a champion; removal leaves it."""
    code, words = refused(cloud, "adopt", "churn", "--because", "ours", "--yes")
    assert (code, "--version <n>" in words) == (4, True), words
    arn = registry.find_version("perennial-churn", 1).arn
    registry.update_approval(arn, registry.APPROVED, "good")
    adopted = cloud.json("adopt", "churn", "--version", "1", "--because", "in batches", "--yes")
    assert (adopted["version"], adopted["endpoint"], adopted["is_new"]) == (1, "", True)
    result = cloud.run("adopt", "churn", "--version", "1", "--because", "in batches", "--yes")
    assert "is the champion already" in result.stdout
    approve(ports, 2)
    go_live(ports, 2)
    assert f"Removed: {LIVE}" in cloud.run("endpoint", "churn", "--remove", "--yes").stdout
    assert cloud.json("endpoint", "churn", "--remove", "--yes")["endpoints"] == []


def test_an_endpoint_shows_how_it_scales(
    cloud: Cloud, ports: Ports, project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds, target, the last change in words; and what it should be when someone changed it."""
    monkeypatch.setattr(scaling, "last_activity", lambda _: None)  # moto does not know it
    wanted = {"max": 5, "invocations_per_instance": 90}
    folder = project(release={"endpoint": {"count": 3, "scaling": wanted}})
    assert cloud.run("push", str(folder)).exit_code == 0
    approve(ports, 1)
    go_live(ports, 1)
    printed = " ".join(cloud.run("endpoint", "churn").stdout.split())
    assert "scaling: 3 to 5 instances, 90 requests a minute each" in printed
    assert "last scaled: it has not changed the number of instances yet" in printed
    shown = cloud.json("endpoint", "churn")["scaling"]
    assert (shown["min"], shown["max"], shown["words"]) == (3, 5, "")
    scaling.remove_scaling(LIVE)
    printed = " ".join(cloud.run("endpoint", "churn").stdout.split())
    assert "release 1 asks for 3 to 5 instances with 90 requests a minute each" in printed
