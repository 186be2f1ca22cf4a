"""Every scenario of the retrain machine, in moto's interpreter and in ours: they must agree."""

import json
import threading
import time
from collections.abc import Iterator
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
    given = document(vpc=scenario.vpc)
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


def what_happened(execution: Execution) -> Iterator[tuple[str, Any]]:
    """States entered with their input, and what each Task was called with."""
    for event in execution.history.events():
        if event["type"].endswith("StateEntered"):
            yield "enter", event["stateEnteredEventDetails"]["name"]
        elif event["type"] == "TaskScheduled":
            yield "call", json.loads(event["taskScheduledEventDetails"]["parameters"])
        elif event["type"] == "LambdaFunctionScheduled":
            yield "call", json.loads(event["lambdaFunctionScheduledEventDetails"]["input"])


@pytest.fixture(scope="module")
def program() -> Program:
    """The definition as moto's interpreter wants it."""
    return parse(DEFINITION)


def test_the_definition_is_accepted() -> None:
    """Our check of definitions finds nothing in the committed machine."""
    assert check_definition(json.dumps(DEFINITION)) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_do_the_same(
    scenario: Scenario, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same states in the same order, the same payloads, the same end."""
    theirs: Ran = scenario.run(program)
    execution = run_ours(scenario, monkeypatch)
    happened = list(what_happened(execution))
    assert [name for kind, name in happened if kind == "enter"] == theirs.visited
    calls = [payload for kind, payload in happened if kind == "call"]
    assert calls == [payload for name in dict.fromkeys(theirs.visited)
                     for payload in theirs.payloads.get(name, [])]  # fmt: skip
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
    entered = [name for kind, name in what_happened(execution) if kind == "enter"]
    assert entered != theirs.visited
