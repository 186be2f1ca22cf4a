"""Every branch of the release machine, run from the committed definition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachines.completeness import untaken_branches, untaken_catches, unvisited
from tests.statemachines.machine import Program, Ran, load, parse, states_of
from tests.statemachines.mutants import behaves_otherwise, is_noticed, mutants, without_error
from tests.statemachines.release_scenarios import SCENARIOS, TASKS, ReleaseScenario, errors_of

DEFINITION = load("release")
STATES = states_of(DEFINITION)


@pytest.fixture(scope="module")
def program() -> Program:
    """The committed definition, parsed once."""
    return parse(DEFINITION)


@pytest.fixture(scope="module")
def ran(program: Program) -> dict[str, Ran]:
    """Every scenario's execution."""
    return {scenario.name: scenario.run(program) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_scenario(scenario: ReleaseScenario, ran: dict[str, Ran]) -> None:
    """The release ends as it should, after as many attempts and looks as it should."""
    assert scenario.differences(ran[scenario.name]) == []


def test_every_state_is_visited(ran: dict[str, Ran]) -> None:
    """The histories together visit each state: each is one that a release can be killed in."""
    assert unvisited(STATES, ran) == set()


def test_every_catch_is_taken(ran: dict[str, Ran]) -> None:
    """The histories together take each Catch of each state."""
    assert untaken_catches(STATES, ran) == set()


def test_every_choice_is_made(ran: dict[str, Ran]) -> None:
    """The histories together leave each Choice by each of its branches."""
    assert untaken_branches(STATES, ran) == set()


def test_production_is_not_touched_before_the_last_look(ran: dict[str, Ran]) -> None:
    """Whatever happens, no update comes before CheckRelease said that all is as it was planned."""
    for name, one in ran.items():
        for change in {"CreateEndpoint", "UpdateEndpoint"} & set(one.visited):
            before = one.visited[: one.visited.index(change)]
            assert before[-2:] == ["CheckRelease", "EndpointExists"], name
            assert "GuardEndpoint" in before, name


def test_no_traffic_moves_before_the_last_look_and_without_a_watch(ran: dict[str, Ran]) -> None:
    """A share is given only after CheckRelease, and each is watched before anything else."""
    for name, one in ran.items():
        for place, state in enumerate(one.visited):
            if state == "ShiftTraffic":
                assert "CheckRelease" in one.visited[:place], name
                after = one.visited[place + 1 : place + 3]
                failed = ["ShiftTrafficFailed", "NotClaimed"]
                assert after == ["WaitForTraffic", "WatchTraffic"] or after[0] in failed, name


def test_no_failure_before_the_update_touches_production(ran: dict[str, Ran]) -> None:
    """A failure of any state up to the last look leaves every later state alone."""
    for name, one in ran.items():
        if one.status == "FAILED" and "CheckRelease" not in one.visited:
            assert not {"CreateEndpoint", "UpdateEndpoint"} & set(one.visited), name


MUTANTS = list(mutants(DEFINITION))
# Where to look first for the scenario that notices: trying all of them would take minutes.
HINTS = {
    "WhatIsNew": "back to the last good one",
    "WhereItRuns": "moved on a shared endpoint",
    "StagingReady": "back on a shared endpoint",
    "SmokeTestPassed": "the smoke test finds something",
    "NeedsAPerson": "let in by a person",
    "EndpointExists": "moved on a shared endpoint",
    "EndpointSettled": "DescribeEndpoint: still RollingBack",
    "IsLive": "rolled back",
    "IsCaptured": "moved on a shared endpoint",
    "TrafficMoved": "moved",
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "state", "words", "mutant"), MUTANTS, ids=[mutant[0] for mutant in MUTANTS]
)
def test_mutant_is_noticed(name: str, state: str, words: str, mutant: dict[str, Any]) -> None:
    """Deleting any one Catch, Retry or branch of a Choice changes what some scenario does."""
    nearest_first = sorted(
        SCENARIOS,
        key=lambda s: (
            s.name != HINTS.get(state),
            s.about != state,
            words not in s.name,
            not s.name.startswith(f"{state}:"),
        ),
    )
    assert is_noticed(mutant, state, nearest_first), name


STATUSES = [(state, at) for state in ("StagingReady", "EndpointSettled") for at in range(4)]


@pytest.mark.parametrize(("state", "at"), STATUSES)
def test_every_changing_status_is_waited_out(state: str, at: int) -> None:
    """Deleting one status from those that are waited out ends a release too early."""
    mutant = load("release")
    rule = next(r for r in states_of(mutant)[state]["Choices"] if "Or" in r)
    status = rule["Or"].pop(at)["StringEquals"]
    looking = {"StagingReady": "DescribeStaging", "EndpointSettled": "DescribeEndpoint"}[state]
    (scenario,) = [s for s in SCENARIOS if s.name == f"{looking}: still {status}"]
    assert behaves_otherwise(scenario, parse(mutant))


ERRORS = sorted({error for task in TASKS for error in errors_of(task)})


@pytest.mark.parametrize("error", ERRORS)
def test_error_name_is_needed(error: str) -> None:
    """Without its name in the Retry of a state, an error that would pass ends the release there."""
    program = parse(without_error(DEFINITION, error))
    for scenario in SCENARIOS:
        if scenario.name.endswith(f": {error} passes"):
            assert behaves_otherwise(scenario, program), scenario.name
