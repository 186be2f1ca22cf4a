"""Opening and ending runs, against DynamoDB's, S3's and Step Functions' semantics."""

from __future__ import annotations

import json

import boto3
import pytest
from perennial.admit_signal import admit_signal
from perennial.aws.objects import get_json
from perennial.check_claim import check_claim
from perennial.describe_model import describe_model
from perennial.domain.errors import NotClaimed, NotFound
from perennial.domain.signals import manual_signal
from perennial.end_run import end_run
from perennial.explain_wait import explain_object, explain_wait
from perennial.list_models import list_models
from perennial.list_runs import list_runs

from tests.unit.world import MODEL, World


def started(world: World, *names: str) -> int:
    """Push, land, and let the run of the push begin; its number."""
    world.push()
    world.deliver(*[world.land(name) for name in names or ("1.csv",)])
    number = world.model().open_run
    assert number is not None
    return number


def test_a_quiet_model_waits_and_is_woken_in_time(world: World) -> None:
    """After the first run a new object waits out the cool-down and the quiet period."""
    end_run(world.ports, world.win(started(world)))
    world.wakes()
    handled = world.deliver(world.land("2.csv"))
    assert world.model().open_run is None
    assert world.wakes() == [(MODEL, world.clock.now_ms + 60_000)]
    assert any("cool-down" in line.words for line in handled.lines)
    world.wait(60)
    world.wake()
    assert world.model().open_run == 2
    assert [o["key"] for o in world.manifest(2)] == [
        "incoming/census/1.csv",
        "incoming/census/2.csv",
    ]


def test_a_burst_becomes_one_run_after_its_quiet_period(world: World) -> None:
    """Signals that come one after the other, some twice, cost one run with all of them."""
    end_run(world.ports, world.win(started(world)))
    world.wait(3600)
    for number in range(2, 5):
        body = world.land(f"{number}.csv")
        world.deliver(body, body)
        world.wait(20)
        world.wake()
        assert world.model().open_run is None
    world.wait(10)
    world.wake()
    assert world.executions() == ["perennial-census-1", "perennial-census-2"]
    assert len(world.manifest(2)) == 4
    assert world.run(2).fresh == 3


def test_a_wake_under_way_spares_a_burst_its_looks(world: World) -> None:
    """While a wake is under way one more object is only admitted; a person's word opens a run."""
    end_run(world.ports, world.win(started(world)))
    world.wait(3600)
    assert [line.what for line in world.deliver(world.land("2.csv")).lines] == [
        "signal",
        "model waits",
    ]
    for name in ("3.csv", "4.csv"):
        assert [line.what for line in world.deliver(world.land(name)).lines] == ["signal"]
    facts = {"perennial": "manual", "token": "t", "by": "ann", "because": "now"}
    world.deliver(json.dumps({**facts, "model": MODEL}))
    assert world.model().open_run == 2
    assert len(world.manifest(2)) == 4


def test_a_wake_that_is_due_spares_nobody(world: World) -> None:
    """A wake that may be handled already is not counted on: the object's own event looks."""
    end_run(world.ports, world.win(started(world)))
    world.wait(3600)
    world.deliver(world.land("2.csv"))
    world.wait(29)
    lines = world.deliver(world.land("3.csv")).lines
    assert [line.what for line in lines] == ["signal", "model waits"]


def test_a_run_starts_with_its_settings_manifest_and_input(world: World) -> None:
    """What the machine gets names existing objects, and the claim holds only for it."""
    number = started(world)
    run = world.run(number)
    document = json.loads(run.input)
    assert document["settings"] == 1
    assert get_json(document["settings_uri"])["label"] == "income"
    assert get_json(document["manifest"])["totals"]["objects"] == 1
    assert document["base"] == "s3://artifacts/runs/census/1"
    check_claim(world.ports, MODEL, number, run.execution)
    for wrong in (run.execution + "x", run.execution.replace("census-1", "census-2")):
        with pytest.raises(NotClaimed):
            check_claim(world.ports, MODEL, number, wrong)
    end_run(world.ports, world.win(number))
    with pytest.raises(NotClaimed, match="is over"):
        check_claim(world.ports, MODEL, number, run.execution)


def test_a_won_run_consumes_its_signals_frees_the_model_and_tells_once(world: World) -> None:
    """The end takes effect once, however often it is told."""
    number = started(world, "1.csv", "2.csv")
    world.report(number, [], rows={"read": 10, "good": 10})
    arn = world.win(number)
    world.wakes()
    assert end_run(world.ports, arn).decision == "ended"
    assert end_run(world.ports, arn).decision == "over before"
    assert set(world.states().values()) == {"consumed"}
    run = world.run(number)
    assert (run.state, run.outcome, run.notified) == ("ended", "won", True)
    assert run.check["rows"] == {"read": 10, "good": 10}
    assert world.model().open_run is None
    assert world.model().notices == ()
    (notice,) = world.inbox()
    assert notice["MessageAttributes"]["id"]["Value"] == "perennial/census/1"
    assert world.wakes()[0] == (MODEL, world.clock.now_ms)


def test_a_running_execution_ends_nothing(world: World) -> None:
    """A late, early or forged event is checked against DescribeExecution."""
    number = started(world)
    assert end_run(world.ports, world.run(number).execution).decision == "at work"
    assert world.model().open_run == number
    assert end_run(world.ports, world.run(number).execution + "-none").decision == "not ours"


def test_an_execution_started_by_hand_touches_no_run(world: World) -> None:
    """Restarted with the same input under another name: not ours."""
    number = started(world)
    other = world.ports.machine.start("by-hand", world.run(number).input)
    world.ports.machine.stop(other, error="x", cause="y")
    assert end_run(world.ports, other).decision == "not ours"
    assert world.model().open_run == number


def test_a_refused_object_is_quarantined_with_its_first_bad_lines(world: World) -> None:
    """The rest of the run's data counts; the object stays out of the next manifest."""
    number = started(world, "bad.csv", "good.csv")
    bad = next(o for o in world.manifest(number) if o["key"].endswith("bad.csv"))
    world.report(
        number,
        [
            {
                **{name: bad[name] for name in ("bucket", "key", "version_id")},
                "quarantined": True,
                "reason": "columns do not match",
                "first_bad": [{"line": 2, "column": "age", "why": "no number", "text": "x" * 500}],
            }
        ],
    )
    end_run(world.ports, world.win(number, passed=False))
    assert world.states() == {"bad.csv": "quarantined", "good.csv": "consumed", "1": "consumed"}
    (fate,) = explain_object(world.ports, MODEL, "incoming/census/bad.csv")
    assert fate.reason == "columns do not match"
    assert fate.first_bad[0].startswith("line 2, column age: no number: xxx")
    assert world.run(number).check["objects"]["quarantined"] == 1
    world.wait(3600)
    world.deliver(world.land("3.csv"))
    world.wait(60)
    world.wake()
    assert [o["key"] for o in world.manifest(2)] == [
        "incoming/census/3.csv",
        "incoming/census/good.csv",
    ]


def test_a_run_without_data_left_frees_the_model_at_once(world: World) -> None:
    """The only object is deleted before its run: withdrawn, nothing started, nothing spent."""
    world.push()
    body = world.land("1.csv")
    boto3.client("s3").delete_object(Bucket="landing", Key="incoming/census/1.csv")
    world.deliver(body)
    assert world.executions() == []
    assert world.model().open_run is None
    assert world.states()["1.csv"] == "withdrawn"
    assert world.run(1).outcome == "refused"
    assert not world.model().has_data


def test_an_overwritten_object_is_superseded_and_the_new_version_read(world: World) -> None:
    """Each landed version is accounted for."""
    end_run(world.ports, world.win(started(world)))
    world.wait(3600)
    bodies = [world.land("2.csv", b"old"), world.land("2.csv", b"newer")]
    world.deliver(*bodies)
    world.wait(60)
    world.wake()
    rows = [row for row in world.signals() if row.parts[-2:-1] == ("incoming/census/2.csv",)]
    assert sorted((row.evidence["size"], row.state) for row in rows) == [
        (3, "superseded"),
        (5, "claimed"),
    ]


def test_a_transient_failure_returns_the_signals_and_a_deterministic_one_holds_them(
    world: World,
) -> None:
    """Throttling passes; the code's own mistake waits for something to change."""
    number = started(world)
    end_run(world.ports, world.finish(number, "FAILED", error="Train", cause="ThrottlingException"))
    assert world.states()["1.csv"] == "pending"
    world.wait(120)
    world.wake()
    end_run(world.ports, world.finish(2, "FAILED", error="TrainFailed", cause="KeyError: 'age'"))
    assert world.states()["1.csv"] == "held"
    assert all("KeyError" in why for why in describe_model(world.ports, MODEL).held)
    world.wait(3600)
    world.wake()
    assert world.model().open_run is None
    world.push("b" * 64)
    world.wake()
    assert world.model().open_run == 3


def test_reading_use_cases_agree_with_the_ledger(world: World) -> None:
    """status, runs and why tell what the rows hold."""
    number = started(world)
    world.deliver(world.land("2.csv"))
    assert list_models(world.ports) == [MODEL]
    described = describe_model(world.ports, MODEL)
    assert (described.open_run, described.claimed, described.pending) == (number, 2, 1)
    assert [run.number for run in list_runs(world.ports, MODEL)] == [1]
    why = explain_wait(world.ports, MODEL)
    assert why.open_run == number
    waiting = next(signal for signal in why.signals if signal.state == "pending")
    assert "waits for the end of run 1" in waiting.reason


def test_an_object_that_the_settings_leave_out_says_so(world: World) -> None:
    """`why` names the patterns for what no signal stands for, and knows what never was."""
    started(world)
    world.deliver(world.land("notes.txt"))
    world.land("late.csv")
    (left_out,) = explain_object(world.ports, MODEL, "incoming/census/notes.txt")
    assert (left_out.state, left_out.reason) == (
        "not selected",
        "its key matches none of data.select: *.csv",
    )
    (unseen,) = explain_object(world.ports, MODEL, "incoming/census/late.csv")
    assert unseen.state == "unseen"
    with pytest.raises(NotFound):
        explain_object(world.ports, MODEL, "incoming/census/never.csv")


def test_overrides_that_settings_do_not_take_any_more_end_their_run(world: World) -> None:
    """A push between request and run must not leave the model stuck in an opening."""
    world.push()
    world.deliver(world.land("1.csv"))
    busy = world.model().open_run
    signal = manual_signal(
        MODEL, "t", by="ann", because="to see", overrides={"train.no_such_key": "1"}
    )
    admit_signal(world.ports, signal)
    assert busy is not None
    failed = {"error": "TrainFailed", "cause": "AlgorithmError: it raised"}
    end_run(world.ports, world.finish(busy, "FAILED", **failed))
    world.wake()
    run = world.run(busy + 1)
    assert (run.overrides, run.outcome) == ({"train.no_such_key": "1"}, "failed")
    assert run.ending is not None
    assert "could not be started" in run.ending.words
    assert "no_such_key" in run.ending.words
    assert world.model().open_run is None


def test_a_run_whose_only_object_was_deleted_trains_nothing(world: World) -> None:
    """What called for it was withdrawn, so it ends before it starts."""
    world.push()
    body = world.land("1.csv")
    world.deliver(body)
    first = world.model().open_run
    assert first is not None
    end_run(world.ports, world.win(first))
    gone = world.land("2.csv")
    world.deliver(gone)
    boto3.client("s3").delete_object(Bucket="landing", Key=f"incoming/{MODEL}/2.csv")
    world.wait(86_400)
    world.wake()
    run = world.run(first + 1)
    assert (run.outcome, run.execution) == ("refused", "")
    assert world.model().open_run is None
