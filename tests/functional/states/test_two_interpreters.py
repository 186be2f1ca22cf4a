"""Every scenario of the retrain machine, in moto's interpreter and in ours: they must agree."""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from local.states import interpreter, tasks
from local.states.definition import check_definition
from local.states.errors import StateError
from local.states.execution import Execution
from local.states.integrations import Call
from local.states.machines import Machine
from tests.statemachines.machine import ACCOUNT, REGION, Program, Ran, Throw, load, parse
from tests.statemachines.scenarios import ANSWERS, SCENARIOS, Scenario, document

DEFINITION = load("retrain")
# The whole runs, and each kind of failure of one state a kind: a function, a job, an object, a
# branch that may fail and one that may not. The other states differ in their names alone.
KINDS = ("CheckClaim", "CheckData", "ReadCheck", "Evaluate", "Compare", "ApproveCandidate")
COMPARED = [each for each in SCENARIOS if ": " not in each.name or each.about in KINDS]


@dataclass
class Ours:
    """Runs our interpreter in this process with scripted answers."""

    answers: dict[str, list[Any]]
    waits: list[float]

    def carry_out(self, call: Call, _record: Any) -> Any:
        """The scripted answer of a Task's attempt."""
        given = self.answers[call.frame.state_name]
        answer = given[min(call.frame.retry_count, len(given) - 1)]
        if isinstance(answer, Throw):
            raise StateError(answer.error, answer.cause)
        return answer

    def real_seconds(self, seconds: float) -> float:
        """A clock on which no pause takes time."""
        self.waits.append(seconds)
        return 0.0


def run_ours(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> Execution:
    """The scenario's execution in our interpreter."""
    given = document(vpc=scenario.vpc, tuned=scenario.tuned)
    script = Ours({**ANSWERS, **{k: list(v) for k, v in scenario.answers.items()}}, [])
    monkeypatch.setattr(tasks, "_carry_out", script.carry_out)
    nothing = SimpleNamespace(
        clock=script,
        region=REGION,
        publish_event=lambda *_, **__: None,
        put_metric=lambda *_, **__: None,
    )
    machine = Machine(
        arn=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:perennial-retrain",
        name="perennial-retrain",
        text=json.dumps(DEFINITION),
        role=f"arn:aws:iam::{ACCOUNT}:role/machine",
        logging={},
        tracing={},
        encryption={},
        created=time.time(),
        updated=time.time(),
        revision="",
        definition=DEFINITION,
    )
    owner: Any = SimpleNamespace(cloud=nothing)
    execution = Execution(owner, machine, given["prefix"], json.dumps(given))
    ended = threading.Event()
    execution.tell(ended)
    execution.start()
    assert ended.wait(10), execution.history.events()[-3:]
    return execution


def lanes(machine: Mapping[str, Any], lane: str = "") -> dict[str, str]:
    """The lane of every state: states of one lane follow one another, branches run beside."""
    found: dict[str, str] = {}
    for name, state in machine["States"].items():
        found[name] = lane
        for number, branch in enumerate(state.get("Branches", [])):
            found |= lanes(branch, f"{lane}/{name}/{number}")
    return found


LANES = lanes(DEFINITION)


def by_lane(names: Iterable[str]) -> dict[str, list[str]]:
    """States in the order in which they were entered, lane by lane."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(LANES[name], []).append(name)
    return found


def entered(execution: Execution) -> list[str]:
    """The states entered."""
    events = execution.history.events()
    details = [event.get("stateEnteredEventDetails") for event in events]
    return [found["name"] for found in details if found]


def payloads(execution: Execution) -> dict[str, list[Any]]:
    """What each Task was called with; its events are chained to the state's entry."""
    found: dict[str, list[Any]] = {}
    state_of: dict[int, str] = {}
    for event in execution.history.events():
        name = state_of.get(event["previousEventId"], "")
        if event["type"].endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
        state_of[event["id"]] = name
        if event["type"] == "TaskScheduled":
            text = event["taskScheduledEventDetails"]["parameters"]
            found.setdefault(name, []).append(json.loads(text))
        elif event["type"] == "LambdaFunctionScheduled":
            text = event["lambdaFunctionScheduledEventDetails"]["input"]
            found.setdefault(name, []).append(json.loads(text))
    return found


def broken_off(execution: Execution) -> set[str]:
    """Lanes below a Parallel state that failed: how far they came is a matter of chance."""
    events = {event["id"]: event for event in execution.history.events()}
    found: set[str] = set()
    for failed in (event for event in events.values() if event["type"] == "ParallelStateFailed"):
        at = failed
        while at["type"] != "ParallelStateEntered":
            at = events[at["previousEventId"]]
        place = at["stateEnteredEventDetails"]["name"]
        found |= {lane for lane in LANES.values() if f"/{place}/" in lane}
    return found


@pytest.fixture(scope="module")
def program() -> Program:
    """The definition as moto's interpreter wants it."""
    return parse(DEFINITION)


def test_the_definition_is_accepted() -> None:
    """Our check of definitions finds nothing in the committed machine."""
    assert check_definition(json.dumps(DEFINITION)) == []


@pytest.mark.parametrize("scenario", COMPARED, ids=lambda scenario: scenario.name)
def test_both_do_the_same(
    scenario: Scenario, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same states in the same order in every lane, the same payloads, the same end."""
    theirs: Ran = scenario.run(program)
    execution = run_ours(scenario, monkeypatch)
    chance = broken_off(execution)
    ours, others = by_lane(entered(execution)), by_lane(theirs.visited)
    sure = {*ours, *others} - chance
    assert {lane: ours.get(lane) for lane in sure} == {lane: others.get(lane) for lane in sure}
    called = payloads(execution)
    for name in {*called, *theirs.payloads}:
        if LANES[name] not in chance:
            assert called.get(name) == theirs.payloads.get(name), name
    assert execution.status == theirs.status
    assert (execution.error or "") == theirs.error
    assert (execution.cause or "") == theirs.cause
    output = json.loads(execution.output) if execution.output is not None else None
    assert output == theirs.output


def test_the_comparison_can_fail(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that takes the wrong catcher is noticed."""
    monkeypatch.setattr(interpreter, "catcher", lambda *_: None)
    scenario = next(one for one in SCENARIOS if one.name == "not claimed at the start")
    theirs = scenario.run(program)
    execution = run_ours(scenario, monkeypatch)
    assert by_lane(entered(execution)) != by_lane(theirs.visited)
