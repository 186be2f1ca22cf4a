"""A model's whole life on the deployed stack; each function calls only what its role grants.

The local cloud enforces no IAM, so the grants are compared with what was really called.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from perennial.approve_version import approve_version
from perennial.describe_model import describe_model
from perennial.describe_run import describe_run
from perennial.domain.ledger.rows import RunRow
from perennial.pack_project import pack_project
from perennial.push_project import Code, push_project
from perennial.remove_model import remove_model
from perennial.request_retrain import request_retrain
from perennial.stop_run import stop_run
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from cli.model_file import read_settings
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout
from tests.template.loading import as_list, main_template, references, statements

MODEL = "abalone"
# Where an operation's permission has another name than the operation.
PERMISSIONS = {
    "dynamodb:TransactWriteItems": {
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    },
    "s3:DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "s3:HeadObject": {"s3:GetObject"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
}


def _until(what: str, look: Callable[[], Any], seconds: float = 150) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def _ended(ports: Ports, number: int) -> Callable[[], RunRow | None]:
    def look() -> RunRow | None:
        row = describe_model(ports, MODEL)
        if row.open_run is not None or number > row.last_run:
            return None
        return describe_run(ports, MODEL, number)

    return look


def _is_champion(ports: Ports, version: int) -> Callable[[], bool]:
    def look() -> bool:
        champion = describe_model(ports, MODEL).champion
        return champion is not None and champion.version == version

    return look


def _push(ports: Ports) -> None:
    folder = REPOSITORY / "models" / MODEL
    packed = pack_project(folder)
    code = Code(packed.body, packed.sha256)
    # Otherwise the first data gather for the model's own quiet period, five minutes.
    # And the second run, which learns the same again, is to win: it is not worse.
    lenient = {"triggers.quiet_period": "0s", "gates.champion.margin": "0.5"}
    settings = read_settings(folder, lenient)
    push_project(ports, settings, code, pushed_by="a test", tell=lambda _: None)


def _land(checkout: Checkout) -> None:
    (table, *_) = fetch_dataset(MODEL).tables
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=table.text().encode(),
    )


@pytest.fixture(scope="module")
def life(checkout: Checkout, ports: Ports) -> dict[str, Any]:
    """A first run, approved by a person, a second one by policy, a third one that is stopped;
    then a sweep, and the model's removal.
    """
    facts: dict[str, Any] = {}
    _push(ports)
    _land(checkout)
    facts["won"] = _until("the first run's end", _ended(ports, 1))
    approve_version(ports, MODEL, 1, "the first of its kind", "a test")
    _until("the first champion", _is_champion(ports, 1))
    request_retrain(ports, MODEL, "once more", {}, "token-1")
    _until("the second run's end", _ended(ports, 2))
    _until("the second champion", _is_champion(ports, 2))
    request_retrain(ports, MODEL, "a last time", {}, "token-2")
    _until("the third run", lambda: describe_model(ports, MODEL).open_run)
    stop_run(ports, MODEL, 3, "it is only a test")
    facts["stopped"] = _until("the third run's end", _ended(ports, 3))
    checkout.sam("remote", "invoke", "OnSweepDueFunction", "--stack-name", "perennial", "-e", "{}")
    checkout.cloud.idle()
    refused = checkout.sam("delete", "--stack-name", "perennial", "--no-prompts", fails=True)
    facts["refused"] = refused
    remove_model(ports, MODEL, by="a test", with_data=True, tell=lambda _: None)
    checkout.cloud.idle()
    return facts


def test_the_model_lives_and_goes(life: dict[str, Any]) -> None:
    """Data becomes an approved champion; a stopped run says so; removing leaves nothing."""
    assert life["won"].outcome == "won"
    assert life["stopped"].outcome == "stopped"


def test_the_main_stack_stays_while_a_model_is_left(life: dict[str, Any]) -> None:
    """CloudFormation refuses to delete what a model's stack imports."""
    assert "perennial-model-abalone" in life["refused"]


def test_removal_leaves_nothing(life: dict[str, Any], checkout: Checkout) -> None:
    """No version, no group, no schedule, no file of the model is left."""
    sagemaker, s3 = checkout.cloud.client("sagemaker"), checkout.cloud.client("s3")
    assert life["won"].version.number == 1
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
    schedules = checkout.cloud.client("scheduler").list_schedules(GroupName="perennial")
    assert [found["Name"] for found in schedules["Schedules"]] == ["perennial-sweep"]
    for bucket in (checkout.outputs["LandingBucket"], checkout.outputs["ArtifactBucket"]):
        assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def _granted() -> dict[str, set[str]]:
    """The actions that each function's role allows, by the function's logical id."""
    template = main_template()
    found: dict[str, set[str]] = defaultdict(set)
    sources = [
        *((f"{name}", part) for name, part in template.of_type("AWS::IAM::Role").items()),
        *(
            (role, part["PolicyDocument"])
            for part in template.of_type("AWS::IAM::Policy").values()
            for role in references(part["Roles"])
        ),
    ]
    for role, part in sources:
        for statement in statements(part.get("Policies", part)):
            if statement["Effect"] != "Deny":
                found[role.removesuffix("Role")] |= set(as_list(statement["Action"]))
    return found


def test_functions_call_only_what_is_granted(life: dict[str, Any], checkout: Checkout) -> None:
    """Every call of every function is covered by its role, and every function was at work."""
    called: dict[str, set[str]] = defaultdict(set)
    assert life
    for call in checkout.cloud.journal("call"):
        function = call["function"].removeprefix("perennial-").rsplit("-", 1)[0]
        called[function].add(f"{call['service']}:{call['operation']}")
    granted = _granted()
    missing = {
        (function, operation)
        for function, operations in called.items()
        for operation in operations
        if not PERMISSIONS.get(operation, {operation}) <= granted[function]
    }
    assert missing == set()
    assert set(called) == set(main_template().of_type("AWS::Lambda::Function"))


def test_every_call_is_journalled(life: dict[str, Any], checkout: Checkout) -> None:
    """What the test above rests on: the journal knows the writes that a won run needs."""
    assert life
    operations = {f"{c['service']}:{c['operation']}" for c in checkout.cloud.journal("call")}
    needed = {
        "dynamodb:TransactWriteItems",
        "s3:PutObject",
        "sagemaker:CreateModelPackage",
        "sagemaker:UpdateModelPackage",
        "sagemaker:DeleteModelPackage",
        "states:StartExecution",
        "sns:Publish",
    }
    assert needed <= operations, json.dumps(sorted(operations))


def test_the_checkout_is_not_the_work_tree(checkout: Checkout) -> None:
    """What is built and deployed here lies in a folder of the test's own."""
    assert checkout.folder.resolve() != Path(REPOSITORY).resolve()
