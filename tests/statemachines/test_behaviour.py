"""Every branch of the retrain machine, run from the committed definition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachines.completeness import untaken_branches, untaken_catches, unvisited
from tests.statemachines.machine import Program, Ran, load, parse, states_of
from tests.statemachines.mutants import behaves_otherwise, is_noticed, mutants, without_error
from tests.statemachines.scenarios import SCENARIOS, TASKS, Scenario, errors_of

DEFINITION = load("retrain")
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
def test_scenario(scenario: Scenario, ran: dict[str, Ran]) -> None:
    """The execution ends as it should, after as many attempts as it should."""
    assert scenario.differences(ran[scenario.name]) == []


def test_every_state_is_visited(ran: dict[str, Ran]) -> None:
    """The histories together visit each state."""
    assert unvisited(STATES, ran) == set()


def test_every_catch_is_taken(ran: dict[str, Ran]) -> None:
    """The histories together take each Catch of each state."""
    assert untaken_catches(STATES, ran) == set()


def test_every_choice_is_made(ran: dict[str, Ran]) -> None:
    """The histories together leave each Choice by each of its branches."""
    assert untaken_branches(STATES, ran) == set()


def test_each_attempt_is_a_job_of_its_own(ran: dict[str, Ran]) -> None:
    """A retried job gets a new name: SageMaker knows a name only once."""
    attempts = ran["Train: ThrottlingException passes"].payloads["Train"]
    assert [attempt["TrainingJobName"] for attempt in attempts] == [
        f"perennial-census-12-train-{attempt}" for attempt in range(3)
    ]


def test_a_failure_in_flight_leaves_the_later_states_alone(ran: dict[str, Ran]) -> None:
    """After a failed check nothing is trained or registered."""
    visited = ran["CheckData: a data error is never retried"].visited
    assert visited == ["CheckClaim", "PlanRun", "DataNeeded", "CheckData", "CheckDataFailed"]


MUTANTS = list(mutants(DEFINITION))
# Where to look first for the scenario that notices: trying all of them would take minutes.
HINTS = {
    "DataNeeded without Default": "CheckData was done before",
    "EnoughData without Choices 0 ": "refused",
    "EnoughData without Default": "Train was done before",
    "HowToTrain without Choices 0 ": "won, tuned from earlier searches in the VPC",
    "HowToTrain without Choices 1 ": "won, tuned from earlier searches",
    "HowToTrain without Choices 2 ": "won, tuned in the VPC",
    "HowToTrain without Choices 3 ": "won, tuned",
    "HowToTrain without Choices 4 ": "won, in the VPC",
    "EvaluationNeeded without Default": "Evaluate was done before",
    "ChampionNeeded without Default": "EvaluateChampion was done before",
    "ComparisonNeeded without Default": "Compare was done before",
    "BiasNeeded without Choices 0 ": "won, bias measured by Clarify",
    "BiasNeeded without Default": "MeasureBias was done before",
    "ExplanationNeeded without Default": "Explain was done before",
    "Won without Default": "lost",
    "MayBeApproved without Default": "lost",
}
BEHIND_CHOICE = {
    "Won": "JudgeCandidate",
    "MayBeApproved": "JudgeCandidate",
    "EnoughData": "Train",
    "HowToTrain": "Train",
    "DataNeeded": "CheckData",
    "EvaluationNeeded": "Evaluate",
    "ChampionNeeded": "EvaluateChampion",
    "ComparisonNeeded": "Compare",
    "BiasNeeded": "MeasureBias",
    "ExplanationNeeded": "Explain",
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "state", "words", "mutant"), MUTANTS, ids=[mutant[0] for mutant in MUTANTS]
)
def test_mutant_is_noticed(name: str, state: str, words: str, mutant: dict[str, Any]) -> None:
    """Deleting any one Catch, Retry or branch of a Choice changes what some scenario does."""
    about = BEHIND_CHOICE.get(state, state)
    nearest_first = sorted(
        SCENARIOS,
        key=lambda s: (
            s.name != HINTS.get(name),
            s.about != about,
            words not in s.name,
            not s.name.startswith(f"{about}:"),
        ),
    )
    assert is_noticed(mutant, state, nearest_first), name


ERRORS = sorted({error for task in TASKS for error in errors_of(task)})


@pytest.mark.parametrize("error", ERRORS)
def test_error_name_is_needed(error: str) -> None:
    """Without its name in the Retry of a state, an error that would pass ends the run there."""
    program = parse(without_error(DEFINITION, error))
    for scenario in SCENARIOS:
        if scenario.name.endswith(f": {error} passes"):
            assert behaves_otherwise(scenario, program), scenario.name
