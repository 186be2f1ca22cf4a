"""Data windows and sources, against S3's and DynamoDB's semantics."""

from __future__ import annotations

import gzip
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from perennial.domain.errors import NotAllowed
from perennial.end_run import end_run
from perennial.exclude_object import exclude_object
from perennial.explain_wait import explain_object, explain_wait
from perennial.include_object import include_object
from perennial.plan_run import RegionImages, plan_run
from perennial.sweep import sweep

from tests.unit.world import DOCUMENT, MODEL, World, boto_client

HOUR = 3600
EMPTY_ARCHIVE = gzip.compress(bytes(1024))
OUTSIDE = "outside the data window (the last 1h before the run opened)"


def push(world: World, code: str, **data: Any) -> int:
    """Publish settings with other data rules."""
    return world.push(code * 64, data={**DOCUMENT["data"], **data})


def put(key: str, body: bytes = b"{}\n") -> None:
    """Put an object into the artifact bucket."""
    boto_client("s3").put_object(Bucket="artifacts", Key=key, Body=body)


def age(key: str, hours: float) -> None:
    """Let an object of the landing bucket have landed so many hours ago."""
    backend: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    (version,) = backend.buckets["landing"].keys.getlist(key)
    version.last_modified -= timedelta(hours=hours)


def pass_of(world: World) -> Any:
    """One pass of the sweeper."""
    (found,) = sweep(world.ports, deadline=time.monotonic() + 20)
    assert not found.failure
    return found


def keys(world: World, number: int) -> list[str]:
    """What a run reads, without the model's prefix."""
    return [entry["key"].rpartition("/")[2] for entry in world.manifest(number)]


@pytest.fixture
def aged(world: World) -> World:
    """Settings with a window of an hour; an object that landed two hours ago."""
    world.clock.now_ms = int(time.time() * 1000)  # S3's clock, which dates the objects
    push(world, "a", window="1h")
    event = world.land("old.csv")
    age("incoming/census/old.csv", 2)
    world.deliver(event)
    return world


def test_an_object_outside_the_window_is_excluded_with_its_reason(aged: World) -> None:
    """Its run ends before it starts: nobody waits for data that are there, only for newer ones."""
    assert aged.states()["old.csv"] == "excluded"
    (fate,) = explain_object(aged.ports, MODEL, "incoming/census/old.csv")
    assert (fate.state, fate.reason) == ("excluded", OUTSIDE)
    run = aged.run(1)
    assert run.ending is not None
    assert (run.ending.outcome, run.ending.ran) == ("refused", False)
    assert run.ending.words == "no data in the data window (the last 1h before the run opened)"
    assert aged.model().has_data
    held = [signal.reason for signal in explain_wait(aged.ports, MODEL).signals]
    assert held == [run.ending.words]
    assert pass_of(aged).admitted == 0


def test_newer_data_are_learned_from_alone(aged: World) -> None:
    """The old object stays out, whoever else lands."""
    aged.wait(600)
    aged.deliver(aged.land("new.csv"))
    aged.wait(600)
    aged.wake()
    number = aged.model().open_run
    assert number is not None
    assert keys(aged, number) == ["new.csv"]
    assert aged.manifest(number)[0]["source"] == "landed"
    end_run(aged.ports, aged.win(number))
    assert aged.states() == {"old.csv": "excluded", "new.csv": "consumed", "1": "consumed"}


def test_a_wider_window_brings_the_object_back(aged: World) -> None:
    """Not by the sweeper, which knows the version: the next run claims what it now reads."""
    push(aged, "b", window="all")
    aged.wake()
    number = aged.model().open_run
    assert number is not None
    assert keys(aged, number) == ["old.csv"]
    assert aged.states()["old.csv"] == "claimed"
    assert aged.run(number).fresh == 1
    end_run(aged.ports, aged.win(number))
    assert aged.states() == {"old.csv": "consumed", "1": "consumed", "2": "consumed"}
    assert pass_of(aged).admitted == 0


def test_an_object_that_came_back_is_not_lost_with_its_run(aged: World) -> None:
    """A failed run returns it, as any other object."""
    push(aged, "b", window="all")
    aged.wake()
    number = aged.model().open_run
    assert number is not None
    end_run(aged.ports, aged.finish(number, "FAILED", error="ModelError", cause="no luck"))
    assert aged.states()["old.csv"] == "held"


def test_what_a_person_excludes_does_not_come_back(aged: World) -> None:
    """A person's word stands above the window's, and an inclusion cannot widen it."""
    with pytest.raises(NotAllowed, match=r"a wider data\.window in model\.yaml takes it in"):
        include_object(aged.ports, MODEL, "incoming/census/old.csv", "I want it", "ann")
    exclude_object(aged.ports, MODEL, "incoming/census/old.csv", "wrong year", "ann")
    push(aged, "b", window="all")
    aged.wake()
    (fate,) = explain_object(aged.ports, MODEL, "incoming/census/old.csv")
    assert (fate.state, fate.reason) == ("excluded", "excluded by ann: wrong year")


def test_a_manifest_lists_traffic_and_reviews(world: World) -> None:
    """Of this model, from the artifact bucket, each with its source; what a check refused stays
    out of the next run."""
    sources = {"landed": 1, "labelled-traffic": 1, "reviews": 2}
    for key in (
        "capture/census/endpoint/main/2026/11/20/10/a.jsonl",
        "capture/census/endpoint/main/2026/11/20/10/b.jsonl",
        "capture/other/endpoint/main/2026/11/20/10/a.jsonl",
        "labels/census/2026/11/20/10/l.jsonl",
        "reviews/census/1.jsonl",
    ):
        put(key)
    push(world, "a", sources=sources)
    world.deliver(world.land("1.csv"))
    listed = world.manifest(1)
    assert [(entry["key"].rpartition("/")[2], entry["source"]) for entry in listed] == [
        ("a.jsonl", "labelled-traffic"),
        ("b.jsonl", "labelled-traffic"),
        ("1.csv", "landed"),
        ("l.jsonl", "labelled-traffic"),
        ("1.jsonl", "reviews"),
    ]
    bad = {**listed[1], "quarantined": True, "reason": "no JSON", "first_bad": []}
    world.report(1, [bad])
    end_run(world.ports, world.win(1))
    push(world, "b", sources=sources)
    world.wait(HOUR)
    world.wake()
    number = world.model().open_run
    assert number is not None
    assert keys(world, number) == ["a.jsonl", "1.csv", "l.jsonl", "1.jsonl"]


def test_a_model_without_landed_data_among_its_sources(world: World) -> None:
    """What lands is told which setting leaves it out; a run without any row ends and waits."""
    push(world, "a", sources=["labelled-traffic"])
    world.deliver(world.land("1.csv"))
    (fate,) = explain_object(world.ports, MODEL, "incoming/census/1.csv")
    assert (fate.state, fate.reason) == ("withdrawn", "left out by settings 1 (data.sources)")
    ending = world.run(1).ending
    assert ending is not None
    assert (ending.words, ending.empty) == ("no data in labelled-traffic", False)


def test_the_manifest_says_what_its_window_is(world: World) -> None:
    """Words for people, a time for machines."""
    push(world, "a", window="since_drift")
    world.deliver(world.land("1.csv"))
    found = world.run(1).manifest
    assert found is not None
    body = (
        boto_client("s3")
        .get_object(Bucket="artifacts", Key=found.uri.removeprefix("s3://artifacts/"))["Body"]
        .read()
    )
    assert json.loads(body)["window"] == {
        "kind": "since_drift",
        "words": "all data: no drift alarm called for this run",
        "from_ms": 0,
    }


def test_a_window_that_moved_over_the_same_objects_repeats_no_step(world: World) -> None:
    """Its beginning is another one in each run; the steps' keys are of what it listed."""
    world.clock.now_ms = int(time.time() * 1000)
    keys_of_runs = []
    for code in "ab":
        push(world, code, window="1h")
        world.deliver(*([world.land("1.csv")] if code == "a" else []))
        world.wait(600)
        world.wake()
        number = world.model().open_run
        assert number is not None
        arn = world.run(number).execution
        put(f"code/{MODEL}/{code * 64}.tar.gz", EMPTY_ARCHIVE)
        plan_run(world.ports, MODEL, number, arn, RegionImages("image"))
        keys_of_runs.append(json.loads(world.run(number).plan)["keys"])
        end_run(world.ports, world.win(number))
        world.wait(600)
    assert keys_of_runs[0] == keys_of_runs[1]
