"""Real executions of the release machine, stopped in every state that the deployed machine has.

The definition is changed for each of them so that it stays in the state, having done all that lies
before; `tests/statemachines/kill_points.py` says which world it takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from perennial.approve_version import approve_version
from perennial.aws import endpoints
from perennial.describe_model import known_model
from perennial.domain.ledger.rows import ReleaseRow
from perennial.list_releases import known_release
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.rollback_release import rollback_release

from tests.functional.stack import release_story as story
from tests.functional.stack.release_story import (  # noqa: F401  # two are fixtures
    MODEL,
    STAGING,
    Stack,
    checkout,
    kind,
    stack,
    until,
)
from tests.statemachines.kill_points import (
    RELEASE_SCENARIOS,
    Edge,
    Scenario,
    steered,
    uncovered,
    way_to,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

FIRST, UPDATE, ROLLBACK, JUDGED, VPC, PERSON, MOVED = RELEASE_SCENARIOS


@dataclass
class Machine:
    """The deployed release machine, whose definition may be changed and put back."""

    stack: Stack
    arn: str
    definition: dict[str, Any]

    def use(self, definition: dict[str, Any]) -> None:
        """Let the next execution run by this definition."""
        self.stack.checkout.cloud.client("stepfunctions").update_state_machine(
            stateMachineArn=self.arn, definition=json.dumps(definition)
        )


@pytest.fixture(scope="module")
def machine(stack: Stack) -> Iterator[Machine]:  # noqa: F811
    """The machine, and two approved versions that go out at once."""
    arn = stack.checkout.outputs["ReleaseMachineArn"]
    found = stack.checkout.cloud.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    made = Machine(stack, arn, json.loads(found["definition"]))
    push(stack, strategy="all-at-once", share=None, bake="61s")
    for version in (1, 2):
        approve_version(stack.ports, MODEL, version, "good", "ann")
        assert stack.end(version).outcome == "released"
        at_rest(stack)
    yield made
    made.use(made.definition)


def push(stack: Stack, **release: Any) -> None:  # noqa: F811
    """Push changed settings and wait for the run that they are a signal for."""
    last = known_model(stack.ports.ledger, MODEL).last_run
    story.push(stack.ports, stack.folder, **release)
    until("the run of the push", lambda: story._is_over(stack.ports, last + 1))


def at_rest(stack: Stack) -> None:  # noqa: F811
    """Wait until no release is open."""
    until("rest", lambda: known_model(stack.ports.ledger, MODEL).open_release is None)


def test_every_state_has_a_kill_point(machine: Machine) -> None:
    """What is deployed has no state that the scenarios do not know."""
    assert uncovered(machine.definition, RELEASE_SCENARIOS) == []


@pytest.mark.parametrize("scenario", RELEASE_SCENARIOS, ids=lambda each: each.name)
def test_a_release_may_be_killed_in_every_state(machine: Machine, scenario: Scenario) -> None:
    """Each state once, in the first scenario that names it, and those of moves in theirs."""
    found = machine.stack
    if scenario is MOVED:
        push(found, endpoint={"kind": "serverless"})
    before = RELEASE_SCENARIOS[: RELEASE_SCENARIOS.index(scenario)]
    known = {state for each in before for state in each.states}
    for state in dict.fromkeys(scenario.states):
        if state not in known or scenario is ROLLBACK:
            kill_in(machine, scenario, state)


def kill_in(machine: Machine, scenario: Scenario, state: str) -> None:
    """One release that is stopped in a state: its outcome is the truth, and nothing is left."""
    stack = machine.stack  # noqa: F811
    way = way_to(machine.definition, state, scenario.shuns)
    machine.use(machine.definition)
    prepare(stack, scenario)
    before = known_model(stack.ports.ledger, MODEL)
    machine.use(steered(machine.definition, way, state))
    number = ask(stack, scenario)
    stack.reaches(number, state)
    stack.stop(number)
    row = stack.end(number)
    at_rest(stack)
    where = f"{state} in {scenario.name}: {row.words} ({row.cause})"
    assert row.outcome == expected(way, scenario), where
    after = known_model(stack.ports.ledger, MODEL)
    if row.outcome == "released":
        assert after.live is not None, where
        assert after.live.release == row.number, where
        assert after.champion is not None, where
        assert after.champion.version == row.version, where
    else:
        assert (after.live, after.champion) == (before.live, before.champion), where
    is_clean(stack, where)


def prepare(stack: Stack, scenario: Scenario) -> None:  # noqa: F811
    """What has to be live, or to have been live, in this scenario."""
    row = known_model(stack.ports.ledger, MODEL)
    if scenario is FIRST and row.live is not None:
        remove_endpoint(stack.ports, MODEL)
    if scenario in (UPDATE, MOVED, ROLLBACK) and row.live is None:
        assert released(stack).outcome == "released"
    row = known_model(stack.ports.ledger, MODEL)
    if scenario is ROLLBACK and row.previous is None:
        assert released(stack).outcome == "released"


def released(stack: Stack) -> ReleaseRow:  # noqa: F811
    """A release that is left alone."""
    number = ask(stack, UPDATE)
    row = stack.end(number)
    at_rest(stack)
    return row


def ask(stack: Stack, scenario: Scenario) -> int:  # noqa: F811
    """Ask for the release of the version that is not live, or for a rollback; its number."""
    if scenario is ROLLBACK:
        (number,) = rollback_release(stack.ports, MODEL, "worse", "ann").opened
        return number
    live = known_model(stack.ports.ledger, MODEL).live
    other = 1 if live is None or live.version == 2 else 2
    (number,) = release_again(stack.ports, MODEL, other, "again", "ann").opened
    return number


def expected(way: list[Edge], scenario: Scenario) -> str:
    """How it must end, by what was done before."""
    done = {edge.source for edge in way if not edge.error}
    if scenario is not MOVED:
        return "released" if {"CreateEndpoint", "UpdateEndpoint"} & done else "stopped"
    if "TrafficMoved" in done:
        return "released"
    return "rolled_back" if "ShiftTraffic" in done else "stopped"


def is_clean(stack: Stack, where: str) -> None:  # noqa: F811
    """Nothing is left of any release but what is live or may be gone back to; it answers."""
    model = known_model(stack.ports.ledger, MODEL)
    kept = {each.config for each in (model.live, model.previous) if each is not None}
    assert set(endpoints.list_configs("perennial-")) == kept, where
    assert set(endpoints.list_models("perennial-")) == kept, where
    assert endpoints.describe_endpoint(STAGING) is None, where
    client = stack.checkout.cloud.client("sagemaker")
    serving = {each["EndpointName"] for each in client.list_endpoints()["Endpoints"]}
    assert serving == ({model.live.endpoint} if model.live else set()), where
    alarms = stack.checkout.cloud.client("cloudwatch").describe_alarms(
        AlarmNamePrefix="perennial-guard-"
    )
    assert alarms["MetricAlarms"] == [], where
    assert known_release(stack.ports, MODEL, model.last_release).state == "ended", where
    if model.live is not None:
        answer = stack.checkout.cloud.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=model.live.endpoint,
            ContentType="application/json",
            Body=json.dumps({"instances": [stack.row]}),
        )
        assert json.loads(answer["Body"].read())["version"] == model.live.version, where
