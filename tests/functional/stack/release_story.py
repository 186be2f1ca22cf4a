"""The parts of a story of releases on the deployed stack, each beginning where one before ended.

The same for each kind of endpoint: clients ask an endpoint of instances itself, and the others
through `predict`, which divides their requests while a release moves them.
Real model servers, real metrics and alarms; the cloud's clock goes twenty times as fast.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.advance_releases import advance_releases
from perennial.approve_version import approve_version
from perennial.aws import endpoints
from perennial.aws.predictions_api import PredictionsApi
from perennial.aws.shared_archives import list_archives
from perennial.describe_endpoint import describe_endpoint
from perennial.describe_model import describe_model, known_model
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.moves import archives_kept
from perennial.domain.ledger.rows import Live, ReleaseRow
from perennial.domain.shared_naming import archive
from perennial.list_releases import known_release, list_releases
from perennial.pack_project import pack_project
from perennial.push_project import Code, push_project
from perennial.reject_version import reject_version
from perennial.release_again import release_again
from perennial.remove_model import remove_model
from perennial.request_retrain import request_retrain
from perennial.rollback_release import rollback_release
from perennial.see_place import see_live
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from cli.model_file import read_settings
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout, make_checkout
from tests.functional.stack.grants import called, not_granted

MODEL = "abalone"
LIVE, NEXT = f"perennial-live-{MODEL}", f"perennial-next-{MODEL}"
STAGING, SHARED = f"perennial-staging-{MODEL}", "perennial-shared"
CLOCK = 20
#: What the settings of each kind of endpoint say.
KINDS: dict[str, dict[str, Any]] = {
    "instances": {"count": 2},
    "serverless": {"kind": "serverless", "memory_mb": 2048, "concurrency": 4},
    "multi-model": {"kind": "multi-model"},
}
RELEASE = {
    "approval": "person",
    "strategy": "canary",
    "share": "50%",
    "bake": "2m",
    "guard": {"errors": "5%", "latency_p99": "off", "period": "1m", "evaluations": 1},
}


#: The functions of a release's beginning and end.
FUNCTIONS = {
    "instances": ("OnVersionApproved", "PlanRelease", "ConfirmRelease", "OnReleaseEnded"),
    "serverless": ("OnVersionApproved", "ShiftTraffic", "WatchTraffic", "ConfirmRelease"),
    "multi-model": ("ShareModel", "ShiftTraffic", "WatchTraffic", "ConfirmRelease"),
}


def until(what: str, look: Callable[[], Any], seconds: float = 240) -> Any:
    """Ask again and again until the answer is true; the answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen in {seconds} s")


@dataclass
class Traffic:
    """What a client saw who never stopped asking: answers by version, and failures."""

    versions: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass
class Stack:
    """The deployed stack with a model of two versions, and what tests do to it."""

    checkout: Checkout
    ports: Ports
    row: dict[str, Any]
    folder: Path
    kind: str = "instances"

    @property
    def live(self) -> Live | None:
        """What the ledger says is live."""
        return known_model(self.ports.ledger, MODEL).live

    def approve(self, version: int) -> None:
        """Approve a version, also one that was approved before, as a console would."""
        try:
            approve_version(self.ports, MODEL, version, "good", "ann")
        except NotAllowed:
            reject_version(self.ports, MODEL, version, "to approve it anew", "ann")
            approve_version(self.ports, MODEL, version, "good after all", "ann")

    def next_release(self, number: int) -> ReleaseRow:
        """The release of this number, as soon as it is started."""

        def look() -> ReleaseRow | None:
            rows = [each for each in list_releases(self.ports, MODEL) if each.number == number]
            return rows[0] if rows and rows[0].state != "opening" else None

        found: ReleaseRow = until(f"release {number}", look)
        return found

    def reaches(self, number: int, state: str) -> None:
        """Wait until a release's execution has entered a state of the machine."""
        execution = self.next_release(number).execution
        client = self.checkout.cloud.client("stepfunctions")

        def look() -> bool:
            pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
            was_there = any(
                event.get("stateEnteredEventDetails", {}).get("name") == state
                for page in pages
                for event in page["events"]
            )
            row = known_release(self.ports, MODEL, number)
            assert was_there or row.state != "ended", (number, row.version, row.words, row.cause)
            return was_there

        until(f"state {state} of release {number}", look)

    def stop(self, number: int) -> None:
        """Kill a release's execution, as somebody in the console would."""
        self.checkout.cloud.client("stepfunctions").stop_execution(
            executionArn=known_release(self.ports, MODEL, number).execution
        )

    def end(self, number: int) -> ReleaseRow:
        """The release, once it has ended; nothing sweeps but the stack itself."""

        def look() -> ReleaseRow | None:
            row = known_release(self.ports, MODEL, number)
            return row if row.state == "ended" else None

        self.next_release(number)
        found: ReleaseRow = until(f"the end of release {number}", look)
        return found

    def invoke(self) -> int:
        """Ask as clients of this kind of endpoint do; the version that answered."""
        if self.kind != "instances":
            return self.predict()
        answer = self.checkout.cloud.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=LIVE,
            ContentType="application/json",
            Body=json.dumps({"instances": [self.row]}),
        )
        return int(json.loads(answer["Body"].read())["version"])

    def answers(self, version: int) -> None:
        """Clients get this version: at once, or as soon as `predict` has read where it is.

        It believes for half a minute what it has read, also on a clock that hurries. Where an
        endpoint goes it learns at once; a shared one goes on with the archive that was loaded.
        """
        if self.kind == "multi-model":
            until(f"version {version}", lambda: self.invoke() == version, 45)
        assert self.invoke() == version

    def predict(self) -> int:
        """Ask the API; the version that answered."""
        api = PredictionsApi(self.ports.deployment.predictions_url)
        found = api.predict(MODEL, {"instances": [self.row]}, explain=False)
        assert found.status == 200, (found.status, found.document)
        return int(found.document["version"])

    def hurry(self, factor: float) -> None:
        """Let the cloud's clock go so many times as fast from now on."""
        self.checkout.cloud.control("POST", "/_local/clock", {"factor": factor})

    @contextmanager
    def unhurried(self, number: int, factor: float) -> Iterator[None]:
        """From its first share on, let the clock go so slowly that `predict` can follow a move.

        It believes for half a minute what it has read, whichever way the clock goes.
        """
        if self.kind == "instances":
            yield
            return
        self.reaches(number, "WaitForTraffic")
        self.hurry(factor)
        try:
            yield
        finally:
            self.hurry(CLOCK)

    @contextmanager
    def asked(self) -> Iterator[Traffic]:
        """Ask all the time from a thread of its own."""
        seen, is_over = Traffic(), threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                try:
                    seen.versions.append(self.invoke())
                except Exception as error:
                    seen.failures.append(str(error))
                time.sleep(0.02)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield seen
        finally:
            is_over.set()
            thread.join()

    def is_clean(self) -> None:
        """Nothing is left of any release but what is live or may be gone back to."""
        model = known_model(self.ports.ledger, MODEL)
        known = [each for each in (model.live, model.previous) if each is not None]
        kept = {each.config for each in known if each.kind != "multi-model"}
        shared = endpoints.describe_endpoint(SHARED)
        kept |= {shared.config} if shared else set()
        assert set(endpoints.list_configs("perennial-")) == kept
        assert set(endpoints.list_models("perennial-")) == kept
        places = (LIVE, NEXT, STAGING, SHARED)
        standing = {each for each in places if endpoints.describe_endpoint(each)}
        assert standing == ({model.live.endpoint} if model.live else set())
        archives = {archive(MODEL, config) for config in archives_kept(model.live)}
        assert set(list_archives(self.ports.deployment.artifact_bucket, "shared/")) == archives
        assert model.move is None
        alarms = self.checkout.cloud.client("cloudwatch").describe_alarms(
            AlarmNamePrefix="perennial-guard-"
        )
        assert alarms["MetricAlarms"] == []
        seen = see_live(self.ports, MODEL, model.live) if model.live else None
        assert (seen.config if seen else None) == (model.live.config if model.live else None)
        assert describe_endpoint(self.ports, MODEL).words == ""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A stack whose clock hurries, so that bakes and alarms take seconds."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", str(CLOCK))
    yield made
    made.cloud.stop()


def push(ports: Ports, folder: Path, **release: Any) -> None:
    """Push the project, with some keys of its release section changed."""
    path = folder / "model.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["release"] |= release
    path.write_text(yaml.safe_dump(document), "utf-8")
    packed = pack_project(folder)
    code = Code(packed.body, packed.sha256)
    push_project(ports, read_settings(folder), code, pushed_by="a test", tell=lambda _: None)


@pytest.fixture(scope="module")
def kind() -> str:
    """The kind of endpoint that the settings ask for; a module may have another one."""
    return "instances"


@pytest.fixture(scope="module")
def stack(
    checkout: Checkout, ports: Ports, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> Stack:
    """A model that asks for an endpoint, of which two runs registered a version each."""
    folder = tmp_path_factory.mktemp("projects") / MODEL
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "models" / MODEL, folder, ignore=hidden)
    document = yaml.safe_load((folder / "model.yaml").read_text("utf-8"))
    document["release"] = {**RELEASE, "endpoint": KINDS[kind]}
    document["triggers"] |= {"quiet_period": "0s", "cool_down": "0s", "schedules": {}}
    document["train"]["hyperparameters"] |= {"rounds": 20}
    document["gates"] = {"champion": "off"}
    document.pop("facets", None)
    (folder / "model.yaml").write_text(yaml.safe_dump(document), "utf-8")
    push(ports, folder)
    (table, *_) = fetch_dataset(MODEL).tables
    text = table.text()
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=text.encode(),
    )
    for number in (1, 2):
        if number == 2:
            rounds = {"train.hyperparameters.rounds": "30"}
            request_retrain(ports, MODEL, "a second version", rounds, "second", "ann")
        until(f"run {number}", lambda n=number: _is_over(ports, n))
    names, values = (line.split(",") for line in text.splitlines()[:2])
    row = {
        name: value if name == "sex" else float(value)
        for name, value in zip(names, values, strict=True)
        if name != "rings"
    }
    return Stack(checkout, ports, row, folder, kind)


def _is_over(ports: Ports, number: int) -> bool:
    row = describe_model(ports, MODEL)
    return row.open_run is None and row.last_run >= number


def an_approval_goes_live(stack: Stack) -> None:
    """By itself: staging, smoke test, production, champion."""
    stack.approve(1)
    row = stack.end(1)
    assert row.outcome == "released", (row.words, row.cause)
    champion = known_model(stack.ports.ledger, MODEL).champion
    assert champion is not None
    assert champion.version == 1
    stack.answers(1)
    assert row.figures["rows"] > 0
    stack.is_clean()


def a_release_cut_off_on_staging_changes_nothing(stack: Stack) -> None:
    """Somebody stops its execution: what it made is removed, production serves on."""
    stack.approve(2)
    stack.reaches(2, "DescribeStaging")
    stack.stop(2)
    row = stack.end(2)
    assert row.outcome == "stopped"
    assert row.words.endswith("production is as it was: version 1")
    assert stack.invoke() == 1
    stack.is_clean()


def an_approval_taken_back_keeps_the_version_out(stack: Stack) -> None:
    """While it is being tested."""
    stack.approve(2)
    number = stack.next_release(_after(stack, 2)).number
    stack.reaches(number, "DescribeStaging")
    reject_version(stack.ports, MODEL, 2, "biased", "bob")
    row = stack.end(number)
    assert row.outcome == "withdrawn"
    assert "rejected by bob: biased" in row.words
    stack.is_clean()


def a_failing_version_is_rolled_back_by_its_alarm(stack: Stack) -> None:
    """Its servers fail in production alone; clients keep getting answers of the old version."""
    before = known_model(stack.ports.ledger, MODEL).last_release
    stack.approve(2)
    number = stack.next_release(_after(stack, before)).number
    config = f"perennial-{MODEL}-r{number}"
    bad = {"config": config} if stack.kind != "multi-model" else {"target": f"*/{config}.tar.gz"}
    if stack.kind == "multi-model":
        stack.reaches(number, "CheckRelease")  # what it is tested on serves in production too
    stack.checkout.cloud.faults(serve=[{**bad, "status": 503, "times": 1_000_000}])
    with stack.asked() as seen, stack.unhurried(number, 2):
        row = stack.end(number)
    stack.checkout.cloud.faults()
    assert row.outcome == "rolled_back", (row.words, row.cause)
    assert row.words.endswith("production is as it was: version 1")
    assert seen.failures
    assert set(seen.versions) == {1}
    assert stack.invoke() == 1
    stack.is_clean()


def a_release_cut_off_in_production_is_still_told_true(stack: Stack) -> None:
    """Its execution dies in the middle of the deployment, which SageMaker brings to its end."""
    opened = release_again(stack.ports, MODEL, 2, "once more", "ann").opened
    (number,) = opened
    with stack.asked() as seen:
        stack.reaches(number, "DescribeEndpoint")
        with pytest.raises(NotAllowed, match=f"release {number} of {MODEL}"):
            release_again(stack.ports, MODEL, 1, "not now", "ann")
        stack.stop(number)
        # The stack's own sweep comes every five minutes of its clock.
        row = stack.end(number)
    assert row.outcome == "released", (row.words, row.cause)
    assert (seen.failures, set(seen.versions)) == ([], {1, 2})
    assert stack.invoke() == 2
    stack.is_clean()


def a_move_cut_off_anywhere_is_told_true(stack: Stack) -> None:
    """Its execution dies in each state that changes production; the version before it serves on."""
    making = ("CreateUncapturedConfig", "CreateEndpoint", "DescribeEndpoint")
    if stack.kind == "multi-model":
        making = ("ShareModel", "DescribeStaging", "CheckRelease")
    outcomes = {
        **dict.fromkeys(making, "stopped"),
        "ShiftTraffic": None,  # it is killed before or after the share was given
        "WatchTraffic": "rolled_back",
    }
    for state, outcome in outcomes.items():
        (number,) = release_again(stack.ports, MODEL, 2, f"killed in {state}", "ann").opened
        stack.reaches(number, state)
        stack.stop(number)
        row = stack.end(number)
        assert row.outcome == outcome or (outcome is None and row.outcome != "released"), row.words
        assert row.words.endswith("production is as it was: version 1"), row.words
        assert stack.invoke() == 1
        stack.is_clean()


def traffic_moves_by_shares(stack: Stack) -> None:
    """Half of the requests for one bake, then all; the share lies within binomial bounds."""
    (number,) = release_again(stack.ports, MODEL, 2, "as a whole", "ann").opened
    with stack.asked() as seen:
        with stack.unhurried(number, 1):
            until("a share", lambda: 2 in seen.versions[-20:])
            versions = [stack.predict() for _ in range(200)]
            share = known_model(stack.ports.ledger, MODEL).move
        row = stack.end(number)
    assert share is not None
    assert share.permille == 500
    # One in a million binomial samples of 200 lies outside.
    assert 65 <= versions.count(2) <= 135, versions.count(2)
    assert (row.outcome, seen.failures) == ("released", []), (row.words, row.cause)
    assert stack.invoke() == 2
    stack.is_clean()


def an_endpoint_changes_its_kind_and_back(stack: Stack) -> None:
    """Requests go on meanwhile, and the endpoint that they leave is removed."""
    push(stack.ports, stack.folder, endpoint=KINDS["instances"])
    until("run 3", lambda: _is_over(stack.ports, 3))
    (number,) = release_again(stack.ports, MODEL, 2, "on machines", "ann").opened
    with stack.asked() as seen:
        row = stack.end(number)
    assert (row.outcome, row.moves, seen.failures) == ("released", True, []), row.words
    assert (stack.live.kind if stack.live else "") == "instances"
    stack.is_clean()
    (number,) = rollback_release(stack.ports, MODEL, "too dear", "ann").opened
    with stack.asked() as seen:
        row = stack.end(number)
    assert (row.outcome, row.moves, seen.failures) == ("released", True, []), row.words
    assert (stack.live.kind if stack.live else "") == stack.kind
    stack.is_clean()


def a_rollback_brings_the_last_good_version_back(stack: Stack) -> None:
    """By a release of its own; nobody waits for an answer meanwhile."""
    (number,) = rollback_release(stack.ports, MODEL, "slow", "ann").opened
    with stack.asked() as seen:
        row = stack.end(number)
    assert (row.outcome, row.kind) == ("released", "rollback"), (row.words, row.cause)
    stack.answers(1)
    assert seen.failures == []
    champion = known_model(stack.ports.ledger, MODEL).champion
    assert champion is not None
    assert champion.version == 1
    stack.is_clean()


def two_decisions_at_once_are_two_releases_one_after_the_other(stack: Stack) -> None:
    """The second waits for the first, and the newest decision is what is live in the end."""
    (number,) = release_again(stack.ports, MODEL, 2, "2 after all", "ann").opened
    stack.checkout.cloud.client("sagemaker").update_model_package(
        ModelPackageArn=stack.next_release(number).arn.replace("/2", "/1"),
        ModelApprovalStatus="Approved",
        ApprovalDescription="no, 1",
    )
    assert stack.end(number).outcome == "released"
    second = stack.end(number + 1)
    assert (second.outcome, second.version) == ("released", 1), (second.words, second.cause)
    stack.answers(1)
    stack.is_clean()


def functions_that_die_are_made_up_for(stack: Stack) -> None:
    """Each function of a release's beginning and end dies once, after another of its calls."""
    names = {
        name: stack.checkout.cloud.client("cloudformation").describe_stack_resource(
            StackName="perennial", LogicalResourceId=f"{name}Function"
        )["StackResourceDetail"]["PhysicalResourceId"]
        for name in FUNCTIONS[stack.kind]
    }
    for call in (2, 5):
        stack.checkout.cloud.faults(
            kill=[{"function": name, "when": "after", "call": call} for name in names.values()]
        )
        before = known_model(stack.ports.ledger, MODEL).last_release
        version = 2 if call == 2 else 1
        stack.approve(version)
        row = stack.end(_after(stack, before))
        stack.checkout.cloud.faults()
        assert row.outcome == "released", (row.words, row.cause)
        until("rest", lambda: not advance_releases(stack.ports, MODEL).watching)
        stack.answers(version)
        stack.is_clean()


def a_person_lets_a_version_into_production(stack: Stack) -> None:
    """By the life cycle stage that any client may set; until then production is left alone."""
    changed = {"production": "person", "strategy": "all-at-once", "share": None}
    push(stack.ports, stack.folder, **changed)
    until("run 3", lambda: _is_over(stack.ports, 3))
    before = stack.invoke()
    stack.approve(3)
    number = stack.next_release(_after(stack, 0)).number
    stack.reaches(number, "AwaitApproval")
    until("the token", lambda: known_release(stack.ports, MODEL, number).token)
    arn = known_release(stack.ports, MODEL, number).arn
    sagemaker = stack.checkout.cloud.client("sagemaker")

    def stage() -> dict[str, str]:
        found: dict[str, str] = sagemaker.describe_model_package(ModelPackageName=arn).get(
            "ModelLifeCycle", {}
        )
        return found

    until("the stage", lambda: stage().get("StageStatus") == "pending")
    until("staging to be gone", lambda: endpoints.describe_endpoint(STAGING) is None)
    assert (stack.invoke(), stage()["Stage"]) == (before, "production")
    cycle = {"Stage": "production", "StageStatus": "approved", "StageDescription": "by eve"}
    sagemaker.update_model_package(ModelPackageArn=arn, ModelLifeCycle=cycle)
    row = stack.end(number)
    assert (row.outcome, row.approved_by) == ("released", "the registry: by eve"), row.words
    assert stack.invoke() == 3
    stack.is_clean()


def removing_the_model_leaves_nothing(stack: Stack) -> None:
    """By the model's own stack, whose custom resource takes away what releases made.

    No function called anything in the whole story that its role does not grant.
    """
    removed = remove_model(stack.ports, MODEL, by="ann", with_data=True, tell=lambda _: None)
    assert removed.stack_deleted
    sagemaker = stack.checkout.cloud.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    bucket = stack.ports.deployment.artifact_bucket
    left = stack.checkout.cloud.client("s3").list_object_versions(Bucket=bucket)
    keys = {each["Key"] for each in left.get("Versions", [])}
    assert not {key for key in keys if f"/{MODEL}/" in key}
    assert not_granted(stack.checkout) == set()
    moves = {"ShiftTrafficFunction", "WatchTrafficFunction"}
    assert (stack.kind != "instances") == (moves <= set(called(stack.checkout)))
    assert (stack.kind == "multi-model") == ("ShareModelFunction" in called(stack.checkout))


def all_that_happens_to_moves(stack: Stack) -> None:
    """The whole story of a kind of endpoint that SageMaker guards no update of."""
    an_approval_goes_live(stack)
    a_release_cut_off_on_staging_changes_nothing(stack)
    an_approval_taken_back_keeps_the_version_out(stack)
    a_failing_version_is_rolled_back_by_its_alarm(stack)
    a_move_cut_off_anywhere_is_told_true(stack)
    traffic_moves_by_shares(stack)
    a_rollback_brings_the_last_good_version_back(stack)
    two_decisions_at_once_are_two_releases_one_after_the_other(stack)
    functions_that_die_are_made_up_for(stack)
    an_endpoint_changes_its_kind_and_back(stack)
    removing_the_model_leaves_nothing(stack)


def _after(stack: Stack, number: int) -> int:
    """The number of the next release after `number` that is of no decision taken back at once."""
    found: int = until(
        f"a release after {number}",
        lambda: known_model(stack.ports.ledger, MODEL).open_release or None,
    )
    return max(found, number + 1)
