"""The sweeper: whatever was lost is made up for by one pass, and nothing else changes."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest
from perennial.advance import Advance
from perennial.aws.objects import Page, list_versions, put_bytes
from perennial.domain.errors import Unavailable
from perennial.domain.ledger.rows import RunRow
from perennial.domain.ledger.store import change, create
from perennial.end_run import end_run
from perennial.forget_model import forget_model
from perennial.look_after import look_after
from perennial.sweep import ModelSweep, sweep
from perennial.wiring import Ports

from tests.unit.world import MODEL, World


def pass_of(world: World, seconds: float = 60) -> ModelSweep:
    """One pass over the one model."""
    (found,) = sweep(world.ports, deadline=time.monotonic() + seconds)
    assert not found.failure
    return found


def test_what_no_event_announced_is_found_by_listing(world: World) -> None:
    """Landed before the push, or its event was lost: one sweep later it is in a run."""
    world.land("before the push + %41.csv")
    world.land("left out.txt")
    world.push()
    found = pass_of(world)
    assert (found.listed, found.admitted, found.finished) == (2, 1, True)
    assert world.executions() == ["perennial-census-1"]
    again = pass_of(world)
    assert (again.admitted, again.retired) == (0, 0)


def test_what_landed_before_the_push_is_found_by_the_push_s_own_wake(world: World) -> None:
    """Who lands data first and pushes then need not wait for the next sweep."""
    world.land("before the push.csv")
    world.push()
    world.wake()
    assert world.executions() == ["perennial-census-1"]
    assert [each["key"] for each in world.manifest(1)] == ["incoming/census/before the push.csv"]


def test_a_run_whose_end_nobody_heard_is_ended(world: World) -> None:
    """The status event is best effort; DescribeExecution is not."""
    world.push()
    world.deliver(world.land("1.csv"))
    world.win(1)
    pass_of(world)
    assert (world.run(1).state, world.run(1).notified) == ("ended", True)
    assert len(world.inbox()) == 1
    pass_of(world)
    assert world.inbox() == []


def test_a_lost_wake_is_made_up_for(world: World) -> None:
    """A signal whose wake got lost opens its run when its time has come."""
    world.push()
    world.deliver(world.land("1.csv"))
    end_run(world.ports, world.win(1))
    world.deliver(world.land("2.csv"))
    world.wakes()
    world.wait(3600)
    pass_of(world)
    assert world.model().open_run == 2


def test_old_and_removed_versions_are_accounted_for(world: World) -> None:
    """Overwritten: superseded. Deleted, or removed for good while it waited: withdrawn."""
    world.push()
    world.deliver(world.land("1.csv"))
    end_run(world.ports, world.win(1))
    s3 = boto3.client("s3")
    bodies = [world.land(name) for name in ("old.csv", "old.csv", "deleted.csv", "gone.csv")]
    world.deliver(*bodies[:1], *bodies[2:])
    world.wait(1)
    s3.delete_object(Bucket="landing", Key="incoming/census/deleted.csv")
    gone = s3.list_object_versions(Bucket="landing", Prefix="incoming/census/gone.csv")
    version = gone["Versions"][0]["VersionId"]
    s3.delete_object(Bucket="landing", Key="incoming/census/gone.csv", VersionId=version)
    world.wait(1)
    pass_of(world)
    rows = [row for row in world.signals() if row.kind == "data"]
    fates = sorted((row.parts[1].rsplit("/", 1)[1], row.state) for row in rows)
    assert fates == [
        ("1.csv", "consumed"),
        ("deleted.csv", "withdrawn"),
        ("gone.csv", "withdrawn"),
        ("old.csv", "pending"),
        ("old.csv", "superseded"),
    ]


def test_a_settled_row_expires_only_when_its_version_is_gone(world: World) -> None:
    """As long as a version is listed its row stays, else the listing would take it for new."""
    world.push()
    world.deliver(world.land("1.csv"), world.land("2.csv"))
    end_run(world.ports, world.win(1))
    s3 = boto3.client("s3")
    (version,) = s3.list_object_versions(Bucket="landing", Prefix="incoming/census/2.csv")[
        "Versions"
    ]
    s3.delete_object(Bucket="landing", Key="incoming/census/2.csv", VersionId=version["VersionId"])
    world.wait(1)
    pass_of(world)
    expires = {row.parts[1][-5:]: row.expires for row in world.signals() if row.kind == "data"}
    assert expires["1.csv"] is None
    assert expires["2.csv"] is not None


def test_a_listing_goes_on_where_time_ran_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket of many pages is listed over several passes, by the stored cursor."""
    world.push()
    for number in range(5):
        put_bytes("landing", f"incoming/census/{number}.csv", b"x")

    def two_a_page(*where: str, **how: Any) -> Page:
        return list_versions(*where, **how, most=2)

    monkeypatch.setattr("perennial.sweep.list_versions", two_a_page)
    clock = iter([0.0, 0.0, 0.0, 0.0, 99.0])
    monkeypatch.setattr("perennial.sweep.time.monotonic", lambda: next(clock, 99.0))
    (first,) = sweep(world.ports, deadline=50)
    assert (first.listed, first.finished) == (2, False)
    assert world.model().cursor
    monkeypatch.setattr("perennial.sweep.time.monotonic", lambda: 0.0)
    (second,) = sweep(world.ports, deadline=50)
    assert (second.listed, second.finished) == (3, True)
    assert world.model().cursor == ""
    assert first.admitted + second.admitted == 5


def test_one_models_failure_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass goes on, and the failure is in its report."""
    world.push()
    other = World({**world.outputs}, world.clock, "abalone")
    other.push()
    other.deliver(other.land("1.csv"))
    other.win(1)

    def look(ports: Ports, model: str, **how: Any) -> Advance:
        if model == MODEL:
            raise Unavailable("AWS did not answer")
        return look_after(ports, model, **how)

    monkeypatch.setattr("perennial.sweep.look_after", look)
    swept = sweep(world.ports, deadline=time.monotonic() + 60)
    found = {each.model: each.failure for each in swept}
    assert found == {MODEL: "Unavailable: AWS did not answer", "abalone": ""}
    assert other.run(1).state == "ended"


def test_a_removal_that_died_half_way_is_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crashed `remove` left in the ledger goes with the next pass."""
    world.push()
    world.deliver(world.land("1.csv"))
    end_run(world.ports, world.win(1))
    with monkeypatch.context() as dying:
        dying.setattr("perennial.forget_model.purge_removed", lambda *_a: 0)
        forget_model(world.ports, MODEL)
    assert len(world.signals()) == 2
    assert pass_of(world).purged == 4
    assert (world.signals(), world.ports.ledger.models()) == ([], [])


def test_many_notices_are_sent_over_several_passes(world: World) -> None:
    """More than one transaction can mark are told of in turn, each once."""
    world.push()
    rows = [RunRow(MODEL, n, 1, 1, state="ended", outcome="lost") for n in range(1, 46)]
    world.ledger.commit([create(row) for row in rows])
    world.ledger.commit([change(world.model(), notices=tuple(range(1, 46)))])
    told = [len(pass_of(world).told) for _ in range(3)]
    assert told == [40, 5, 0]
    ids = [each["MessageAttributes"]["run"]["Value"] for each in world.inbox()]
    assert sorted(ids, key=int) == [str(n) for n in range(1, 46)]
    assert all(world.run(n).notified for n in (1, 45))
