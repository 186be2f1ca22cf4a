"""The transformed template as a graph: no cycle, nothing missing, nothing left over."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pytest
from perennial.domain.settings_monitor import Monitor, Monitoring
from perennial.model_stack import render_model_stack

from tests.template.loading import ROOT, Template, dependencies, main_template, references

MACHINES = ("RetrainMachine", "ReleaseMachine")
MACHINE = MACHINES[0]
FOR_PEOPLE = {"DashboardName"}  # outputs that are read in the console
Check = Callable[[Template], Iterator[str]]


def cycles(template: Template) -> Iterator[str]:
    """Resources that wait for each other."""
    graph = {name: dependencies(resource) for name, resource in template.resources.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        yield " → ".join(error.args[1])


def missing(template: Template) -> Iterator[str]:
    """References to what the template does not have."""
    known = {*template.resources, *template.raw.get("Parameters", {})}
    for name, part in [*template.resources.items(), *template.raw["Outputs"].items()]:
        for reference in {*references(part), *dependencies(part)}:
            if reference not in known and not reference.startswith("AWS::"):
                yield f"{name} refers to {reference}, which is nowhere"


def substitutions(template: Template) -> Iterator[str]:
    """`${…}` of the definition without a value, and values that no `${…}` asks for."""
    for name in MACHINES:
        machine = template.raw["Resources"][name]["Properties"]
        text = (ROOT / machine["DefinitionUri"]).read_text("utf-8")
        asked = set(re.findall(r"\$\{(\w+)\}", text))
        given = set(machine["DefinitionSubstitutions"])
        yield from (f"{name}: ${{{each}}} gets no value" for each in asked - given)
        yield from (f"{name}: ${{{each}}} is asked for nowhere" for each in given - asked)


def unreached(template: Template) -> Iterator[str]:
    """Functions that no rule, schedule, queue, API, custom resource or state leads to."""
    callers = (
        "AWS::ApiGatewayV2::Api",
        "AWS::Events::Rule",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Scheduler::Schedule",
        "AWS::StepFunctions::StateMachine",
    )
    reached = {
        reference
        for resource in template.resources.values()
        if resource["Type"] in callers or "ServiceToken" in resource.get("Properties", {})
        for reference in references(resource["Properties"])
    }
    # The schedules in the models' own stacks import whom they ask.
    watch = Monitoring((Monitor("data-quality", 3600, 0, 3600, 300),))
    asked = render_model_stack("stack", "model", "stack", {"weekly": "rate(7 days)"}, watch)
    for name, output in template.raw["Outputs"].items():
        if f"${{StackName}}-{name}\n" in asked.template:
            reached |= set(references(output["Value"]))
    yield from sorted(set(template.of_type("AWS::Lambda::Function")) - reached)


def unused_parts(template: Template) -> Iterator[str]:
    """Parameters, conditions, mappings and log groups that nothing uses."""
    raw = template.raw
    used = set(references([template.resources, raw["Conditions"], raw["Outputs"]]))
    yield from (f"parameter {name}" for name in raw["Parameters"] if name not in used)
    text = json.dumps([template.resources, raw["Outputs"]])
    for name in raw["Conditions"]:
        if f'"Fn::If": ["{name}"' not in text and f'"Condition": "{name}"' not in text:
            yield f"condition {name}"
    yield from (f"mapping {n}" for n in raw["Mappings"] if f'"Fn::FindInMap": ["{n}"' not in text)
    yield from (f"log group {n}" for n in template.of_type("AWS::Logs::LogGroup") if n not in used)


def unused_outputs(template: Template) -> Iterator[str]:
    """Outputs that neither our code nor the models' template reads."""
    sources = [
        *(ROOT / "layers" / "core" / "perennial").rglob("*.py"),
        *(ROOT / "cli").rglob("*.py"),
        ROOT / "templates" / "model.yaml",
    ]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    for name in sorted(set(template.raw["Outputs"]) - FOR_PEOPLE):
        if not re.search(rf"\b{name}\b", text):
            yield name


def _edited(edit: Callable[[dict[str, Any]], None]) -> Template:
    raw = copy.deepcopy(main_template().raw)
    edit(raw)
    return Template("", raw)


def _resource(raw: dict[str, Any], name: str) -> dict[str, Any]:
    properties: dict[str, Any] = raw["Resources"][name]["Properties"]
    return properties


def _cycle(raw: dict[str, Any]) -> None:
    _resource(raw, "OnSignalLog")["LogGroupName"] = {"Fn::Sub": "/x/${OnSignalFunction}"}


def _cycle_by_globals(raw: dict[str, Any]) -> None:
    variables = raw["Globals"]["Function"]["Environment"]["Variables"]
    variables["STACK_TOKEN"] = {"Fn::GetAtt": ["StackIdentity", "Token"]}


def _missing(raw: dict[str, Any]) -> None:
    del raw["Resources"]["SignalDeadLetters"]


def _no_value(raw: dict[str, Any]) -> None:
    del _resource(raw, MACHINE)["DefinitionSubstitutions"]["JobImage"]


def _too_many_values(raw: dict[str, Any]) -> None:
    _resource(raw, MACHINE)["DefinitionSubstitutions"]["Colour"] = "blue"


def _unreached(raw: dict[str, Any]) -> None:
    del _resource(raw, "OnSweepDueFunction")["Events"]


def _unused_parameter(raw: dict[str, Any]) -> None:
    raw["Parameters"]["Colour"] = {"Type": "String", "Description": "A colour."}


def _unused_condition(raw: dict[str, Any]) -> None:
    raw["Conditions"]["IsBlue"] = {"Fn::Equals": ["a", "b"]}


def _unused_output(raw: dict[str, Any]) -> None:
    raw["Outputs"]["Colour"] = {"Value": "blue"}


BROKEN: list[tuple[Check, Callable[[dict[str, Any]], None], str]] = [
    (cycles, _cycle, "OnSignalLog"),
    (cycles, _cycle_by_globals, "OnStackChangedFunction"),
    (missing, _missing, "SignalDeadLetters, which is nowhere"),
    (substitutions, _no_value, "${JobImage} gets no value"),
    (substitutions, _too_many_values, "${Colour} is asked for nowhere"),
    (unreached, _unreached, "OnSweepDueFunction"),
    (unused_parts, _unused_parameter, "parameter Colour"),
    (unused_parts, _unused_condition, "condition IsBlue"),
    (unused_outputs, _unused_output, "Colour"),
]


@pytest.mark.parametrize(
    "check", [cycles, missing, substitutions, unreached, unused_parts, unused_outputs]
)
def test_graph(check: Check) -> None:
    """The committed template has none of these faults."""
    assert list(check(main_template())) == []


@pytest.mark.parametrize(
    ("check", "edit", "words"), BROKEN, ids=[edit.__name__ for _, edit, _ in BROKEN]
)
def test_fault_is_found(check: Check, edit: Callable[[dict[str, Any]], None], words: str) -> None:
    """Each fault, brought into the template, is found and named."""
    assert words in "\n".join(check(_edited(edit)))
