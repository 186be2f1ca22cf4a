"""Releases that take traffic over to a second endpoint, step by step through moto."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from perennial.adopt_endpoint import adopt_endpoint
from perennial.aws import endpoints
from perennial.check_release import check_release
from perennial.describe_endpoint import describe_endpoint
from perennial.domain.errors import NotAllowed, NotClaimed, Rejected
from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.ledger.store import change
from perennial.end_release import end_release
from perennial.guard_endpoint import guard_endpoint
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.rollback_release import rollback_release
from perennial.settings_env import Deployment
from perennial.shift_traffic import shift_traffic
from perennial.start_ab import start_test
from perennial.sum_costs import sum_costs
from perennial.watch_deployment import watch_deployment
from perennial.watch_traffic import watch_traffic
from perennial.wiring import Ports

from tests.unit.usecases.test_release_steps import ARTIFACT, MODEL_BYTES, plan, put, row, servable
from tests.unit.usecases.test_releases import LIVE, approve, over
from tests.unit.world import MODEL, REGION, World, boto_client

NEXT = f"perennial-next-{MODEL}"
SERVERLESS = {"kind": "serverless", "memory_mb": 3072, "concurrency": 7, "capture": "40%"}
RELEASE: dict[str, Any] = {"endpoint": SERVERLESS, "share": "10%", "bake": "3m"}
BAKED = 8  # looks, twenty seconds apart, of which the next one is the last


@pytest.fixture
def served(world: World) -> World:
    """A pushed model that asks for a serverless endpoint, and its trained artifact."""
    put(ARTIFACT, MODEL_BYTES)
    world.push(release=RELEASE)
    return world


def make(world: World, number: int) -> ReleaseRow:
    """What the machine does up to the first share, of which the endpoint is the last."""
    its = row(world, number)
    planned = plan(world, number)
    sagemaker = boto_client("sagemaker")
    if not planned["is_deployed_before"]:
        sagemaker.create_model(
            ModelName=its.config,
            PrimaryContainer={"Image": "i", "ModelDataUrl": f"s3://artifacts/{ARTIFACT}"},
            ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
        )
        sagemaker.create_endpoint_config(
            EndpointConfigName=its.config, ProductionVariants=planned["variants"]
        )
    guard_endpoint(world.ports, MODEL, number, its.execution)
    assert check_release(world.ports, MODEL, number, its.execution).exists is False
    sagemaker.create_endpoint(
        EndpointName=planned["names"]["endpoint"], EndpointConfigName=its.config
    )
    return its


def shift(world: World, its: ReleaseRow, step: int) -> int:
    """What ShiftTraffic does; the share in thousandths."""
    return shift_traffic(world.ports, MODEL, its.number, its.execution, step).permille


def watch(world: World, its: ReleaseRow, step: int, looks: int = 0) -> Any:
    """What WatchTraffic answers."""
    return watch_traffic(world.ports, MODEL, its.number, its.execution, step=step, looks=looks)


def end(world: World, number: int, status: str = "SUCCEEDED", **more: Any) -> ReleaseRow:
    """The execution is over, and its end is heard of; some time later, for requests leave first."""
    arn = over(world, number, status, **more)
    end_release(world.ports, arn)
    world.wait(60)
    while end_release(world.ports, arn).decision == "at work":
        world.wait(60)
    return row(world, number)


def released(world: World, number: int) -> ReleaseRow:
    """Let a release go well, share by share."""
    its, step = make(world, number), 0
    while watched := shift(world, its, step):
        step += 1
        if watch(world, its, step, BAKED).next == "done":
            break
        assert watched < 1000
    return end(world, number)


def standing(world: World) -> set[str]:
    """The endpoints that there are."""
    found: Any = boto_client("sagemaker").list_endpoints()["Endpoints"]
    return {each["EndpointName"] for each in found}


def test_the_first_release_of_a_serverless_endpoint(served: World) -> None:
    """Nothing else answers, so it gets all requests at once, and is watched for one bake."""
    approve(served, servable(served))
    planned = plan(served, 1)
    assert (planned["moves"], planned["captures"], planned["deployment"]) == (True, False, {})
    size = {"MemorySizeInMB": 3072, "MaxConcurrency": 7}
    assert [each["ServerlessConfig"] for each in planned["variants"]] == [size]
    assert planned["staging_variants"] == planned["variants"]
    its = make(served, 1)
    assert served.model().move == Move(
        *(1, LIVE, 1, its.config, its.arn), settings=its.trained, kind="serverless", captured=40
    )
    assert "0% of the predictions" in describe_endpoint(served.ports, MODEL).moving
    assert (shift(served, its, 0), shift(served, its, 0)) == (1000, 1000)
    view = watch_deployment(served.ports, MODEL, 1).deployment
    assert view is not None
    assert (view.config, view.share, view.stage) == (its.config, 1.0, "Baking")
    assert [watch(served, its, 1, looks).next for looks in (0, BAKED - 1, BAKED)] == [
        *("wait", "wait", "done"),
    ]
    ended = end(served, 1)
    assert (ended.outcome, ended.words) == ("released", f"released: {LIVE} serves version 1")
    live = served.model().live
    assert live is not None
    assert (live.endpoint, live.kind, live.captured, served.model().move) == (
        *(LIVE, "serverless", 40),
        None,
    )
    found = describe_endpoint(served.ports, MODEL)
    assert [each.instance for each in found.fleets] == ["serverless, 3072 MB, 7 at once"]
    (cost,) = sum_costs(served.ports, MODEL).endpoints
    assert (cost.instance, cost.usd) == ("", None)


def test_requests_go_over_and_the_first_endpoint_is_removed(served: World) -> None:
    """Share by share, by the strategy; a rollback goes the whole way back at once."""
    approve(served, servable(served))
    released(served, 1)
    approve(served, servable(served))
    its = make(served, 2)
    assert standing(served) == {LIVE, NEXT}
    assert shift(served, its, 0) == 100
    assert watch(served, its, 1, BAKED).next == "shift"
    assert (shift(served, its, 1), shift(served, its, 1)) == (1000, 1000)
    assert (
        "100% of the predictions go to version 2" in describe_endpoint(served.ports, MODEL).moving
    )
    assert watch(served, its, 2, BAKED).next == "done"
    assert end(served, 2).outcome == "released"
    assert standing(served) == {NEXT}
    model = served.model()
    assert model.live is not None
    assert model.previous is not None
    assert (model.live.endpoint, model.previous.config) == (NEXT, f"perennial-{MODEL}-r1")
    rollback_release(served.ports, MODEL, "slow", "ann")
    back = make(served, 3)
    assert (back.endpoint, back.config, back.moves) == (LIVE, f"perennial-{MODEL}-r1", True)
    assert shift(served, back, 0) == 1000
    assert watch(served, back, 1, BAKED).next == "done"
    assert end(served, 3).outcome == "released"
    assert standing(served) == {LIVE}
    assert set(endpoints.list_configs("perennial-")) == {back.config}


@pytest.mark.parametrize("trouble", ["alarm", "no alarm", "endpoint"])
def test_trouble_turns_every_request_back(served: World, trouble: str) -> None:
    """At the next look; the release tells why, and what it brought is removed."""
    approve(served, servable(served))
    released(served, 1)
    approve(served, servable(served))
    its = make(served, 2)
    shift(served, its, 0)
    alarm = f"perennial-guard-{MODEL}-r2-errors"
    cloudwatch: Any = boto_client("cloudwatch")
    (watched,) = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert watched["Dimensions"] == [
        {"Name": "EndpointName", "Value": NEXT},
        {"Name": "VariantName", "Value": "main"},
    ]
    if trouble == "alarm":
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="9% failed")
        why = f"alarm {alarm} went off: 9% failed"
    elif trouble == "no alarm":
        cloudwatch.delete_alarms(AlarmNames=[alarm])
        why = f"alarm {alarm} was removed by someone"
    else:
        boto_client("sagemaker").delete_endpoint(EndpointName=NEXT)
        why = f"endpoint {NEXT} was deleted by someone"
    found = watch(served, its, 1)
    assert (found.next, found.words) == ("back", why)
    move = served.model().move
    assert move is not None
    assert (move.permille, move.turned_back) == (0, True)
    assert shift(served, its, 1) == 0
    ended = end(served, 2)
    assert ended.outcome == "rolled_back"
    assert ended.words == f"rolled back: {why}; production is as it was: version 1"
    assert standing(served) == {LIVE}
    assert served.model().move is None
    assert set(endpoints.list_configs("perennial-")) == {f"perennial-{MODEL}-r1"}


def test_a_killed_move_loses_its_requests_before_its_endpoint(served: World) -> None:
    """In the transaction of its ending; the endpoint stays until nobody can ask it any more."""
    approve(served, servable(served))
    released(served, 1)
    approve(served, servable(served))
    its = make(served, 2)
    shift(served, its, 0)
    arn = over(served, 2, "ABORTED")
    assert end_release(served.ports, arn).words == f"requests leave endpoint {NEXT}"
    move = served.model().move
    assert move is not None
    assert (move.permille, standing(served)) == (0, {LIVE, NEXT})
    with pytest.raises(NotClaimed):
        shift(served, its, 1)
    ended = end(served, 2, "ABORTED")
    assert ended.words.startswith("rolled back: its execution was cut off (ABORTED)")
    assert standing(served) == {LIVE}


def test_kinds_change_by_a_move_and_instances_are_updated_in_place(served: World) -> None:
    """To instances and back; what scaled the endpoint that is left is not asked any more."""
    approve(served, servable(served))
    released(served, 1)
    served.push("b" * 64, release={**RELEASE, "endpoint": {"count": 2}})
    release_again(served.ports, MODEL, 1, "on machines", "ann")
    planned = plan(served, 2)
    assert (planned["moves"], planned["captures"]) == (True, True)
    assert released(served, 2).outcome == "released"
    model = served.model()
    assert model.live is not None
    assert (model.live.endpoint, model.live.kind, model.live.captured) == (NEXT, "instances", 0)
    release_again(served.ports, MODEL, 1, "once more", "ann")
    its, planned = row(served, 3), plan(served, 3)
    assert (its.moves, its.endpoint, planned["moves"]) == (False, NEXT, False)
    assert planned["deployment"]["AutoRollbackConfiguration"]["Alarms"]


def test_a_place_that_is_taken_is_not_taken_over(served: World) -> None:
    """Nothing of ours stands there between releases; and production must be as it was."""
    approve(served, servable(served))
    released(served, 1)
    approve(served, servable(served))
    its = row(served, 2)
    boto_client("sagemaker").create_endpoint(
        EndpointName=NEXT, EndpointConfigName=f"perennial-{MODEL}-r1"
    )
    with pytest.raises(Rejected, match=f"endpoint {NEXT} is there already"):
        check_release(served.ports, MODEL, 2, its.execution)
    boto_client("sagemaker").delete_endpoint(EndpointName=NEXT)
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.endpoints[LIVE].endpoint_config_name = "other"
    with pytest.raises(Rejected, match=f"endpoint {LIVE} serves other, which no release"):
        check_release(served.ports, MODEL, 2, its.execution)
    assert served.model().move is None


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("NETWORK_ISOLATION", "yes", "isolates its containers from the network"),
        ("VPC_SUBNET_IDS", "subnet-0a", "runs its containers in a VPC"),
    ],
)
def test_what_sagemaker_knows_no_serverless_endpoint_for(
    served: World, variable: str, value: str, words: str
) -> None:
    """The plan says so, before anything is made."""
    approve(served, servable(served))
    ports = Ports(Deployment({**served.outputs, variable: value}), served.clock)
    with pytest.raises(Rejected, match=f"is serverless, and this stack {words}"):
        plan(served, 1, ports)


def test_a_serverless_endpoint_takes_no_test_and_is_adopted_and_removed(served: World) -> None:
    """By name each: it has one variant; the ledger keeps its kind; both places are cleared."""
    approve(served, servable(served))
    released(served, 1)
    model = served.model()
    assert model.live is not None
    served.ledger.commit((change(model, live=replace(model.live, config="x", kind="instances")),))
    assert adopt_endpoint(served.ports, MODEL, None, "ours", "ann").endpoint == LIVE
    live = served.model().live
    assert live is not None
    # What the settings ask for is captured, by `predict`: SageMaker records none of it.
    assert (live.kind, live.captured) == ("serverless", 40)
    servable(served)
    with pytest.raises(NotAllowed, match="a serverless endpoint takes one variant"):
        start_test(served.ports, MODEL, 2, 100, because="b", by="ann")
    boto_client("sagemaker").create_endpoint(
        EndpointName=NEXT, EndpointConfigName=f"perennial-{MODEL}-r1"
    )
    assert remove_endpoint(served.ports, MODEL).endpoints == (LIVE, NEXT)
    assert standing(served) == set()
