"""A model's whole life on the deployed stack; each function calls only what its role grants.

The local cloud enforces no IAM, so the grants are compared with what was really called.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from perennial.approve_production import approve_production
from perennial.approve_version import approve_version
from perennial.describe_model import describe_model, known_model
from perennial.describe_run import describe_run
from perennial.domain.ledger.rows import ReleaseRow, RunRow
from perennial.list_releases import known_release
from perennial.pack_project import pack_project
from perennial.push_project import Code, push_project
from perennial.remove_model import remove_model
from perennial.request_retrain import request_retrain
from perennial.stop_run import stop_run
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from cli.model_file import read_settings
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout, make_checkout
from tests.functional.stack.grants import called, functions, not_granted

MODEL = "abalone"
ROW = json.dumps(
    {
        "sex": "M", "length": 0.455, "diameter": 0.365, "height": 0.095, "whole_weight": 0.514,
        "shucked_weight": 0.2245, "viscera_weight": 0.101, "shell_weight": 0.15,
    }
)  # fmt: skip
#: What this story does not reach, and the story that has it at work.
ELSEWHERE = {
    "OnMonitorDueFunction": "test_monitoring",
    "OnMonitoringEndedFunction": "test_monitoring",
    "OnPredictionCapturedFunction": "test_predictions",
    "ShareModelFunction": "test_shared_releases",
    "ShiftTrafficFunction": "test_serverless_releases",
    "WatchTrafficFunction": "test_serverless_releases",
}
#: Every version waits for a person before production; nothing bounds what only time would show.
RELEASE = {
    "release.production": "person",
    "release.endpoint": (
        '{"count": 1, "scaling": {"min": 1, "max": 2, "invocations_per_instance": 1000}}'
    ),
    "release.strategy": "all-at-once",
    "release.smoke_test": '{"rows": 20, "requests": 5, "memory": "off"}',
}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The stack on a cloud whose waits are short: releases wait for fleets and alarms."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", "20")
    yield made
    made.cloud.stop()


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
    lenient = {"triggers.quiet_period": "0s", "gates.champion.margin": "0.5", **RELEASE}
    settings = read_settings(folder, lenient)
    push_project(ports, settings, code, pushed_by="a test", tell=lambda _: None)


def _land(checkout: Checkout) -> None:
    (table, *_) = fetch_dataset(MODEL).tables
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=table.text().encode(),
    )


def _let_in(ports: Ports, version: int) -> None:
    """Say that a tested version may go to production, once it waits, and wait until it is live.

    Every version has one release, of the same number.
    """

    def release() -> ReleaseRow | None:
        is_known = known_model(ports.ledger, MODEL).last_release >= version
        return known_release(ports, MODEL, version) if is_known else None

    _until(f"version {version} to wait for a person", lambda: (r := release()) and r.token)
    approve_production(ports, MODEL, version, "it is well tested", "a test")
    _until(f"release {version}'s end", lambda: (r := release()) and r.state == "ended")
    assert _is_champion(ports, version)()


def _ask(checkout: Checkout) -> None:
    """Ask for a prediction, as the HTTP API hands a request over."""
    event = json.loads((REPOSITORY / "events" / "http_api_request.json").read_text("utf-8"))
    functions = checkout.cloud.client("lambda").list_functions()["Functions"]
    (name,) = [f["FunctionName"] for f in functions if "-PredictFunction-" in f["FunctionName"]]
    event |= {"pathParameters": {"model": MODEL}, "queryStringParameters": {}, "body": ROW}
    answer = checkout.cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    assert json.load(answer["Payload"])["statusCode"] == 200


@pytest.fixture(scope="module")
def life(checkout: Checkout, ports: Ports) -> dict[str, Any]:
    """A first run, approved by a person, a second and a third one by policy, each released after
    a person's word; a fourth one that is stopped; then a sweep, and the model's removal.

    The third version met the first champion in its run; it is judged again against the second.
    """
    facts: dict[str, Any] = {}
    _push(ports)
    _land(checkout)
    facts["won"] = _until("the first run's end", _ended(ports, 1))
    approve_version(ports, MODEL, 1, "the first of its kind", "a test")
    _let_in(ports, 1)
    _ask(checkout)
    for number in (2, 3):
        request_retrain(ports, MODEL, "once more", {}, f"token-{number}")
        _until(f"the end of run {number}", _ended(ports, number))
    _let_in(ports, 2)
    _let_in(ports, 3)
    facts["judged again"] = known_release(ports, MODEL, 3).figures.get("judged_again", "")
    request_retrain(ports, MODEL, "a last time", {}, "token-4")
    _until("the fourth run", lambda: describe_model(ports, MODEL).open_run)
    stop_run(ports, MODEL, 4, "it is only a test")
    facts["stopped"] = _until("the fourth run's end", _ended(ports, 4))
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
    assert "against the champion's" in life["judged again"]


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


def test_functions_call_only_what_is_granted(life: dict[str, Any], checkout: Checkout) -> None:
    """Every call of every function is covered by its role, and every function was at work."""
    assert life
    assert not_granted(checkout) == set()
    assert functions() - set(called(checkout)) == set(ELSEWHERE)


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
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:DeregisterScalableTarget",
    }
    assert needed <= operations, json.dumps(sorted(operations))


def test_the_checkout_is_not_the_work_tree(checkout: Checkout) -> None:
    """What is built and deployed here lies in a folder of the test's own."""
    assert checkout.folder.resolve() != Path(REPOSITORY).resolve()
