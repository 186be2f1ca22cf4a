"""Releases end to end through moto: heard of, opened, settled by the endpoint, told, removed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from moto.stepfunctions.models import stepfunctions_backends
from perennial.adopt_endpoint import adopt_endpoint
from perennial.advance_releases import advance_releases
from perennial.approve_production import approve_production
from perennial.await_approval import await_approval
from perennial.aws import endpoints, registry
from perennial.commit_change import commit_change
from perennial.confirm_release import confirm_release
from perennial.describe_endpoint import describe_endpoint, live_trouble
from perennial.domain.errors import Conflict, Denied, NotAllowed, NotClaimed, NotFound, Unavailable
from perennial.domain.ledger.release_claims import announce_update
from perennial.domain.ledger.rows import ReleaseRow
from perennial.end_release import end_release, look_after_releases
from perennial.end_run import end_run
from perennial.list_releases import known_release, list_releases
from perennial.record_champion import record_approval
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.rollback_release import rollback_release
from perennial.sum_costs import sum_costs
from perennial.tell_releases import tell_releases

from tests.alarms import put_alarm
from tests.unit.usecases.test_people import registered
from tests.unit.world import MODEL, REGION, World, boto_client

SERVED = {"endpoint": {"count": 2}}
LIVE, STAGING = f"perennial-live-{MODEL}", f"perennial-staging-{MODEL}"


@pytest.fixture
def served(world: World) -> World:
    """A pushed model that asks for an endpoint."""
    world.push(release=SERVED)
    return world


def version(world: World, **more: Any) -> str:
    """Let a run train and register one more version; its ARN. `more` is told the registry."""
    world.deliver(world.land(f"{world.model().last_run}.csv"))
    if world.model().open_run is None:
        world.wait(3600)
        world.wake()
    number = world.model().open_run
    assert number is not None
    arn = registered(world, number, **more)
    end_run(world.ports, world.win(number))
    world.inbox()
    return arn


def event(arn: str, at_ms: int, status: str = "Approved") -> dict[str, Any]:
    """The registry's event."""
    at = datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat().replace("+00:00", "Z")
    return {
        "time": at,
        "detail": {
            "ModelPackageGroupName": f"perennial-{MODEL}",
            "ModelPackageArn": arn,
            "ModelApprovalStatus": status,
            "LastModifiedTime": at,
        },
    }


def approve(world: World, arn: str) -> dict[str, Any]:
    """Approve a version and hear of it as on_version_approved does; the event."""
    registry.update_approval(arn, registry.APPROVED, "approved by ann: good")
    world.wait(1)
    told = event(arn, world.clock.now_ms)
    assert record_approval(world.ports, told).decision == "new"
    look_after_releases(world.ports, MODEL, may_settle=False)
    return told


def deploy(world: World, number: int, *, goes_well: bool = True) -> ReleaseRow:
    """Do what the release machine does to AWS; the release's row."""
    row = known_release(world.ports, MODEL, number)
    sagemaker = boto_client("sagemaker")
    commit_change(world.ports, lambda: announce_update(_row(world, number), world.clock.now_ms))
    if row.kind != "rollback":
        make_config(row.config)
    sagemaker_backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    if LIVE not in sagemaker_backend.endpoints:
        sagemaker.create_endpoint(EndpointName=LIVE, EndpointConfigName=row.config)
    seen = sagemaker_backend.endpoints[LIVE]
    if goes_well:
        seen.endpoint_config_name = row.config
    # Written as moto writes it, a second after the update was announced.
    after = datetime.fromtimestamp(world.clock.now_ms / 1000) + timedelta(seconds=1)
    seen.last_modified_time = after.strftime("%Y-%m-%d %H:%M:%S")
    return _row(world, number)


def make_config(name: str, variants: tuple[str, ...] = ("main",)) -> None:
    """A configuration and its model."""
    sagemaker = boto_client("sagemaker")
    sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": "i", "ModelDataUrl": f"s3://artifacts/{name}.tar.gz"},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": name,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 1.0,
            }
            for variant in variants
        ],
    )


def _row(world: World, number: int) -> ReleaseRow:
    return known_release(world.ports, MODEL, number)


def over(world: World, number: int, status: str, error: str = "", cause: str = "") -> str:
    """Let a release's execution end; its ARN."""
    arn = _row(world, number).execution
    execution: Any = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION].describe_execution(arn)
    execution.status, execution.error, execution.cause = status, error, cause
    execution.stop_date = datetime.now(timezone.utc)
    return arn


def released(world: World, number: int) -> ReleaseRow:
    """Let a release go well, by the event of its execution's end."""
    deploy(world, number)
    assert end_release(world.ports, over(world, number, "SUCCEEDED")).decision == "ended"
    return _row(world, number)


def fields(notices: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Outcome and release of each notice."""
    return [
        (
            each["MessageAttributes"]["outcome"]["Value"],
            each["MessageAttributes"]["release"]["Value"],
        )
        for each in notices
    ]


def test_an_approval_opens_one_release_and_starts_it_once(served: World) -> None:
    """The event may come ten times; the champion is nobody until production says so."""
    arn = version(served)
    told = approve(served, arn)
    for _ in range(3):
        assert record_approval(served.ports, told).decision == "known"
        look_after_releases(served.ports, MODEL, may_settle=False)
    row = _row(served, 1)
    assert (row.state, row.version, row.because, row.kind) == (
        ("started", 1, "approved by ann: good", "approval")
    )
    assert (row.endpoint, row.config) == (LIVE, f"perennial-{MODEL}-r1")
    machine = served.outputs["ReleaseMachineArn"]
    started = boto_client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert [each["name"] for each in started] == [f"perennial-{MODEL}-r1"]
    assert json.loads(row.input)["release"] == 1
    assert served.model().champion is None


def test_what_is_live_becomes_champion_and_people_are_told_once(served: World) -> None:
    """Also when the event of the end comes twice."""
    approve(served, version(served))
    row = released(served, 1)
    assert (row.outcome, row.notified) == ("released", True)
    model = served.model()
    assert model.champion is not None
    assert model.live is not None
    assert (model.champion.version, model.live.config) == (1, row.config)
    assert model.champion.run == 1
    assert fields(served.inbox()) == [("released", "1")]
    again = end_release(served.ports, row.execution)
    assert again.decision == "over before"
    assert served.inbox() == []
    noted = registry.describe_version(row.arn).metadata
    assert (noted["perennial:release"], noted["perennial:release_outcome"]) == ("1", "released")


def test_a_rolled_back_release_leaves_production_as_it_was(served: World) -> None:
    """Its configuration and model are removed; the words say which version serves."""
    approve(served, version(served))
    first = released(served, 1)
    approve(served, version(served))
    deploy(served, 2, goes_well=False)
    done = end_release(served.ports, over(served, 2, "FAILED", "RolledBack", "an alarm"))
    assert done.row is not None
    assert (done.decision, done.row.outcome) == ("ended", "rolled_back")
    assert done.row.words.endswith("production is as it was: version 1")
    model = served.model()
    assert model.live is not None
    assert model.champion is not None
    assert (model.live.config, model.champion.version) == (first.config, 1)
    assert list(endpoints.list_configs("perennial-")) == [first.config]
    assert list(endpoints.list_models("perennial-")) == [first.config]
    assert fields(served.inbox())[-1] == ("rolled_back", "2")


def test_a_rollback_goes_back_to_the_last_good_configuration_once(served: World) -> None:
    """By a release of its own, after which there is nothing left to go back to."""
    approve(served, version(served))
    released(served, 1)
    approve(served, version(served))
    released(served, 2)
    assert len(list(endpoints.list_configs("perennial-"))) == 2
    opened = rollback_release(served.ports, MODEL, "slow", "ann")
    assert (opened.opened, opened.started) == ((3,), (3,))
    row = released(served, 3)
    assert (row.kind, row.version, row.config) == ("rollback", 1, f"perennial-{MODEL}-r1")
    model = served.model()
    assert model.champion is not None
    assert (model.champion.version, model.previous) == (1, None)
    assert list(endpoints.list_configs("perennial-")) == [f"perennial-{MODEL}-r1"]
    with pytest.raises(NotAllowed, match="no earlier good configuration"):
        rollback_release(served.ports, MODEL, "slow", "ann")


def test_a_newer_approval_waits_for_the_release_at_work(served: World) -> None:
    """And opens by itself when that has ended; the older one that waited is superseded."""
    first, second, third = version(served), version(served), version(served)
    approve(served, first)
    for arn in (second, third):
        registry.update_approval(arn, registry.APPROVED, "good")
        served.wait(1)
        assert record_approval(served.ports, event(arn, served.clock.now_ms)).decision == "new"
        look_after_releases(served.ports, MODEL, may_settle=False)
    assert served.model().last_release == 1
    released(served, 1)
    assert (_row(served, 2).version, _row(served, 2).state) == (3, "started")
    assert served.model().waiting is None


def test_a_withdrawn_approval_stops_its_release(served: World) -> None:
    """The execution is stopped, production stays, and the next approval opens another."""
    arn = version(served)
    approve(served, arn)
    registry.update_approval(arn, registry.REJECTED, "rejected by bob: biased")
    served.wait(1)
    told = event(arn, served.clock.now_ms, "Rejected")
    assert record_approval(served.ports, told).decision == "withdrawn"
    look_after_releases(served.ports, MODEL, may_settle=False)
    execution = boto_client("stepfunctions").describe_execution(
        executionArn=_row(served, 1).execution
    )
    assert execution["status"] == "ABORTED"
    done = end_release(served.ports, _row(served, 1).execution)
    assert done.row is not None
    assert done.row.outcome == "withdrawn"
    assert "rejected by bob: biased; nothing is live, as before" in done.row.words
    approve(served, arn)
    assert _row(served, 2).state == "started"


def test_an_approval_that_is_taken_back_while_it_waits_opens_nothing(served: World) -> None:
    """It is forgotten."""
    first, second = version(served), version(served)
    approve(served, first)
    registry.update_approval(second, registry.APPROVED, "good")
    served.wait(1)
    record_approval(served.ports, event(second, served.clock.now_ms))
    registry.update_approval(second, registry.REJECTED, "no")
    served.wait(1)
    told = event(second, served.clock.now_ms, "Rejected")
    assert record_approval(served.ports, told).decision == "withdrawn"
    assert record_approval(served.ports, told).decision == "not approved"
    released(served, 1)
    assert served.model().last_release == 1


def test_without_an_endpoint_an_approval_is_the_champion(world: World) -> None:
    """At once, as for models that only predict in batches."""
    world.push()
    arn = version(world)
    registry.update_approval(arn, registry.APPROVED, "good")
    assert record_approval(world.ports, event(arn, world.clock.now_ms)).decision == "recorded"
    assert world.model().champion is not None
    assert world.model().last_release == 0
    assert advance_releases(world.ports, MODEL).opened == ()


def test_a_served_model_whose_settings_lost_the_endpoint_stays_released(served: World) -> None:
    """Nothing but a release can tell that production changed."""
    approve(served, version(served))
    released(served, 1)
    served.push("b" * 64)
    served.wait(3600)
    approve(served, version(served))
    assert (_row(served, 2).settings, served.model().open_release) == (2, 2)


def test_the_sweeper_makes_up_for_a_start_that_was_lost(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened it may die before or after StartExecution."""
    arn = version(served)
    registry.update_approval(arn, registry.APPROVED, "good")
    record_approval(served.ports, event(arn, served.clock.now_ms))

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("perennial.aws.machine.Machine.start", dies)
        with pytest.raises(KeyboardInterrupt):
            advance_releases(served.ports, MODEL)
    assert _row(served, 1).state == "opening"
    assert advance_releases(served.ports, MODEL).started == (1,)
    with monkeypatch.context() as patched:
        patched.setattr("perennial.aws.machine.Machine.start", dies)
        assert advance_releases(served.ports, MODEL).watching == 1


def test_a_start_that_can_never_succeed_ends_the_release(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is not stuck, and people are told why."""
    from perennial.domain.errors import Rejected, Throttled

    arn = version(served)
    registry.update_approval(arn, registry.APPROVED, "good")
    record_approval(served.ports, event(arn, served.clock.now_ms))

    def refuses(*_: Any) -> None:
        raise Rejected("InvalidName")

    def throttled(*_: Any) -> None:
        raise Throttled("slow down")

    monkeypatch.setattr("perennial.aws.machine.Machine.start", throttled)
    with pytest.raises(Throttled):
        advance_releases(served.ports, MODEL)
    monkeypatch.setattr("perennial.aws.machine.Machine.start", refuses)
    look_after_releases(served.ports, MODEL)
    row = _row(served, 1)
    assert (row.state, row.outcome) == ("ended", "failed")
    assert "could not be started: InvalidName" in row.words
    assert fields(served.inbox()) == [("failed", "1")]


def test_its_own_execution_confirms_a_release(served: World) -> None:
    """Its answer is the ledger's, also when the sweeper was faster; strangers get none."""
    approve(served, version(served))
    row = deploy(served, 1)
    with pytest.raises(NotClaimed, match="does not belong to"):
        confirm_release(served.ports, MODEL, 1, "arn:other")
    confirmed = confirm_release(served.ports, MODEL, 1, row.execution)
    assert (confirmed.outcome, _row(served, 1).state) == ("released", "ended")
    assert confirm_release(served.ports, MODEL, 1, row.execution) == confirmed
    # People are told by on_release_ended, which comes when the execution is over.
    assert fields(served.inbox()) == []
    end_release(served.ports, over(served, 1, "SUCCEEDED"))
    assert fields(served.inbox()) == [("released", "1")]


def test_a_release_is_not_confirmed_while_the_endpoint_changes(served: World) -> None:
    """The state is repeated."""
    approve(served, version(served))
    row = deploy(served, 1)
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.endpoints[LIVE].endpoint_status = "Updating"
    with pytest.raises(Unavailable, match="is Updating"):
        confirm_release(served.ports, MODEL, 1, row.execution)
    backend.endpoints[LIVE].endpoint_status = "InService"
    assert confirm_release(served.ports, MODEL, 1, row.execution).outcome == "released"


def test_what_a_failed_release_left_behind_is_removed(served: World) -> None:
    """Staging endpoint and configuration, an endpoint that never came up, models, alarms."""
    approve(served, version(served))
    row = deploy(served, 1)
    sagemaker, cloudwatch = boto_client("sagemaker"), boto_client("cloudwatch")
    make_config(f"{row.config}-staging")
    sagemaker.create_endpoint(EndpointName=STAGING, EndpointConfigName=f"{row.config}-staging")
    for name in (f"perennial-guard-{MODEL}-r1-errors", f"perennial-guard-{MODEL}-r11-errors"):
        put_alarm(cloudwatch, name)
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.endpoints[LIVE].endpoint_status = "Failed"
    done = end_release(
        served.ports, over(served, 1, "FAILED", "NotReleased", "no answer"), patience_s=10
    )
    assert done.row is not None
    assert done.row.outcome == "failed"
    assert "it is removed" in done.row.words
    assert (backend.endpoints, list(endpoints.list_configs("perennial-"))) == ({}, [])
    left = [each["AlarmName"] for each in cloudwatch.describe_alarms()["MetricAlarms"]]
    assert left == [f"perennial-guard-{MODEL}-r11-errors"]
    assert row.config not in list(endpoints.list_models("perennial-"))


@pytest.mark.parametrize("dies_at", range(1, 12))
def test_settling_may_die_at_any_call(
    served: World, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next goes on; it ends once, and nothing is left over."""
    from botocore.client import BaseClient

    approve(served, version(served))
    released(served, 1)
    approve(served, version(served))
    deploy(served, 2, goes_well=False)
    arn = over(served, 2, "FAILED", "RolledBack", "an alarm")
    call, count = BaseClient._make_api_call, 0

    def counted(self: Any, operation: str, parameters: Any) -> Any:
        nonlocal count
        count += 1
        if count == dies_at * 2:
            raise KeyboardInterrupt
        return call(self, operation, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(BaseClient, "_make_api_call", counted)
        with pytest.raises(KeyboardInterrupt):
            end_release(served.ports, arn)
    end_release(served.ports, arn)
    assert (_row(served, 2).outcome, served.model().open_release) == ("rolled_back", None)
    assert list(endpoints.list_configs("perennial-")) == [f"perennial-{MODEL}-r1"]
    assert ("rolled_back", "2") in fields(served.inbox())
    assert served.model().release_notices == ()


def test_a_person_lets_a_release_into_production(served: World) -> None:
    """Once it asks; the token's state is answered, and its stage is told."""
    arn = version(served)
    approve(served, arn)
    row = _row(served, 1)
    with pytest.raises(NotAllowed, match="does not wait for a person"):
        approve_production(served.ports, MODEL, 1, "fine", "bob")
    await_approval(served.ports, MODEL, 1, row.execution, "a-token")
    with pytest.raises(NotAllowed, match="is of version 1, not 2"):
        approve_production(served.ports, MODEL, 2, "fine", "bob")
    for _ in range(2):
        allowed = approve_production(served.ports, MODEL, 1, "fine", "bob")
        assert allowed.approved_by == "bob: fine"
    released(served, 1)
    with pytest.raises(NotAllowed, match="none waits for production"):
        approve_production(served.ports, MODEL, 1, "fine", "bob")


def staged(world: World, arn: str, status: str, stage: str = "production") -> str:
    """What becomes of the event that the registry sends for a life cycle stage."""
    told = event(arn, world.clock.now_ms)
    told["detail"]["UpdatedModelPackageFields"] = ["ModelLifeCycle"]
    told["detail"]["ModelLifeCycle"] = {"Stage": stage, "StageStatus": status}
    return record_approval(world.ports, told).decision


def test_the_stage_production_lets_a_release_go_on(served: World) -> None:
    """As the command does; no other stage, status or moment, and never as a new approval."""
    arn = version(served)
    approve(served, arn)
    assert staged(served, arn, "Approved") == "known"
    await_approval(served.ports, MODEL, 1, _row(served, 1).execution, "a-token")
    assert fields(served.inbox()) == [("waits", "1")]
    for status, stage in (("pending", "production"), ("approved", "staging")):
        assert staged(served, arn, status, stage) == "not approved"
    assert staged(served, f"{arn}9", "active") == "known"
    assert staged(served, arn, "active") == "staged"
    assert staged(served, arn, "active") == "known"
    assert _row(served, 1).approved_by == "the registry: production is active"
    assert served.model().last_release == 1
    released(served, 1)
    assert staged(served, arn, "active") == "known"
    assert served.model().open_release is None


def test_people_release_an_approved_version_again(served: World) -> None:
    """By default the champion, with the present settings; what cannot be is refused in words."""
    with pytest.raises(NotFound, match="has no champion yet"):
        release_again(served.ports, MODEL, None, "x", "ann")
    first = version(served)
    with pytest.raises(NotAllowed, match="is PendingManualApproval"):
        release_again(served.ports, MODEL, 1, "x", "ann")
    approve(served, first)
    with pytest.raises(NotAllowed, match="release 1 of census"):
        release_again(served.ports, MODEL, 1, "x", "ann")
    released(served, 1)
    served.push("b" * 64, release={"endpoint": {"count": 3}})
    assert release_again(served.ports, MODEL, None, "more machines", "ann").started == (2,)
    row = released(served, 2)
    assert (row.kind, row.version, row.settings, row.by) == ("again", 1, 2, "ann")
    served.push("c" * 64, release={})
    with pytest.raises(NotAllowed, match=r"settings 3 of census have no release\.endpoint"):
        release_again(served.ports, MODEL, 1, "x", "ann")
    assert [each.number for each in list_releases(served.ports, MODEL)] == [2, 1]
    with pytest.raises(NotFound, match="no release 9 of census"):
        known_release(served.ports, MODEL, 9)


def adoptable(world: World, name: str, **more: Any) -> str:
    """An approved version whose artifact an endpoint serves; its ARN."""
    arn = version(world)
    registry.update_approval(arn, registry.APPROVED, "good")
    make_config(name, **more)
    boto_client("sagemaker").create_endpoint(EndpointName=LIVE, EndpointConfigName=name)
    return arn


def test_an_endpoint_that_was_made_elsewhere_is_adopted(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the version whose artifact it serves; the next release updates it."""
    adoptable(served, "by-hand")
    with pytest.raises(NotAllowed, match="which is no version of perennial-census"):
        adopt_endpoint(served.ports, MODEL, None, "ours", "ann")
    monkeypatch.setattr(
        "perennial.adopt_endpoint._artifact", lambda _: "s3://artifacts/by-hand.tar.gz"
    )
    with pytest.raises(NotAllowed, match="serves version 1 of census, not 2"):
        adopt_endpoint(served.ports, MODEL, 2, "ours", "ann")
    adopted = adopt_endpoint(served.ports, MODEL, None, "ours", "ann")
    assert (adopted.version, adopted.config, adopted.is_new) == (1, "by-hand", True)
    assert not adopt_endpoint(served.ports, MODEL, 1, "ours", "ann").is_new
    model = served.model()
    assert model.champion is not None
    assert model.live is not None
    assert (model.champion.run, model.live.config) == (1, "by-hand")
    approve(served, version(served))
    assert _row(served, 2).before == model.live
    released(served, 2)
    after = served.model().previous
    assert after is not None
    assert after.config == "by-hand"


def test_only_one_variant_called_main_is_adopted(served: World) -> None:
    """Every release updates that one."""
    adoptable(served, "by-hand", variants=("a", "b"))
    with pytest.raises(NotAllowed, match="serves the variants a, b"):
        adopt_endpoint(served.ports, MODEL, None, "ours", "ann")
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    backend.endpoints[LIVE].endpoint_status = "Failed"
    with pytest.raises(NotAllowed, match="is Failed"):
        adopt_endpoint(served.ports, MODEL, None, "ours", "ann")


def test_a_version_without_an_endpoint_is_adopted_by_its_number(world: World) -> None:
    """As champion alone."""
    world.push()
    arn = version(world)
    with pytest.raises(NotFound, match="there is no endpoint perennial-live-census"):
        adopt_endpoint(world.ports, MODEL, None, "ours", "ann")
    with pytest.raises(NotAllowed, match="approve it first"):
        adopt_endpoint(world.ports, MODEL, 1, "ours", "ann")
    registry.update_approval(arn, registry.APPROVED, "good")
    assert adopt_endpoint(world.ports, MODEL, 1, "ours", "ann").endpoint == ""
    assert world.model().champion is not None
    assert world.model().live is None


def test_the_endpoint_is_described_beside_the_ledger(served: World) -> None:
    """What serves, what should, and what to do when the two differ."""
    with pytest.raises(NotFound, match="to have one: approve a version"):
        describe_endpoint(served.ports, MODEL)
    approve(served, version(served))
    assert describe_endpoint(served.ports, MODEL).open_release == 1
    assert live_trouble(served.ports, MODEL) == ""
    row = released(served, 1)
    assert live_trouble(served.ports, MODEL) == ""
    found = describe_endpoint(served.ports, MODEL)
    assert (found.status, found.config, found.version, found.words) == (
        ("InService", row.config, 1, "")
    )
    assert [(each.variant, each.instance) for each in found.fleets] == [("main", "ml.m5.large")]
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID][REGION]
    make_config("other")
    backend.endpoints[LIVE].endpoint_config_name = "other"
    assert "perennial adopt census" in describe_endpoint(served.ports, MODEL).words
    backend.endpoints[LIVE].endpoint_status = "OutOfService"
    assert "is OutOfService" in describe_endpoint(served.ports, MODEL).words
    backend.endpoints.clear()
    assert live_trouble(served.ports, MODEL) == describe_endpoint(served.ports, MODEL).words
    gone = describe_endpoint(served.ports, MODEL)
    assert (gone.status, gone.fleets) == ("", ())
    assert "was deleted by someone" in gone.words


def test_an_endpoint_is_removed_with_all_that_releases_made(served: World) -> None:
    """The champion stays; a release at work is in the way; again is harmless."""
    approve(served, version(served))
    with pytest.raises(NotAllowed, match="release 1 of census is at work"):
        remove_endpoint(served.ports, MODEL)
    row = released(served, 1)
    make_config("perennial-census-2-r1")  # of a model whose name begins alike
    removed = remove_endpoint(served.ports, MODEL)
    assert (removed.endpoints, removed.configs) == ((LIVE,), (row.config,))
    assert list(endpoints.list_configs("perennial-")) == ["perennial-census-2-r1"]
    model = served.model()
    assert (model.live, model.champion is not None) == (None, True)
    assert remove_endpoint(served.ports, MODEL).endpoints == ()


def test_an_endpoint_costs_what_was_live(served: World) -> None:
    """Each release until the next one, on its machines; of a removed endpoint nobody knows."""
    approve(served, version(served))
    released(served, 1)
    served.wait(3600)
    approve(served, version(served))
    released(served, 2)
    served.wait(1800)
    first, second = sum_costs(served.ports, MODEL).endpoints
    assert (first.release, first.instance, first.count) == (1, "ml.m5.large", 2)
    assert first.seconds is not None
    assert first.seconds >= 3600
    assert first.usd == pytest.approx(2 * 0.115 * first.seconds / 3600)
    assert (second.seconds, second.usd) == (1800, pytest.approx(0.115))
    remove_endpoint(served.ports, MODEL)
    *_, last = sum_costs(served.ports, MODEL).endpoints
    assert (last.seconds, last.usd) == (None, None)


def requests_counted(row: ReleaseRow, number: int, config: str) -> None:
    """Let CloudWatch have counted requests to the live endpoint under a configuration."""
    assert row.updating_ms is not None
    names = {"EndpointName": LIVE, "VariantName": "main", "EndpointConfigName": config}
    datum: Any = {
        "MetricName": "Invocations",
        "Dimensions": [{"Name": name, "Value": value} for name, value in names.items()],
        "Timestamp": datetime.fromtimestamp(row.updating_ms / 1000 + 90, timezone.utc),
        "Value": number,
    }
    boto_client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])


@pytest.mark.parametrize("counted", ["none", "of the old fleet", "of the new fleet"])
def test_a_notice_says_when_the_guards_measured_nothing(served: World, counted: str) -> None:
    """Only requests that the new fleet answered while it was watched count; the first version
    has no guard, and its notice says nothing of one."""
    approve(served, version(served))
    released(served, 1)
    tell_releases(served.ports, MODEL)
    (first,) = served.inbox()
    assert "guards" not in first["Message"]
    approve(served, version(served))
    row = deploy(served, 2)
    if counted != "none":
        assert row.before is not None
        config = row.config if counted == "of the new fleet" else row.before.config
        requests_counted(row, 3, config)
    served.wait(600)
    advance_releases(served.ports, MODEL)
    tell_releases(served.ports, MODEL)
    (notice,) = served.inbox()
    silent = "Its guards measured nothing" in notice["Message"]
    assert silent is (counted != "of the new fleet"), notice["Message"]
    assert ("(10 min)" in notice["Message"]) is silent


def test_a_notice_is_sent_when_the_requests_cannot_be_counted(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words, for example that a right is missing."""
    approve(served, version(served))
    released(served, 1)
    tell_releases(served.ports, MODEL)
    served.inbox()
    approve(served, version(served))
    deploy(served, 2)
    advance_releases(served.ports, MODEL)

    def denied(*_: Any) -> int:
        raise Denied("reading the metrics: AccessDenied")

    monkeypatch.setattr("perennial.count_guarded.count_requests", denied)
    assert tell_releases(served.ports, MODEL) == (2,)
    (notice,) = served.inbox()
    assert "could not be seen: reading the metrics: AccessDenied" in notice["Message"]


def test_notices_are_repeated_until_they_are_noted(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once, with an id that tells repetitions."""
    approve(served, version(served))
    deploy(served, 1)
    advance_releases(served.ports, MODEL)

    def conflicts(*_: Any) -> bool:
        raise Conflict("somebody else was faster")

    with monkeypatch.context() as patched:
        patched.setattr("perennial.tell_releases.commit_change", conflicts)
        with pytest.raises(Conflict):
            tell_releases(served.ports, MODEL)
    assert tell_releases(served.ports, MODEL) == (1,)
    assert tell_releases(served.ports, MODEL) == ()
    ids = {each["MessageAttributes"]["id"]["Value"] for each in served.inbox()}
    assert ids == {"perennial/census/r1/released"}
