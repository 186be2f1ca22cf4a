"""Faulty definitions, each of which some scenario must notice."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.parse.asl_parser import ASLParserException

from tests.statemachines.machine import Program, parse, states_of
from tests.statemachines.scenarios import Scenario


def mutants(definition: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The definition without one Catch, one Retry or one branch of a Choice, in turn.

    Each with the state and the words of the scenarios that should notice it.
    """
    for name, state in states_of(definition).items():
        for field in ("Catch", "Retry", "Choices"):
            for index, entry in enumerate(state.get(field, [])):
                mutant = copy.deepcopy(dict(definition))
                del states_of(mutant)[name][field][index]
                errors = entry.get("ErrorEquals", [""])
                yield f"{name} without {field} {index} {errors[0]}", name, errors[-1], mutant
        if "Default" in state:
            mutant = copy.deepcopy(dict(definition))
            del states_of(mutant)[name]["Default"]
            yield f"{name} without Default", name, "", mutant


def without_error(definition: Mapping[str, Any], error: str) -> dict[str, Any]:
    """The definition without one error's name in any Retry."""
    mutant = copy.deepcopy(dict(definition))
    for state in states_of(mutant).values():
        for retrier in state.get("Retry", []):
            retrier["ErrorEquals"] = [e for e in retrier["ErrorEquals"] if e != error] or ["None"]
    return mutant


def is_noticed(
    mutant: Mapping[str, Any],
    state: str,
    nearest_first: Sequence[Scenario],
) -> bool:
    """Whether a scenario behaves otherwise on the mutant, or the mutant is no definition at all."""
    if states_of(mutant)[state].get("Choices") == []:
        # A Choice without a rule: the interpreter does not even read it.
        with pytest.raises(ASLParserException):
            parse(mutant)
        return True
    program = parse(mutant)
    return any(behaves_otherwise(scenario, program) for scenario in nearest_first)


def behaves_otherwise(scenario: Scenario, program: Program) -> bool:
    """Whether a scenario does not do what it must."""
    try:
        return bool(scenario.differences(scenario.run(program)))
    except AssertionError:  # a state was reached that the scenario does not expect
        return True
