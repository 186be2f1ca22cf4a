"""What the release machine sends to each service, and the rules that its definition keeps."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from perennial.domain import naming, release_plan, run_input
from perennial.domain.settings import Endpoint, Release

from tests.statemachines.aws_api import JOB_OPERATIONS, mistakes
from tests.statemachines.completeness import task_faults
from tests.statemachines.machine import Ran, load, parse, run, states_of
from tests.statemachines.release_scenarios import (
    ANSWERS,
    ASKING,
    CALLS,
    CHAMPION,
    CLAIMING,
    FAILS_AS,
    FIRST,
    JOBS,
    STALE,
    TASKS,
    WITHDRAWING,
    document,
    planned,
)

DEFINITION = load("release")
STATES = states_of(DEFINITION)
STACK, MODEL, NUMBER = "prod-perennial-with-a-long-name", "m" * 20, 999_999
PREFIX = naming.release_prefix(STACK, MODEL, NUMBER)
PAYLOAD_LIMIT = 32 * 1024
NETWORKS = {
    "open": run_input.Network(),
    "VPC": run_input.Network(("subnet-0a", "subnet-0b"), ("sg-0a",)),
}


def longest(network: run_input.Network) -> dict[str, Any]:
    """The plan of a release with the longest names and the most tags."""
    subject = release_plan.Subject(
        stack=STACK,
        model=MODEL,
        release=NUMBER,
        version=999_999,
        config=PREFIX,
        bucket="artifacts-" + "b" * 50,
        key="arn:aws:kms:eu-west-1:111122223333:key/0a",
        tags=tuple((f"team-{n}", "x" * 256) for n in range(40)),
    )
    registered = {
        "Image": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu",
        "ModelDataUrl": f"s3://artifacts/models/{MODEL}/999999/{'j' * 63}/output/model.tar.gz",
        "Environment": {
            "PERENNIAL_CODE": f"s3://artifacts/code/{MODEL}/{'c' * 64}.tar.gz",
            "PERENNIAL_CODE_SHA256": "c" * 64,
            "PERENNIAL_MODEL_SHA256": "d" * 64,
        },
    }
    release = Release(endpoint=Endpoint())
    return planned(
        names=release_plan.names(subject),
        container=release_plan.container(subject, registered),
        staging_variants=release_plan.variants(PREFIX, Endpoint(), count=1),
        variants=release_plan.variants(PREFIX, Endpoint(), count=100),
        capture=release_plan.capture(subject, 1.0),
        deployment=release_plan.deployment(subject, release),
        tags=release_plan.tags(subject),
        network=run_input.network_parts(network),
        judge_again=True,
        champion=CHAMPION,
        waits_for_person=True,
    )


def moving() -> dict[str, Any]:
    """The plan of a release that moves traffic to a serverless endpoint."""
    sizes = release_plan.variants(PREFIX, Endpoint("serverless"), count=1)
    parts = {"moves": True, "captures": False, "deployment": {}}
    return {
        **longest(run_input.Network()),
        **parts,
        "variants": sizes,
        "staging_variants": sizes,
    }


def sharing() -> dict[str, Any]:
    """The plan of a release onto the endpoint that several models share."""
    return {**moving(), "shared": True, "variants": [], "staging_variants": []}


@pytest.fixture(scope="module")
def ran() -> dict[str, Ran]:
    """One execution for each kind of network, of an update and of a first release."""
    program = parse(DEFINITION)
    found = {}
    for name, network in NETWORKS.items():
        for kind, more in (("update", {}), ("first", FIRST)):
            given = {**document(), "model": MODEL, "release": NUMBER, "prefix": PREFIX}
            answers = {**ANSWERS, "PlanRelease": [longest(network)], **more}
            found[f"{name}, {kind}"] = run(program, given, answers)
    found["moved"] = run(program, given, {**ANSWERS, "PlanRelease": [moving()], **FIRST})
    found["shared"] = run(program, given, {**ANSWERS, "PlanRelease": [sharing()], **FIRST})
    return found


def test_aws_would_accept_every_request(ran: dict[str, Ran]) -> None:
    """Each evaluated request fits the API's own model: members, enums, patterns, lengths."""
    seen = set()
    for name, one in ran.items():
        assert one.status == "SUCCEEDED", (name, one.error, one.cause)
        for state, payloads in one.payloads.items():
            if ":function:" in STATES[state]["Resource"]:
                continue
            service, operation = re.match(
                r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+)", STATES[state]["Resource"]
            ).groups()  # type: ignore[union-attr]  # it is an integration
            if service == "lambda":
                continue
            seen.add(state)
            for payload in payloads:
                assert mistakes(service, operation, payload) == [], (name, state)
    assert seen == {*CALLS, *JOBS, "ReadSmokeTest"}


def test_payloads_stay_small(ran: dict[str, Ran]) -> None:
    """With 44 tags of 256 characters and the longest names, nothing passes 32 KiB."""
    sizes = {
        state: len(json.dumps(payload).encode())
        for one in ran.values()
        for state, payloads in one.payloads.items()
        for payload in payloads
    }
    assert max(sizes.values()) < PAYLOAD_LIMIT, sizes
    assert max(one.largest for one in ran.values()) < PAYLOAD_LIMIT


#: What a few functions are told besides; of traffic, so that a repeated call does nothing twice.
TOLD = {ASKING: {"token"}, "ShiftTraffic": {"step"}, "WatchTraffic": {"step", "looks"},
        "ShareModel": {"container"}}  # fmt: skip


def test_functions_are_told_the_same(ran: dict[str, Ran]) -> None:
    """Each is told the release and who asks, and nothing of what it must see for itself."""
    sent = {
        **ran["open, update"].payloads,
        **ran["moved"].payloads,
        **ran["shared"].payloads,
    }
    for state in CLAIMING:
        given = sent[state][0]["Payload"] if state == ASKING else sent[state][0]
        asked = {"model", "release", "execution", *TOLD.get(state, ())}
        assert set(given) == asked, state


def test_an_update_keeps_the_fleet_and_is_guarded(ran: dict[str, Ran]) -> None:
    """RetainAllVariantProperties as CheckRelease says; the deployment's own way and its alarms."""
    (request,) = ran["open, update"].payloads["UpdateEndpoint"]
    assert request["RetainAllVariantProperties"] is True
    assert request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert request["EndpointConfigName"] == PREFIX


def test_the_smoke_test_has_its_own_role_and_reaches_aws(ran: dict[str, Ran]) -> None:
    """It calls the staging endpoint itself; the other jobs run as those of a run do."""
    sent = ran["VPC, update"].payloads
    assert sent["SmokeTest"][0]["RoleArn"].endswith("role/perennial-SmokeTestRole")
    assert sent["SmokeTest"][0]["NetworkConfig"]["EnableNetworkIsolation"] is False
    assert sent["Compare"][0]["RoleArn"].endswith("role/perennial-JobRole")
    for state in JOBS:
        assert sent[state][0]["NetworkConfig"]["VpcConfig"]["Subnets"] == ["subnet-0a", "subnet-0b"]
    assert "VpcConfig" in sent["CreateModelInVpc"][0]
    assert "CreateModel" not in sent


def test_job_names_are_those_of_the_ledger(ran: dict[str, Ran]) -> None:
    """The machine makes the names by which the end of a release finds its jobs."""
    sent = ran["open, update"].payloads
    for state, step in (("SmokeTest", "smoke-test"), ("EvaluateChampion", "evaluate-champion"),
                        ("Compare", "compare")):  # fmt: skip
        name = sent[state][0]["ProcessingJobName"]
        assert name == naming.release_job(PREFIX, step, 0)
        assert naming.is_release_job_of(PREFIX, name)


def test_only_jobs_are_waited_for() -> None:
    """`.sync` exists for jobs alone, and a task token is for a person alone."""
    for name, state in STATES.items():
        operation = state.get("Resource", "").rsplit(":", 1)[-1]
        assert operation.endswith(".sync") == (operation.removesuffix(".sync") in JOB_OPERATIONS)
        assert operation.endswith(".waitForTaskToken") == (name == ASKING)


def test_states_are_those_of_the_design() -> None:
    """Each Task is known and has its failure by name; every end says what it is."""
    assert {name for name, state in STATES.items() if state["Type"] == "Task"} == set(TASKS)
    ends = {n: s for n, s in STATES.items() if s["Type"] == "Fail"}
    own = {"NotClaimed", "Withdrawn", "Stale", "NotApproved", "StagingFailed",
           "SmokeTestNotPassed", "RolledBack", "NotReleased"}  # fmt: skip
    assert set(ends) == own | {f"{name}Failed" for name in {*TASKS} - {*FAILS_AS}}
    assert {name: state["Error"] for name, state in ends.items()} == {name: name for name in ends}
    assert all(state.get("CausePath") or state["Cause"] for state in ends.values())


def test_every_task_has_its_limits() -> None:
    """A timeout; Retry lists with jitter and a longest delay, none for data errors; a Catch."""
    found = {name: task_faults(STATES[name], is_function=name in CLAIMING) for name in TASKS}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_named_ends_are_caught_where_they_are_raised() -> None:
    """Every function may find that it does not own the release; some that it may not go on."""
    caught: dict[str, set[str]] = {}
    for name, state in STATES.items():
        for catch in state.get("Catch", []):
            for error in catch["ErrorEquals"]:
                caught.setdefault(error, set()).add(name)
    assert caught["NotClaimed"] == set(CLAIMING)
    assert caught["Withdrawn"] == set(WITHDRAWING)
    assert caught["Stale"] == set(STALE)


def test_tasks_of_a_kind_are_retried_alike() -> None:
    """What a behaviour test shows of one Task's Retry holds for all of its kind."""
    for kind in (JOBS, CALLS, CLAIMING):
        lists = [STATES[name]["Retry"] for name in kind]
        assert all(each == lists[0] for each in lists)


def test_both_models_are_the_same() -> None:
    """`CreateModel` and `CreateModelInVpc` differ in the VPC alone."""
    model, in_vpc = (load("release")["States"][n] for n in ("CreateModel", "CreateModelInVpc"))
    assert in_vpc["Parameters"].pop("VpcConfig.$") == "$.plan.network.vpc"
    assert model == in_vpc


def test_both_configurations_are_the_same() -> None:
    """They differ in data capture alone, which SageMaker refuses for serverless endpoints."""
    states = load("release")["States"]
    captured, uncaptured = states["CreateEndpointConfig"], states["CreateUncapturedConfig"]
    assert captured["Parameters"].pop("DataCaptureConfig.$") == "$.plan.capture"
    assert captured == uncaptured


def test_the_release_waits_for_its_longest_way() -> None:
    """The machine's own limit is longer than its jobs, a person and two deployments together."""
    waits = sum(STATES[name]["TimeoutSeconds"] for name in (*JOBS, ASKING))
    assert DEFINITION["TimeoutSeconds"] > waits + 2 * release_plan.LONGEST_DEPLOYMENT
