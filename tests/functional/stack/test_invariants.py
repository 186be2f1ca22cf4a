"""Invariants 1 to 7 of the ledger on the deployed stack, with the local cloud's faults on.

Each test disturbs the one stack of this module in its own way, lets it come to rest, sweeps once,
and has the checker look at all that the stack shows: everything that went before is looked at too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from perennial.aws.clients import forget_clients
from perennial.describe_model import describe_model
from perennial.describe_run import describe_run
from perennial.replay_dead_letters import list_dead_letters, replay_dead_letters
from perennial.stop_run import stop_run
from perennial.wiring import connect

from tests.functional.stack.conftest import Checkout
from tests.functional.stack.faults import cheap
from tests.functional.stack.faults.deaths import Deaths
from tests.functional.stack.faults.stack import Stack, is_at_rest, wait_for
from tests.functional.stack.faults.storm import Storm

EVENTS, MORE_EVENTS = 250, 1000
FACTOR = 200


@pytest.fixture(scope="module")
def stack(checkout: Checkout) -> Iterator[Stack]:
    """The deployed stack: only tests sweep, and every notice is kept."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in checkout.cloud.environment().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        forget_clients()
        found = Stack(checkout.cloud, connect({**checkout.outputs, "StackName": "perennial"}))
        found.subscribe()
        found.hold_sweeps()
        found.clock(FACTOR)
        yield found
    forget_clients()


@pytest.fixture(autouse=True)
def _fair_weather(stack: Stack) -> Iterator[None]:
    """A test that fails leaves no fault to the next one."""
    yield
    stack.cloud.faults()
    stack.clock(FACTOR)
    for rule in ("DataLandedRule", "OnRunEnded"):
        stack.switch(rule, on=True)


def show(words: str) -> None:
    """Leave a count in the suite's log."""
    sys.stdout.write(f"\n{words}\n")


@pytest.mark.long
def test_every_step_of_a_run_may_die(stack: Stack) -> None:
    """Each function of a run dies before and after each of its writes; nothing is lost."""
    deaths = Deaths(stack)
    deaths.go_through_a_run()
    show(deaths.report())
    assert deaths.left == [], deaths.report()
    assert stack.wrong() == []


@pytest.mark.long
def test_every_step_of_the_sweeper_may_die(stack: Stack) -> None:
    """The sweeper dies before and after each write of finding, opening and ending."""
    deaths = Deaths(stack)
    deaths.go_through_sweeps()
    show(deaths.report())
    assert deaths.left == [], deaths.report()
    assert stack.wrong() == []


@pytest.mark.long
def test_every_write_may_be_reported_as_failed(stack: Stack) -> None:
    """Each write of a run is done, but told to have failed, until the SDK gives up."""
    lies = Deaths(stack, lies=True)
    lies.go_through_a_run()
    show(lies.report())
    assert lies.left == [], lies.report()
    assert stack.wrong() == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("events", [EVENTS, pytest.param(MORE_EVENTS, marks=pytest.mark.long)])
def test_a_storm_loses_nothing(stack: Stack, events: int) -> None:
    """Many events in bad weather over four models cost few runs and lose nothing."""
    storm = Storm.over_fresh_models(stack, events)
    storm.blow()
    storm.calm()
    runs = sum(describe_model(stack.ports, model).last_run for model in storm.models)
    show(f"{events} events in {storm.seconds:.1f} s, {runs} runs: {dict(storm.sent)}")
    assert stack.wrong() == []
    assert len(storm.models) <= runs <= events / 20


def test_what_people_do_to_executions(stack: Stack) -> None:
    """Started with a stolen input, redriven, stopped by hand: one run each, and it is settled."""
    machine, states = stack.ports.deployment.machine_arn, stack.cloud.client("stepfunctions")
    (model,) = stack.models("hands", 1)
    cheap.land(stack.ports, model, "slow.csv")
    wait_for("a run at work", lambda: _is_started(stack, model, 1))
    run = describe_run(stack.ports, model, 1)
    stolen = states.start_execution(stateMachineArn=machine, name="stolen", input=run.input)
    ended = wait_for("its end", lambda: _ended(states, stolen["executionArn"]))
    assert (ended["status"], ended["error"]) == ("FAILED", "NotClaimed")
    states.stop_execution(executionArn=run.execution)
    wait_for("the run's end", lambda: is_at_rest(stack.ports, model))
    assert describe_run(stack.ports, model, 1).outcome == "stopped"
    states.redrive_execution(executionArn=run.execution)
    ended = wait_for("the end of the redriven", lambda: _ended(states, run.execution))
    assert ended["status"] == "FAILED"
    assert describe_model(stack.ports, model).last_run == 1
    (other,) = stack.models("hands", 1)
    cheap.land(stack.ports, other, "slow.csv")
    wait_for("a run at work", lambda: _is_started(stack, other, 1))
    stop_run(stack.ports, other, 1, "a test wants it")
    wait_for("the run's end", lambda: is_at_rest(stack.ports, other))
    assert describe_run(stack.ports, other, 1).outcome == "stopped"
    assert stack.wrong() == []


def test_poison_is_seen_and_comes_back(stack: Stack) -> None:
    """What nobody can read becomes a dead letter with an alarm; `replay` delivers it again."""
    (model,) = stack.models("poison", 1)
    token = {"perennial": "manual", "model": model, "by": "a", "because": "b"}
    stack.ports.signals.send_text(json.dumps(token))
    wait_for("a dead letter", lambda: _letters(stack, model))
    wait_for("the alarm", lambda: _alarm(stack) == "ALARM")
    assert stack.wrong() == []
    assert all(each.replayed for each in replay_dead_letters(stack.ports))
    assert _letters(stack, model) == []
    wait_for("a dead letter again", lambda: _letters(stack, model))


def _is_started(stack: Stack, model: str, number: int) -> bool:
    row = describe_model(stack.ports, model)
    return row.last_run >= number and describe_run(stack.ports, model, number).state == "started"


def _ended(states: object, execution: str) -> dict[str, str] | None:
    found = states.describe_execution(executionArn=execution)
    return found if found["status"] != "RUNNING" else None


def _letters(stack: Stack, model: str) -> list[str]:
    return [each.body for each in list_dead_letters(stack.ports) if model in each.body]


def _alarm(stack: Stack) -> str:
    alarms = stack.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    (found,) = (a for a in alarms if "-SignalDeadLettersAlarm-" in a["AlarmName"])
    return str(found["StateValue"])
