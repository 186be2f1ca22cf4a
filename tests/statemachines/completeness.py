"""What the executions of a machine must show together, and what each of its Tasks must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.domain import errors

from tests.statemachines.machine import Ran

States = Mapping[str, Mapping[str, Any]]


def unvisited(states: States, ran: Mapping[str, Ran]) -> set[str]:
    """States that no execution came to."""
    return set(states) ^ {name for one in ran.values() for name in one.visited}


def untaken_catches(states: States, ran: Mapping[str, Ran]) -> set[tuple[str, str]]:
    """Catches that no execution took, from state to state."""
    ways = {(name, catch["Next"]) for name, s in states.items() for catch in s.get("Catch", [])}
    return ways ^ {way for one in ran.values() for way in one.caught}


def untaken_branches(states: States, ran: Mapping[str, Ran]) -> set[tuple[str, str]]:
    """Branches of Choices that no execution took, from state to state."""
    choices = {name: state for name, state in states.items() if state["Type"] == "Choice"}
    ways = {
        (name, target)
        for name, state in choices.items()
        for target in [*(choice["Next"] for choice in state["Choices"]), state["Default"]]
    }
    return ways ^ {way for one in ran.values() for way in one.ways if way[0] in choices}


def task_faults(state: Mapping[str, Any], *, is_function: bool) -> list[str]:
    """What a Task lacks: a timeout; a Catch of everything; Retry lists with jitter and a longest
    delay, with our own errors for a function alone and for data errors never."""
    found = []
    if state["TimeoutSeconds"] <= 0:
        found.append("no timeout")
    if state["Catch"][-1]["ErrorEquals"] != ["States.ALL"]:
        found.append("errors that are not caught")
    if any(catch["ResultPath"] != "$.failure" for catch in state["Catch"]):
        found.append("an error that is kept elsewhere")
    named = {error for retrier in state["Retry"] for error in retrier["ErrorEquals"]}
    if any(error.startswith("States.") for error in named):
        found.append("a retry of data errors")
    for retrier in state["Retry"]:
        if retrier["JitterStrategy"] != "FULL":
            found.append("a retry without jitter")
        if retrier["MaxDelaySeconds"] < retrier["IntervalSeconds"]:
            found.append("a longest delay below the first")
    if is_function != (_leaves(errors.Retryable) <= named):
        found.append("our own errors retried where they cannot be, or not where they can")
    return found


def _leaves(kind: type[Exception]) -> set[str]:
    # Tests of other things have errors of their own.
    children = [each for each in kind.__subclasses__() if each.__module__ == kind.__module__]
    return {leaf for child in children for leaf in _leaves(child)} or {kind.__name__}
