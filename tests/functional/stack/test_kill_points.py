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
from perennial.aws.shared_archives import list_archives
from perennial.describe_model import known_model
from perennial.domain.ledger.moves import archives_kept
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.shared_naming import archive, target
from perennial.list_releases import known_release
from perennial.release_again import release_again
from perennial.remove_endpoint import remove_endpoint
from perennial.request_retrain import request_retrain
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

FIRST, UPDATE, ROLLBACK, JUDGED, VPC, PERSON, MOVED, SHARED = RELEASE_SCENARIOS


@dataclass
class Machine:
    """The deployed release machine, whose definition may be changed and put back."""

    stack: Stack
    arn: str
    definition: dict[str, Any]
    #: The approved versions that are released in turn.
    versions: tuple[int, int] = (1, 2)

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
    if scenario is SHARED:
        machine.versions = shareable(found)
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
    prepare(machine, scenario)
    before = known_model(stack.ports.ledger, MODEL)
    machine.use(steered(machine.definition, way, state))
    number = ask(machine, scenario)
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


def shareable(stack: Stack) -> tuple[int, int]:  # noqa: F811
    """Two approved versions that were trained since the settings ask for a shared endpoint."""
    found = []
    for bake in ("61s", "62s"):
        push(stack, endpoint={"kind": "multi-model"}, bake=bake)
        if found:
            rounds = {"train.hyperparameters.rounds": "25"}
            last = known_model(stack.ports.ledger, MODEL).last_run
            request_retrain(stack.ports, MODEL, "another one", rounds, "another", "ann")
            until("its run", lambda n=last: story._is_over(stack.ports, n + 1))
        versions = stack.checkout.cloud.client("sagemaker").list_model_packages(
            ModelPackageGroupName=f"perennial-{MODEL}",
            SortBy="CreationTime",
            SortOrder="Descending",
        )["ModelPackageSummaryList"]
        number = max(each["ModelPackageVersion"] for each in versions)
        approve_version(stack.ports, MODEL, number, "good", "ann")
        at_rest(stack)
        found.append(number)
    return (found[0], found[1])


def prepare(machine: Machine, scenario: Scenario) -> None:
    """What has to be live, or to have been live, in this scenario."""
    stack = machine.stack  # noqa: F811
    row = known_model(stack.ports.ledger, MODEL)
    if scenario is FIRST and row.live is not None:
        remove_endpoint(stack.ports, MODEL)
    if scenario in (UPDATE, MOVED, SHARED, ROLLBACK) and row.live is None:
        assert released(machine).outcome == "released"
    row = known_model(stack.ports.ledger, MODEL)
    if scenario is ROLLBACK and row.previous is None:
        assert released(machine).outcome == "released"


def released(machine: Machine) -> ReleaseRow:
    """A release that is left alone."""
    number = ask(machine, UPDATE)
    row = machine.stack.end(number)
    at_rest(machine.stack)
    return row


def ask(machine: Machine, scenario: Scenario) -> int:
    """Ask for the release of the version that is not live, or for a rollback; its number."""
    stack = machine.stack  # noqa: F811
    if scenario is ROLLBACK:
        (number,) = rollback_release(stack.ports, MODEL, "worse", "ann").opened
        return number
    live, (one, two) = known_model(stack.ports.ledger, MODEL).live, machine.versions
    other = one if live is None or live.version == two else two
    (number,) = release_again(stack.ports, MODEL, other, "again", "ann").opened
    return number


def expected(way: list[Edge], scenario: Scenario) -> str:
    """How it must end, by what was done before."""
    done = {edge.source for edge in way if not edge.error}
    if scenario not in (MOVED, SHARED):
        return "released" if {"CreateEndpoint", "UpdateEndpoint"} & done else "stopped"
    if "TrafficMoved" in done:
        return "released"
    return "rolled_back" if "ShiftTraffic" in done else "stopped"


def is_clean(stack: Stack, where: str) -> None:  # noqa: F811
    """Nothing is left of any release but what is live or may be gone back to; it answers."""
    model = known_model(stack.ports.ledger, MODEL)
    known = [each for each in (model.live, model.previous) if each is not None]
    kept = {each.config for each in known if each.kind != "multi-model"}
    shared = endpoints.describe_endpoint(story.SHARED)
    kept |= {shared.config} if shared else set()
    archives = {archive(MODEL, config) for config in archives_kept(model.live)}
    bucket = stack.ports.deployment.artifact_bucket
    assert set(list_archives(bucket, "shared/")) == archives, where
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
            **({"TargetModel": target(MODEL, model.live.config)} if archives else {}),
            ContentType="application/json",
            Body=json.dumps({"instances": [stack.row]}),
        )
        assert json.loads(answer["Body"].read())["version"] == model.live.version, where
