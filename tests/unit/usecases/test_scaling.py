"""What follows a release that went well: its endpoint scales as its settings ask for."""

from __future__ import annotations

import time
from typing import Any

import pytest
from perennial.adopt_endpoint import adopt_endpoint
from perennial.aws import scaling
from perennial.describe_endpoint import describe_endpoint
from perennial.describe_scaling import NEVER
from perennial.domain.errors import Denied, Unavailable
from perennial.domain.scaling_plan import POLICY
from perennial.end_release import look_after_releases
from perennial.keep_scaling import is_scaling_due, keep_scaling
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint, remove_served
from perennial.sum_costs import sum_costs
from perennial.sweep import sweep

from tests.unit.usecases.test_releases import LIVE, approve, released, version
from tests.unit.world import MODEL, World, boto_client

SCALING = {"min": 2, "max": 4, "invocations_per_instance": 600}


def settings(**given: Any) -> dict[str, Any]:
    """The section `release` with this scaling, or without one."""
    return {"endpoint": {"count": 2, **({"scaling": {**SCALING, **given}} if given else {})}}


@pytest.fixture
def scaled(world: World) -> World:
    """A pushed model whose endpoint is to scale."""
    world.push(release=settings(max=4))
    return world


def put_again(world: World, number: int, **given: Any) -> None:
    """Push other scaling settings and release the live version again with them."""
    world.push(f"{number}" * 64, release=settings(**given))
    world.wait(1)
    live = world.model().live
    assert live is not None
    release_again(world.ports, MODEL, live.version, "ann", "other scaling")
    look_after_releases(world.ports, MODEL, may_settle=False)
    released(world, number)


def test_a_release_that_went_well_lets_its_endpoint_scale(scaled: World) -> None:
    """Bounds and policy of the settings; once they are noted, AWS is not asked again."""
    approve(scaled, version(scaled))
    assert scaling.describe_scaling(LIVE) is None
    released(scaled, 1)
    seen = scaling.describe_scaling(LIVE)
    assert seen is not None
    assert (seen.least, seen.most) == (2, 4)
    assert [policy.name for policy in seen.policies] == [POLICY]
    assert seen.policies[0].configuration["TargetValue"] == 600
    assert (scaled.model().scaled, scaled.model().scaling_words) == (1, "")
    scaling.remove_scaling(LIVE)
    assert keep_scaling(scaled.ports, MODEL) == ""
    assert scaling.describe_scaling(LIVE) is None


def test_the_next_release_changes_and_ends_scaling(scaled: World) -> None:
    """As the settings of each release say; a model without scaling has no target."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    put_again(scaled, 2, max=6, in_cooldown="10m")
    seen = scaling.describe_scaling(LIVE)
    assert seen is not None
    assert (seen.least, seen.most) == (2, 6)
    assert seen.policies[0].configuration["ScaleInCooldown"] == 600
    put_again(scaled, 3)
    assert scaling.describe_scaling(LIVE) is None
    assert scaled.model().scaled == 3


def test_nothing_is_asked_for_that_is_so_already(
    scaled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release with the same scaling puts neither target nor policy."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    asked: list[Any] = []
    monkeypatch.setattr(scaling, "put_target", asked.append)
    monkeypatch.setattr(scaling, "put_policy", asked.append)
    put_again(scaled, 2, max=4)
    assert asked == []
    assert scaled.model().scaled == 2


def test_a_failure_leaves_the_release_and_is_told_once_and_repeated(
    scaled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is live; people hear of it once; the sweeper asks until it succeeds."""
    approve(scaled, version(scaled))
    scaled.inbox()
    with monkeypatch.context() as broken:

        def fail(_: Any) -> None:
            raise Unavailable("putting the scaling policy: AWS did not answer")

        broken.setattr(scaling, "put_policy", fail)
        row = released(scaled, 1)
        assert row.outcome == "released"
        assert is_scaling_due(scaled.model())
        assert scaled.model().scaling_words == "putting the scaling policy: AWS did not answer"
        assert "AWS did not answer" in keep_scaling(scaled.ports, MODEL)
    notices = [each for each in scaled.inbox() if "could not be set" in each["Subject"]]
    assert len(notices) == 1
    assert f"{MODEL}: scaling of {LIVE}" in notices[0]["Subject"]
    assert "Release 1 (version 1) is live" in notices[0]["Message"]
    monkeypatch.setattr(scaling, "last_activity", lambda _: None)  # moto does not know it
    found = describe_endpoint(scaled.ports, MODEL).scaling
    assert found is not None
    assert "not as release 1 asks: putting the scaling policy" in found.words
    sweep(scaled.ports, deadline=time.monotonic() + 60)
    assert not is_scaling_due(scaled.model())
    assert scaled.model().scaling_words == ""
    seen = scaling.describe_scaling(LIVE)
    assert seen is not None
    assert [policy.name for policy in seen.policies] == [POLICY]


def test_an_open_release_is_waited_for(scaled: World) -> None:
    """It changes the endpoint; what it ends with counts."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    scaled.push("2" * 64, release=settings(max=6))
    approve(scaled, version(scaled))
    assert scaled.model().open_release == 2
    assert not is_scaling_due(scaled.model())


def test_an_adopted_endpoint_keeps_its_scaling(
    scaled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked Perennial to change it."""
    from tests.unit.usecases.test_releases import make_config

    arn = version(scaled)
    boto_client("sagemaker").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved"
    )
    make_config("by-hand")
    boto_client("sagemaker").create_endpoint(EndpointName=LIVE, EndpointConfigName="by-hand")
    artifact = "s3://artifacts/by-hand.tar.gz"
    monkeypatch.setattr("perennial.adopt_endpoint._artifact", lambda _: artifact)
    adopt_endpoint(scaled.ports, MODEL, None, "ours", "ann")
    assert is_scaling_due(scaled.model())
    assert keep_scaling(scaled.ports, MODEL) == ""
    assert scaling.describe_scaling(LIVE) is None
    assert not is_scaling_due(scaled.model())


def test_scaling_goes_with_its_endpoint(scaled: World) -> None:
    """Also where the ledger knows nothing of it any more; again is harmless."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    remove_endpoint(scaled.ports, MODEL)
    assert scaling.describe_scaling(LIVE) is None
    assert not is_scaling_due(scaled.model())
    assert not scaling.remove_scaling(LIVE)
    approve(scaled, version(scaled))
    released(scaled, 2)
    assert scaling.describe_scaling(LIVE) is not None
    remove_served("perennial", "artifacts", MODEL, time.monotonic() + 60)
    assert scaling.describe_scaling(LIVE) is None


def test_bounds_and_last_change_are_described(
    scaled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in force, what was last done, and that somebody else changed it."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    activity = scaling.Activity(
        description="Setting desired instance count to 4.",
        cause=f"monitor alarm T-AlarmHigh-1 in state ALARM triggered policy {POLICY}",
        status="Successful",
        message="",
        started_ms=scaled.clock.now_ms,
    )
    monkeypatch.setattr(scaling, "last_activity", lambda _: None)
    found = describe_endpoint(scaled.ports, MODEL).scaling
    assert found is not None
    assert (found.min, found.max, found.invocations_per_instance) == (2, 4, 600.0)
    assert (found.last, found.last_ms, found.words) == (NEVER, None, "")
    monkeypatch.setattr(scaling, "last_activity", lambda _: activity)
    found = describe_endpoint(scaled.ports, MODEL).scaling
    assert found is not None
    assert found.last == (
        "set desired instance count to 4 (Successful): each instance got more requests than wanted"
    )
    scaling.remove_scaling(LIVE)
    found = describe_endpoint(scaled.ports, MODEL).scaling
    assert found is not None
    assert "somebody else changed it: release 1 asks for 2 to 4 instances" in found.words


def test_what_a_scaled_endpoint_cost_is_not_known(scaled: World) -> None:
    """Nobody noted how many machines it had when."""
    approve(scaled, version(scaled))
    released(scaled, 1)
    scaled.wait(3600)
    (cost,) = sum_costs(scaled.ports, MODEL).endpoints
    assert (cost.instance, cost.count, cost.usd) == ("ml.m5.large", 2, None)
    assert cost.seconds is not None
    assert cost.seconds >= 3600


def test_who_may_not_look_at_scaling_sees_the_rest(
    scaled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is described, and that its scaling is not known."""
    approve(scaled, version(scaled))
    released(scaled, 1)

    def deny(_: str) -> None:
        raise Denied("AccessDeniedException")

    monkeypatch.setattr(scaling, "describe_scaling", deny)
    found = describe_endpoint(scaled.ports, MODEL)
    assert found.status == "InService"
    assert found.scaling is not None
    assert "not known" in found.scaling.words
