"""State machine definitions, checked for what CreateStateMachine refuses.

Transitions, terminal states and reachability, per https://docs.aws.amazon.com/step-functions/
latest/dg/concepts-amazon-states-language.html and states-language.net.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = frozenset(["Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"])
_LAST = ("Succeed", "Fail")
_RETRY = frozenset(
    [
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
        "Comment",
    ]
)


def definition_problems(definition: Any, path: str = "") -> list[str]:
    """Return why Step Functions would refuse the definition."""
    if not isinstance(definition, Mapping):
        return ["INVALID_JSON_DESCRIPTION: the definition is not a JSON object"]
    states = definition.get("States")
    if not isinstance(states, Mapping) or not states:
        return [f"SCHEMA_VALIDATION_FAILED: States must be a non-empty object at {path or '/'}"]
    found = []
    start = definition.get("StartAt")
    if start not in states:
        found.append(
            f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {start} at {path}/StartAt"
        )
    for name, state in states.items():
        found += _state_problems(str(name), state, states, f"{path}/States/{name}")
    if not found:
        found += _unreachable(str(start), states, path)
    return found


def _state_problems(
    name: str, state: Any, states: Mapping[str, Any], where: str
) -> Iterator[str] | list[str]:
    if not isinstance(state, Mapping) or state.get("Type") not in _TYPES:
        kind = state.get("Type") if isinstance(state, Mapping) else None
        return [f"SCHEMA_VALIDATION_FAILED: Type {kind} is not a state type at {where}/Type"]
    found = []
    if len(name) > 80:
        found.append(f"SCHEMA_VALIDATION_FAILED: the state name is longer than 80 at {where}")
    kind = state["Type"]
    if kind in _LAST:
        found += [
            f"SCHEMA_VALIDATION_FAILED: Field {key} is not supported at {where}"
            for key in ("Next", "End")
            if key in state
        ]
    elif kind == "Choice":
        if not state.get("Choices"):
            found.append(f"SCHEMA_VALIDATION_FAILED: Choices must not be empty at {where}")
    elif ("Next" in state) == bool(state.get("End")):
        found.append(f"SCHEMA_VALIDATION_FAILED: exactly one of Next and End is needed at {where}")
    if kind == "Task" and not state.get("Resource"):
        found.append(f"SCHEMA_VALIDATION_FAILED: Resource is required at {where}")
    found += [
        f"MISSING_TRANSITION_TARGET: Missing '{key}' target: {target} at {where}/{key}"
        for key, target in _transitions(state)
        if target not in states
    ]
    found += _handler_problems(state, where)
    for part, inner in _inner(state):
        found += definition_problems(inner, f"{where}/{part}")
    return found


def _handler_problems(state: Mapping[str, Any], where: str) -> Iterator[str]:
    for number, rule in enumerate(state.get("Retry", [])):
        for key in rule:
            if key not in _RETRY:
                yield f"SCHEMA_VALIDATION_FAILED: Field {key} is unknown at {where}/Retry/{number}"
    for group in ("Retry", "Catch"):
        rules = state.get(group, [])
        for number, rule in enumerate(rules):
            errors = rule.get("ErrorEquals")
            if not errors:
                place = f"{where}/{group}/{number}"
                yield f"SCHEMA_VALIDATION_FAILED: ErrorEquals is required at {place}"
            elif "States.ALL" in errors and (len(errors) > 1 or number < len(rules) - 1):
                yield (
                    f"SCHEMA_VALIDATION_FAILED: States.ALL must appear alone and in the last "
                    f"rule at {where}/{group}/{number}"
                )


def _transitions(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "Next" in state:
        yield "Next", state["Next"]
    if "Default" in state:
        yield "Default", state["Default"]
    for number, choice in enumerate(state.get("Choices", [])):
        yield f"Choices/{number}/Next", choice.get("Next")
    for number, catch in enumerate(state.get("Catch", [])):
        yield f"Catch/{number}/Next", catch.get("Next")


def _inner(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for number, branch in enumerate(state.get("Branches", [])):
        yield f"Branches/{number}", branch
    for key in ("ItemProcessor", "Iterator"):
        if key in state:
            yield key, state[key]


def _unreachable(start: str, states: Mapping[str, Any], path: str) -> list[str]:
    reached, pending = set(), [start]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [str(target) for _, target in _transitions(states[name])]
    return [
        f'MISSING_TRANSITION_TARGET: State "{name}" is not reachable. at {path}/States/{name}'
        for name in states
        if name not in reached
    ]
