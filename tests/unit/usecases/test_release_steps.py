"""The release machine's own functions: what they plan, look at and refuse."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from perennial.aws import registry
from perennial.check_release import check_release
from perennial.commit_change import commit_change
from perennial.domain.errors import NotClaimed, Rejected, Stale, Unavailable, Withdrawn
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.ledger.store import change
from perennial.end_release import look_after_releases
from perennial.guard_endpoint import guard_endpoint
from perennial.judge_release import judge_release
from perennial.list_releases import known_release
from perennial.plan_release import plan_release
from perennial.release_again import release_again
from perennial.rollback_release import rollback_release
from perennial.settings_env import Deployment
from perennial.wiring import Ports

from tests.unit.usecases.test_releases import LIVE, STAGING, approve, released, version
from tests.unit.world import MODEL, REGION, World, boto_client

MODEL_BYTES = b"a model"
ARTIFACT = "models/census/1/job/output/model.tar.gz"
CODE = f"s3://artifacts/code/census/{'a' * 64}.tar.gz"
CONTAINER: dict[str, Any] = {
    "Image": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "ModelDataUrl": f"s3://artifacts/{ARTIFACT}",
    "Environment": {
        "PERENNIAL_CODE": CODE,
        "PERENNIAL_CODE_SHA256": "a" * 64,
        "PERENNIAL_MODEL_SHA256": hashlib.sha256(MODEL_BYTES).hexdigest(),
    },
}
RELEASE: dict[str, Any] = {"endpoint": {"count": 2}, "bake": "5m"}


def put(key: str, document: Any) -> None:
    """Write an object of the artifact bucket: bytes, or JSON of all else."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    boto_client("s3").put_object(Bucket="artifacts", Key=key, Body=body)


def servable(world: World, *, containers: int = 1, **changes: Any) -> str:
    """One more version, with a container that can be served; its ARN."""
    container = {**CONTAINER, **changes}
    specification = {
        "Containers": [container] * containers,
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    arn = version(world, InferenceSpecification=specification)
    champion = world.model().champion
    verdict = {"champion": None if champion is None else {"arn": champion.arn}}
    run = world.model().last_run
    put(f"runs/{MODEL}/{run}/verdict/verdict.json", verdict)
    put(f"runs/{MODEL}/{run}/settings.json", _settings(world))
    return arn


def _settings(world: World) -> Any:
    from perennial.describe_model import read_settings

    return json.loads(read_settings(world.ledger, world.model()).settings)


@pytest.fixture
def served(world: World) -> World:
    """A pushed model that asks for an endpoint, and its trained artifact."""
    put(ARTIFACT, MODEL_BYTES)
    world.push(release=RELEASE)
    return world


def row(world: World, number: int) -> ReleaseRow:
    """A release's row."""
    return known_release(world.ports, MODEL, number)


def live(world: World, number: int, arn: str) -> None:
    """Approve a version and let its release go well."""
    approve(world, arn)
    released(world, number)
    # A note on a version takes its approval away, in moto alone.
    registry.update_approval(arn, registry.APPROVED, "approved by ann: good")


def plan(world: World, number: int, ports: Ports | None = None) -> dict[str, Any]:
    """What PlanRelease answers the release's own execution."""
    return plan_release(ports or world.ports, MODEL, number, row(world, number).execution)


def check(world: World, number: int) -> bool:
    """What CheckRelease answers: is there an endpoint?"""
    return check_release(world.ports, MODEL, number, row(world, number).execution).exists


def seen(name: str = LIVE) -> Any:
    """The endpoint as moto has it."""
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    return backend.endpoints[name]


def test_a_plan_holds_everything_that_is_asked_of_aws(served: World) -> None:
    """Names, parts of requests, places and the smoke test's target; the same each time."""
    approve(served, servable(served))
    found = plan(served, 1)
    assert found == plan(served, 1)
    assert found["names"] == {
        "endpoint": LIVE,
        "config": f"perennial-{MODEL}-r1",
        "staging": STAGING,
        "staging_config": f"perennial-{MODEL}-r1-staging",
    }
    assert (found["is_deployed_before"], found["judge_again"]) == (False, False)
    assert found["waits_for_person"] is False
    assert found["container"]["Environment"]["SAGEMAKER_PROGRAM"] == "serve.py"
    assert [v["InitialInstanceCount"] for v in found["variants"]] == [2]
    assert [v["InitialInstanceCount"] for v in found["staging_variants"]] == [1]
    assert found["code"] == CODE
    assert found["places"] == {
        **dict.fromkeys(("evaluate_champion", "compare", "smoke_test"), BASE),
        **dict.fromkeys(("check_data", "evaluate"), f"s3://artifacts/runs/{MODEL}/1"),
    }
    body = boto_client("s3").get_object(
        Bucket="artifacts", Key=f"releases/{MODEL}/1/target/target.json"
    )
    target = json.loads(body["Body"].read())
    assert target["endpoint"] == STAGING
    assert (target["model"], target["version"], target["capture_prefix"]) == (MODEL, 1, "")
    assert found["smoke_test"]["target"] == f"{BASE}/target"


BASE = f"s3://artifacts/releases/{MODEL}/1"


def test_a_later_release_replays_what_the_live_endpoint_was_asked(served: World) -> None:
    """Captured requests lie below the live endpoint's variant."""
    live(served, 1, servable(served))
    approve(served, servable(served))
    plan(served, 2)
    key = f"releases/{MODEL}/2/target/target.json"
    body = boto_client("s3").get_object(Bucket="artifacts", Key=key)["Body"].read()
    assert json.loads(body)["capture_prefix"] == f"capture/{MODEL}/{LIVE}/main"


def test_production_by_a_person_waits(served: World) -> None:
    """As the newest settings say."""
    served.push("b" * 64, release={**RELEASE, "production": "person"})
    approve(served, servable(served))
    assert plan(served, 1)["waits_for_person"] is True


def test_a_version_that_is_not_approved_any_more_goes_nowhere(served: World) -> None:
    """Rejected or deleted since: planned no more, and not let through the last look."""
    arn = servable(served)
    approve(served, arn)
    registry.update_approval(arn, registry.REJECTED, "rejected by bob: it is unfair")
    for step in (plan, check):
        with pytest.raises(Withdrawn, match="census 1 is Rejected, not Approved: rejected by bob"):
            step(served, 1)
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    del backend.model_packages[arn]
    for step in (plan, check):
        with pytest.raises(Withdrawn, match="is not in the registry any more"):
            step(served, 1)


@pytest.mark.parametrize("step", [plan_release, check_release, guard_endpoint, judge_release])
def test_an_execution_that_owns_no_release_does_nothing(step: Any, served: World) -> None:
    """Started by hand, or of a release that is over."""
    approve(served, servable(served))
    with pytest.raises(NotClaimed, match="belongs to execution"):
        step(served.ports, MODEL, 1, "arn:aws:states:eu-west-1:1:execution:m:by-hand")
    execution = released(served, 1).execution
    with pytest.raises(NotClaimed, match=r"is over \(released\)"):
        step(served.ports, MODEL, 1, execution)


def test_a_changed_champion_is_met_again(served: World) -> None:
    """The verdict is of another champion, or of none: candidate and champion are judged anew."""
    served.push("b" * 64, release=RELEASE, gates={"champion": {"metric": "auc"}})
    first, second = servable(served), servable(served)
    live(served, 1, first)
    approve(served, second)
    found = plan(served, 2)
    assert found["judge_again"] is True
    assert found["champion"]["version"] == 1
    assert found["champion"]["code"] == CODE
    assert found["champion"]["artifact"] == CONTAINER["ModelDataUrl"]


def test_the_champion_of_the_verdict_is_not_met_again(served: World) -> None:
    """Nothing has changed since; and without the gate there is nothing to judge."""
    served.push("b" * 64, release=RELEASE, gates={"champion": {"metric": "auc"}})
    live(served, 1, servable(served))
    approve(served, servable(served))
    assert plan(served, 2)["judge_again"] is False


def test_a_person_who_asks_by_name_is_not_overruled(served: World) -> None:
    """A repeated release goes out whoever is champion."""
    served.push("b" * 64, release=RELEASE, gates={"champion": {"metric": "auc"}})
    first, second = servable(served), servable(served)
    for number, arn in enumerate((first, second), 1):
        live(served, number, arn)
    release_again(served.ports, MODEL, 1, by="ann", because="it was better")
    look_after_releases(served.ports, MODEL, may_settle=False)
    assert plan(served, 3)["judge_again"] is False


def test_a_champion_that_cannot_be_compared_keeps_the_version_out(served: World) -> None:
    """The words say how to release it all the same."""
    served.push("b" * 64, release=RELEASE, gates={"champion": {"metric": "auc"}})
    first, second = servable(served), servable(served)
    live(served, 1, first)
    other = {**_settings(served), "positive": "<=50K"}
    put(f"runs/{MODEL}/1/settings.json", other)
    approve(served, second)
    with pytest.raises(Stale, match=r"cannot be compared.*its positive is.*--version 2"):
        plan(served, 2)


def test_a_swapped_artifact_is_caught(served: World) -> None:
    """Another valid model in the artifact's place is not what was judged."""
    approve(served, servable(served))
    put(ARTIFACT, b"another model")
    with pytest.raises(Rejected, match=r"changed after census 1 was registered; nothing is rele"):
        plan(served, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Environment": {}}, "registered without PERENNIAL_CODE"),
        (
            {"Environment": {"PERENNIAL_CODE": CODE}},
            "registered without PERENNIAL_MODEL_SHA256",
        ),
        ({"containers": 2}, "has 2 containers"),
    ],
)
def test_a_version_that_cannot_be_served_is_refused(
    changes: dict[str, Any], words: str, served: World
) -> None:
    """A foreign package, or one of an earlier Perennial: the words say what it lacks."""
    approve(served, servable(served, **changes))
    with pytest.raises(Rejected, match=words):
        plan(served, 1)


def test_a_deployment_that_takes_too_long_is_refused_in_words(served: World) -> None:
    """Each bake is allowed, ten of them are not."""
    served.push("b" * 64, release={**RELEASE, "strategy": "linear", "share": "10%", "bake": "1h"})
    approve(served, servable(served))
    with pytest.raises(Rejected, match="a larger share or a shorter bake"):
        plan(served, 1)


def test_an_isolated_server_needs_its_code_in_the_archive(served: World) -> None:
    """A version from before the isolation is refused by name, as it could not fetch its code."""
    approve(served, servable(served))
    values = {**served.outputs, "NETWORK_ISOLATION": "yes"}
    with pytest.raises(Rejected, match=r"census 1 was .* archive lacks the server's code"):
        plan(served, 1, Ports(Deployment(values), served.clock))


@pytest.mark.parametrize("isolated", ["yes", "no"])
def test_code_in_the_archive_is_served_from_there(served: World, isolated: str) -> None:
    """Whatever the stack does now; pip looks for wheels there and nowhere else."""
    variables = {**CONTAINER["Environment"], "PERENNIAL_CODE_IN_MODEL": "yes"}
    approve(served, servable(served, Environment=variables))
    values = {**served.outputs, "NETWORK_ISOLATION": isolated}
    found = plan(served, 1, Ports(Deployment(values), served.clock))
    variables = found["container"]["Environment"]
    assert variables["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert variables["PIP_FIND_LINKS"] == "/opt/ml/model/code/wheelhouse"
    assert (variables["PIP_NO_INDEX"], found["network"]["isolated"]) == ("1", isolated == "yes")


def test_the_network_and_the_key_reach_the_plan(served: World) -> None:
    """Subnets for jobs and models, the key for what is captured."""
    approve(served, servable(served))
    key = "arn:aws:kms:eu-west-1:111122223333:key/0a"
    values = {**served.outputs, "VPC_SUBNET_IDS": "s-1,s-2", "VPC_SECURITY_GROUP_IDS": "g",
              "KMS_KEY_ARN": key}  # fmt: skip
    found = plan(served, 1, Ports(Deployment(values), served.clock))
    vpc = {"SecurityGroupIds": ["g"], "Subnets": ["s-1", "s-2"]}
    assert found["network"]["vpc"] == vpc
    assert found["network"]["check_data"]["VpcConfig"] == vpc
    assert found["capture"]["KmsKeyId"] == key


def test_settings_without_an_endpoint_release_nothing(served: World) -> None:
    """Pushed between approval and release: the settings of the release's opening count."""
    approve(served, servable(served))
    number = served.push("b" * 64, release={})
    commit_change(
        served.ports,
        lambda: (
            () if row(served, 1).settings == number else (change(row(served, 1), settings=number),)
        ),
    )
    with pytest.raises(Rejected, match=r"have no release\.endpoint"):
        plan(served, 1)


def test_a_rollback_makes_nothing_anew(served: World) -> None:
    """The last good configuration and its model are there, and traffic moves at once, guarded."""
    for number in (1, 2):
        live(served, number, servable(served))
    rollback_release(served.ports, MODEL, by="ann", because="it is worse")
    look_after_releases(served.ports, MODEL, may_settle=False)
    found = plan(served, 3)
    assert found["is_deployed_before"] is True
    assert found["names"]["config"] == f"perennial-{MODEL}-r1"
    policy = found["deployment"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    guard_endpoint(served.ports, MODEL, 3, row(served, 3).execution)
    (alarm, _) = boto_client("cloudwatch").describe_alarms(
        AlarmNamePrefix=f"perennial-guard-{MODEL}-r3"
    )["MetricAlarms"]
    assert {"Name": "EndpointConfigName", "Value": f"perennial-{MODEL}-r1"} in alarm["Dimensions"]


def test_alarms_are_put_once_and_must_not_sound(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again is harmless; one that sounds before the release begins would end it at once."""
    approve(served, servable(served))
    execution = row(served, 1).execution
    names = guard_endpoint(served.ports, MODEL, 1, execution)
    assert names == guard_endpoint(served.ports, MODEL, 1, execution)
    assert names == tuple(f"perennial-guard-{MODEL}-r1-{kind}" for kind in ("errors", "latency"))
    boto_client("cloudwatch").set_alarm_state(
        AlarmName=names[1], StateValue="ALARM", StateReason="a test"
    )
    # CloudWatch leaves an alarm's state as it is when it is put again; moto does not.
    monkeypatch.setattr("perennial.guard_endpoint.put_alarm", lambda _: None)
    with pytest.raises(Unavailable, match="r1-latency sounds before release 1 of census begins"):
        guard_endpoint(served.ports, MODEL, 1, execution)


def test_the_last_look_announces_the_update(served: World) -> None:
    """From here on nobody withdraws; what the smoke test measured is kept. Again is harmless."""
    approve(served, servable(served))
    put(
        f"releases/{MODEL}/1/smoke-test/smoke_test.json",
        {"figures": {"rows": 200, "p99_us": 5000}},
    )
    assert check(served, 1) is False
    found = row(served, 1)
    assert found.updating_ms == served.clock.now_ms
    assert found.figures == {"rows": 200, "p99_us": 5000}
    served.wait(60)
    assert check(served, 1) is False
    assert row(served, 1).updating_ms == found.updating_ms


def test_the_last_look_finds_the_endpoint(served: World) -> None:
    """At rest it is updated; while somebody changes it, asked again; broken, refused by name."""
    live(served, 1, servable(served))
    approve(served, servable(served))
    assert check(served, 2) is True
    for status in ("Updating", "RollingBack", "SystemUpdating", "Creating", "Deleting"):
        seen().endpoint_status = status
        with pytest.raises(Unavailable, match=f"is {status} by somebody else"):
            check(served, 2)
    seen().endpoint_status = "Failed"
    seen().failure_reason = "no capacity"
    with pytest.raises(Rejected, match=r"is Failed \(no capacity\) and cannot be updated"):
        check(served, 2)
    seen().endpoint_status = "UpdateRollbackFailed"
    assert check(served, 2) is True


def test_an_approval_takes_nothing_that_somebody_else_put_there(served: World) -> None:
    """An unknown configuration is refused by name; a person who asks by name replaces it."""
    live(served, 1, servable(served))
    seen().endpoint_config_name = "by-hand"
    approve(served, servable(served))
    with pytest.raises(Rejected, match="serves by-hand, which no release of census put there"):
        check(served, 2)
    assert row(served, 2).updating_ms is None
    again = replace(row(served, 2), kind="again")
    commit_change(served.ports, lambda: () if row(served, 2).kind == "again" else (
        change(row(served, 2), kind=again.kind),))  # fmt: skip
    assert check(served, 2) is True


def comparison(lower: float) -> dict[str, Any]:
    """What the job `compare` writes."""
    return {
        "metric": "auc", "rows": 500, "candidate": 0.93, "champion": 0.92, "difference": 0.01,
        "lower": lower, "confidence": 0.95, "incompatible": [],
    }  # fmt: skip


def test_a_version_must_win_again(served: World) -> None:
    """The release's own comparison against the gate of the version's settings, noted in words."""
    served.push("b" * 64, release=RELEASE, gates={"champion": {"metric": "auc"}})
    approve(served, servable(served))
    execution = row(served, 1).execution
    put(f"releases/{MODEL}/1/comparison/comparison.json", comparison(0.002))
    judged = judge_release(served.ports, MODEL, 1, execution)
    assert judged == judge_release(served.ports, MODEL, 1, execution)
    assert row(served, 1).figures["judged_again"] == judged.words
    put(f"releases/{MODEL}/1/comparison/comparison.json", comparison(-0.002))
    with pytest.raises(
        Stale, match=r"census 1 does not win against the present champion: auc 0\.93"
    ):
        judge_release(served.ports, MODEL, 1, execution)


def test_a_version_without_the_gate_cannot_be_judged_again(served: World) -> None:
    """Its own settings ask for no comparison."""
    served.push("b" * 64, release=RELEASE, gates={"champion": "off"})
    approve(served, servable(served))
    with pytest.raises(Rejected, match="compare with no champion"):
        judge_release(served.ports, MODEL, 1, row(served, 1).execution)


@pytest.mark.parametrize(
    ("scaling", "kept"),
    [
        (None, False),
        ({"min": 2, "max": 4, "invocations_per_instance": 600}, True),
        ({"min": 3, "max": 4, "invocations_per_instance": 600}, False),
    ],
)
def test_an_update_keeps_the_count_that_scaling_chose(
    served: World, scaling: dict[str, Any] | None, kept: bool
) -> None:
    """Only one within the bounds; any other gives way to the count of the newest settings."""
    live(served, 1, servable(served))
    endpoint = {"count": 3, **({"scaling": scaling} if scaling else {})}
    served.push("b" * 64, release={**RELEASE, "endpoint": endpoint})
    approve(served, servable(served))
    found = check_release(served.ports, MODEL, 2, row(served, 2).execution)
    assert (found.exists, found.keeps_counts) == (True, kept)
    assert [v["InitialInstanceCount"] for v in plan(served, 2)["variants"]] == [3]
