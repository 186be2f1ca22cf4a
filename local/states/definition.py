"""Check a definition as CreateStateMachine and ValidateStateMachineDefinition do."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.states.choice import COMPARISONS, PATH_COMPARISONS, TESTS
from local.states.intrinsics import IntrinsicSyntaxError, is_intrinsic
from local.states.intrinsics import check as check_intrinsic
from local.states.paths import is_path, is_reference
from local.states.resources import parameter_problems, parse_resource

SCHEMA = "SCHEMA_VALIDATION_FAILED"
JSONATA = "the local cloud does not support JSONata yet"
TARGET = "MISSING_TRANSITION_TARGET"
_COMMON = {"Type", "Comment", "InputPath", "OutputPath", "QueryLanguage", "Assign"}
_FLOW = {"Next", "End"}
_WORK = {"Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"} | _FLOW
FIELDS: dict[str, set[str]] = {
    "Task": _COMMON
    | _WORK
    | {"Resource", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds"}
    | {"HeartbeatSecondsPath", "Credentials"},
    "Pass": _COMMON | _FLOW | {"Result", "ResultPath", "Parameters"},
    "Wait": _COMMON | _FLOW | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Choice": _COMMON | {"Choices", "Default"},
    "Succeed": _COMMON - {"Assign"},
    "Fail": {"Type", "Comment", "QueryLanguage", "Error", "ErrorPath", "Cause", "CausePath"},
    "Parallel": _COMMON | _WORK | {"Branches"},
    "Map": _COMMON
    | _WORK
    | {"ItemProcessor", "Iterator", "ItemsPath", "ItemSelector", "MaxConcurrency"}
    | {"MaxConcurrencyPath"},
}
_MAP_NOT_DONE = {"ItemReader", "ItemBatcher", "ResultWriter", "Label", "ToleratedFailureCount",
                 "ToleratedFailureCountPath", "ToleratedFailurePercentage",
                 "ToleratedFailurePercentagePath"}  # fmt: skip
_TOP = {"Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"}
_ONE_OF = {
    "Wait": ("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),
    "Map": ("ItemProcessor", "Iterator"),
}
_REQUIRED = {"Task": "Resource", "Choice": "Choices", "Parallel": "Branches"}


@dataclass(frozen=True)
class Problem:
    """One thing that makes a definition unacceptable."""

    code: str
    message: str
    location: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location}"


def check_definition(text: str) -> list[Problem]:
    """All problems of a definition's text."""
    try:
        definition = json.loads(text)
    except ValueError as error:
        return [Problem("INVALID_JSON_DESCRIPTION", str(error), "/")]
    if not isinstance(definition, dict):
        return [Problem(SCHEMA, "The definition is no JSON object", "/")]
    names: list[str] = []
    found = list(_level(definition, "", _TOP, names))
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(Problem("DUPLICATE_STATE_NAME", f"Duplicate State name: {name}", "/States"))
    return found


def _level(
    level: Mapping[str, Any], place: str, fields: set[str], names: list[str]
) -> Iterator[Problem]:
    """A machine, a branch or an item processor."""
    for key in level:
        if key not in fields:
            yield Problem(SCHEMA, f"The field '{key}' is not supported", f"{place}/{key}")
    if level.get("QueryLanguage", "JSONPath") != "JSONPath":
        yield Problem(SCHEMA, JSONATA, f"{place}/QueryLanguage")
    yield from _seconds(level, "TimeoutSeconds", place)
    states = level.get("States")
    if not isinstance(states, dict) or not states:
        yield Problem(SCHEMA, "The field 'States' is required but was missing", place or "/")
        return
    names.extend(states)
    start = level.get("StartAt")
    if start not in states:
        yield Problem(TARGET, f"Missing 'StartAt' target: {start}", f"{place}/StartAt")
    for name, state in states.items():
        where = f"{place}/States/{name}"
        if len(name) > 80:
            yield Problem(SCHEMA, "A state's name has at most 80 characters", where)
        if not isinstance(state, dict) or state.get("Type") not in FIELDS:
            yield Problem(SCHEMA, f"The field 'Type' should have one of {sorted(FIELDS)}", where)
            continue
        yield from _state(state, where, states, names)
    yield from _unreachable(start, states, place)


def _unreachable(start: Any, states: Mapping[str, Any], place: str) -> Iterator[Problem]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or not isinstance(states.get(name), dict):
            continue
        seen.add(name)
        waiting += [target for _, target in _targets(states[name])]
    for name in states:
        if name not in seen:
            text = f'State "{name}" is not reachable.'
            yield Problem(TARGET, text, f"{place}/States/{name}")


def _targets(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("Next", "Default"):
        if key in state:
            yield key, state[key]
    for key in ("Choices", "Catch"):
        entries = state.get(key)
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and "Next" in entry:
                yield f"{key}[{number}]/Next", entry["Next"]


def _state(
    state: Mapping[str, Any], where: str, states: Mapping[str, Any], names: list[str]
) -> Iterator[Problem]:
    yield from _fields(state, where)
    for key, target in _targets(state):
        if target not in states:
            yield Problem(TARGET, f"Missing 'Next' target: {target}", f"{where}/{key}")
    yield from _paths(state, where)
    yield from _handlers(state, where)
    if state["Type"] == "Task" and isinstance(state.get("Resource"), str):
        yield from _task(state, where)
    if state["Type"] == "Choice" and isinstance(state.get("Choices"), list):
        for number, rule in enumerate(state["Choices"]):
            yield from _rule(rule, f"{where}/Choices[{number}]", top=True)
    for key in ("Seconds", "TimeoutSeconds", "HeartbeatSeconds"):
        yield from _seconds(state, key, where)
    yield from _inner(state, where, names)


def _fields(state: Mapping[str, Any], where: str) -> Iterator[Problem]:
    kind = state["Type"]
    for key in state:
        if kind == "Map" and key in _MAP_NOT_DONE:
            yield Problem(SCHEMA, f"the local cloud does not support {key} yet", f"{where}/{key}")
        elif key not in FIELDS[kind]:
            yield Problem(SCHEMA, f"The field '{key}' is not supported", f"{where}/{key}")
    if state.get("QueryLanguage", "JSONPath") != "JSONPath":
        yield Problem(SCHEMA, JSONATA, where)
    if kind in _REQUIRED and not state.get(_REQUIRED[kind]):
        text = f"The field '{_REQUIRED[kind]}' is required but was missing"
        yield Problem(SCHEMA, text, where)
    if kind in _ONE_OF and sum(key in state for key in _ONE_OF[kind]) != 1:
        yield Problem(SCHEMA, f"Exactly one of {list(_ONE_OF[kind])} is required", where)
    if "Next" in FIELDS[kind] and ("Next" in state) == (state.get("End") is True):
        yield Problem(SCHEMA, "Exactly one of ['Next', 'End'] is required", where)


def _inner(state: Mapping[str, Any], where: str, names: list[str]) -> Iterator[Problem]:
    for number, branch in enumerate(state.get("Branches") or []):
        yield from _level(branch, f"{where}/Branches[{number}]", _TOP - {"TimeoutSeconds"}, names)
    for key in ("ItemProcessor", "Iterator"):
        processor = state.get(key)
        if isinstance(processor, dict):
            mode = processor.get("ProcessorConfig", {}).get("Mode", "INLINE")
            if mode != "INLINE":
                text = "the local cloud does not support the distributed Map yet"
                yield Problem(SCHEMA, text, f"{where}/{key}/ProcessorConfig")
            yield from _level(processor, f"{where}/{key}", _TOP | {"ProcessorConfig"}, names)


def _seconds(state: Mapping[str, Any], key: str, where: str) -> Iterator[Problem]:
    value = state.get(key)
    if key in state and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        if key == "Seconds" and value == 0:
            return
        yield Problem(SCHEMA, f"The field '{key}' must be a positive integer", f"{where}/{key}")


def _paths(state: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for key, value in state.items():
        place = f"{where}/{key}"
        if key in ("InputPath", "OutputPath", "ItemsPath") or key.endswith("SecondsPath"):
            if value is not None and not (isinstance(value, str) and is_path(value)):
                yield Problem(SCHEMA, "Value is not a valid JSONPath", place)
        elif key == "ResultPath":
            if value is not None and not (isinstance(value, str) and is_reference(value)):
                yield Problem(SCHEMA, "Value is not a Reference Path", place)
        elif key in ("ErrorPath", "CausePath"):
            if not (isinstance(value, str) and (is_path(value) or is_intrinsic(value))):
                yield Problem(SCHEMA, "Value is not a valid JSONPath", place)
        elif key in ("Parameters", "ResultSelector", "ItemSelector", "Assign"):
            yield from _template(value, place)


def _template(value: Any, where: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, item in value.items():
            place = f"{where}/{key}"
            if not key.endswith(".$"):
                yield from _template(item, place)
            elif not isinstance(item, str) or not _is_expression(item):
                text = f"The value for the field '{key}' must be a valid JSONPath or a valid "
                yield Problem(SCHEMA, text + "intrinsic function call", place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _template(item, f"{where}[{number}]")


def _is_expression(text: str) -> bool:
    if not is_intrinsic(text):
        return is_path(text)
    try:
        check_intrinsic(text)
    except IntrinsicSyntaxError:
        return False
    return True


def _handlers(state: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for key in ("Retry", "Catch"):
        handlers = state.get(key, [])
        if not isinstance(handlers, list):
            yield Problem(SCHEMA, f"The field '{key}' must be an array", f"{where}/{key}")
            continue
        for number, handler in enumerate(handlers):
            place = f"{where}/{key}[{number}]"
            equals = handler.get("ErrorEquals") if isinstance(handler, dict) else None
            if not isinstance(equals, list) or not equals:
                yield Problem(SCHEMA, "The field 'ErrorEquals' is required but was missing", place)
                continue
            if "States.ALL" in equals and (len(equals) > 1 or number < len(handlers) - 1):
                text = "States.ALL must appear alone, and only in the last handler"
                yield Problem(SCHEMA, text, f"{place}/ErrorEquals")
            if key == "Retry":
                yield from _retrier(handler, place)
            elif "Next" not in handler:
                yield Problem(SCHEMA, "The field 'Next' is required but was missing", place)
            elif handler.get("ResultPath") is not None and not is_reference(handler["ResultPath"]):
                yield Problem(SCHEMA, "Value is not a Reference Path", f"{place}/ResultPath")


def _retrier(retrier: Mapping[str, Any], where: str) -> Iterator[Problem]:
    limits: dict[str, tuple[float, float, type]] = {
        "IntervalSeconds": (1, 99_999_999, int),
        "MaxAttempts": (0, 99_999_999, int),
        "BackoffRate": (1.0, float("inf"), float),
        "MaxDelaySeconds": (1, 31_622_400, int),
    }
    for key, value in retrier.items():
        if key in limits:
            low, high, kind = limits[key]
            fits = isinstance(value, int | kind) and not isinstance(value, bool)
            if not fits or not low <= value <= high:
                yield Problem(SCHEMA, f"The field '{key}' must lie in [{low}, {high}]", where)
        elif key == "JitterStrategy" and value not in ("FULL", "NONE"):
            yield Problem(SCHEMA, "JitterStrategy must be FULL or NONE", where)
        elif key not in ("ErrorEquals", "JitterStrategy", "Comment"):
            yield Problem(SCHEMA, f"The field '{key}' is not supported", f"{where}/{key}")


def _task(state: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if "Credentials" in state:
        text = "the local cloud does not support a Task's Credentials yet"
        yield Problem(SCHEMA, text, f"{where}/Credentials")
    try:
        resource = parse_resource(state["Resource"])
    except ValueError as error:
        yield Problem(SCHEMA, str(error), f"{where}/Resource")
        return
    for place, text in parameter_problems(resource, state.get("Parameters", {})):
        yield Problem(SCHEMA, text, f"{where}/Parameters{place}")


def _rule(rule: Any, where: str, *, top: bool) -> Iterator[Problem]:
    if not isinstance(rule, dict):
        yield Problem(SCHEMA, "A choice rule is a JSON object", where)
        return
    if top and "Next" not in rule:
        yield Problem(SCHEMA, "The field 'Next' is required but was missing", where)
    joined = [key for key in ("And", "Or", "Not") if key in rule]
    known = COMPARISONS | PATH_COMPARISONS | TESTS
    operators = [key for key in rule if key in known]
    if len(joined) + len(operators) != 1:
        yield Problem(SCHEMA, "A choice rule has exactly one operator", where)
    for key in joined:
        parts = rule[key] if isinstance(rule[key], list) else [rule[key]]
        for number, part in enumerate(parts):
            yield from _rule(part, f"{where}/{key}[{number}]", top=False)
    if operators and not (isinstance(rule.get("Variable"), str) and is_path(rule["Variable"])):
        yield Problem(SCHEMA, "Value is not a valid JSONPath", f"{where}/Variable")
    for key in rule:
        if key not in known | {"And", "Or", "Not", "Variable", "Next", "Comment", "Assign"}:
            yield Problem(SCHEMA, f"The field '{key}' is not supported", f"{where}/{key}")
