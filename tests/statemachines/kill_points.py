"""Ways to every state of a machine, so that an execution can be killed in each of them.

A way is a walk from the machine's first state, along the edges of the committed definition, in a
world in which the states before the last one do what they do. Which world that takes, the table
below says; a state that is in no scenario has no way, and is a mistake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

States = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Edge:
    """From a state to the next one; `error` names the error that leads there, of a Catch."""

    source: str
    target: str
    error: str = ""


@dataclass(frozen=True)
class Scenario:
    """A world and a way through it: the states that are killed there, and what it passes by.

    `shuns` are states that its ways never enter, and edges (`A>B`) that they never take.
    """

    name: str
    states: tuple[str, ...]
    shuns: frozenset[str]


def edges_of(name: str, state: Mapping[str, Any]) -> list[Edge]:
    """What may come after a state; errors last."""
    found = [Edge(name, each["Next"]) for each in state.get("Choices", [])]
    found += [Edge(name, state[key]) for key in ("Default", "Next") if key in state]
    for catch in state.get("Catch", []):
        found += [Edge(name, catch["Next"], error) for error in catch["ErrorEquals"]]
    return found


def way_to(machine: Mapping[str, Any], state: str, shuns: frozenset[str]) -> list[Edge]:
    """The shortest walk to a state that shuns what is named; raises `LookupError` for none."""
    states: States = machine["States"]
    ways: dict[str, list[Edge]] = {machine["StartAt"]: []}
    ahead = deque(ways)
    while ahead:
        here = ahead.popleft()
        if here == state:
            return ways[here]
        for edge in edges_of(here, states[here]):
            passed_by = edge.target in shuns or f"{here}>{edge.target}" in shuns
            if not passed_by and edge.target not in ways:
                ways[edge.target] = [*ways[here], edge]
                ahead.append(edge.target)
    raise LookupError(f"no way leads to {state} without {', '.join(sorted(shuns))}")


def uncovered(machine: Mapping[str, Any], scenarios: tuple[Scenario, ...]) -> list[str]:
    """In words: states that no scenario reaches, and states of scenarios that there are not."""
    told = {state for each in scenarios for state in each.states}
    names = set(machine["States"])
    return [
        *(
            f"state {name} has no kill point: name it in a scenario of "
            "tests/statemachines/kill_points.py, and say there in which world it is reached"
            for name in sorted(names - told)
        ),
        *(f"there is no state {name} any more" for name in sorted(told - names)),
    ]


def _failed(*states: str) -> tuple[str, ...]:
    """States, each with the end that its failure leads to."""
    return tuple(each for state in states for each in (state, f"{state}Failed"))


#: Another candidate is champion than the verdict knows; the release's own jobs judge once more.
JUDGING = ("EvaluateChampion", "Compare", "JudgeRelease")
SERVERLESS = frozenset({"CreateUncapturedConfig", "ShiftTraffic"})
#: What only a version does that shares its endpoint with other models; and what it passes by.
SHARING = frozenset(
    {
        *("ShareModel", "StagingReady>GuardEndpoint", "SmokeTestPassed>NeedsAPerson"),
        *("IsCaptured>GuardEndpoint", "EndpointExists>ShiftTraffic"),
    }
)
OF_ITS_OWN = frozenset(
    {
        *("CreateModel", "CreateStagingConfig", "RemoveStaging", "CreateEndpointConfig"),
        *("CreateUncapturedConfig", "CreateEndpoint", "UpdateEndpoint"),
    }
)
PLAIN = frozenset(
    {*JUDGING, *SHARING, "CreateModelInVpc", "AwaitApproval", "WhatIsNew>GuardEndpoint"}
)

RELEASE_SCENARIOS = (
    Scenario(
        "the first release: nothing is live",
        (
            *("PlanRelease", "WhatIsNew", "WhereItRuns"),
            *_failed("CreateModel", "CreateStagingConfig", "CreateStaging", "DescribeStaging"),
            *("PlanReleaseFailed", "NotClaimed", "Withdrawn", "Stale"),
            *("WaitForStaging", "StagingReady", "StagingFailed"),
            *_failed("SmokeTest", "ReadSmokeTest", "RemoveStaging"),
            *("SmokeTestPassed", "SmokeTestNotPassed", "NeedsAPerson", "IsCaptured"),
            *_failed("CreateEndpointConfig", "GuardEndpoint", "CheckRelease", "CreateEndpoint"),
            *("EndpointExists", "WaitForEndpoint"),
        ),
        PLAIN | SERVERLESS | {"UpdateEndpoint"},
    ),
    Scenario(
        "an update of what is live",
        (
            *("CreateModel", "CreateStaging", "SmokeTest", "CreateEndpointConfig"),
            *("GuardEndpoint", "CheckRelease", "EndpointExists", "WaitForEndpoint"),
            *_failed("UpdateEndpoint", "DescribeEndpoint", "ConfirmRelease"),
            *("EndpointSettled", "IsLive", "Released", "RolledBack", "NotReleased"),
        ),
        PLAIN | SERVERLESS | {"CreateEndpoint"},
    ),
    Scenario(
        "a rollback: its configuration and model are there",
        ("GuardEndpoint", "CheckRelease", "UpdateEndpoint", "WaitForEndpoint", "ConfirmRelease"),
        SERVERLESS
        | SHARING
        | {"WhatIsNew>WhereItRuns", "WhatIsNew>EvaluateChampion", "CreateEndpoint"},
    ),
    Scenario(
        "a champion that the verdict does not know",
        _failed(*JUDGING),
        SHARING | {"WhatIsNew>WhereItRuns", "WhatIsNew>GuardEndpoint"},
    ),
    Scenario(
        "a stack in a VPC",
        ("CreateModelInVpc",),
        PLAIN - {"CreateModelInVpc"} | {"WhereItRuns>CreateModel"},
    ),
    Scenario(
        "a person lets versions into production",
        (*_failed("AwaitApproval"), "NotApproved"),
        PLAIN - {"AwaitApproval"} | SERVERLESS | {"NeedsAPerson>IsCaptured"},
    ),
    Scenario(
        "a serverless endpoint: traffic moves to a second one",
        (
            *("CreateUncapturedConfig", "GuardEndpoint", "CreateEndpoint", "EndpointSettled"),
            *_failed("ShiftTraffic", "WatchTraffic"),
            *("WaitForTraffic", "TrafficMoved", "ConfirmRelease", "Released"),
        ),
        PLAIN | {"CreateEndpointConfig", "UpdateEndpoint", "EndpointSettled>ConfirmRelease"},
    ),
    Scenario(
        "an endpoint that several models share: an archive is brought there",
        (
            *_failed("ShareModel"),
            *("WaitForStaging", "DescribeStaging", "StagingReady", "SmokeTest", "SmokeTestPassed"),
            *("NeedsAPerson", "GuardEndpoint", "CheckRelease", "EndpointExists", "ShiftTraffic"),
            *("WaitForTraffic", "WatchTraffic", "TrafficMoved", "ConfirmRelease", "Released"),
        ),
        PLAIN - SHARING | OF_ITS_OWN | {"StagingReady>GuardEndpoint"},
    ),
)


#: Choices that only the plan makes: a walk that wants another way is led there.
PLANNED_CHOICES = frozenset({"WhatIsNew", "WhereItRuns", "NeedsAPerson"})
HELD_SECONDS = 30 * 24 * 3600


def steered(machine: Mapping[str, Any], way: list[Edge], state: str) -> dict[str, Any]:
    """The machine with a walk that ends in a state and stays there, before it does anything.

    States on the way do what they always do, but for jobs, which take long and leave nothing that
    anybody decides by, and for those whose failure leads on, which fail with that error.
    """
    states: dict[str, Any] = {name: dict(each) for name, each in machine["States"].items()}
    for edge in way:
        states[edge.source] = _on_the_way(states[edge.source], edge, states[edge.target]["Type"])
    states[state] = {"Type": "Wait", "Seconds": HELD_SECONDS, "End": True}
    return {**machine, "States": _reachable(machine["StartAt"], states)}


def _reachable(start: str, states: States) -> dict[str, Any]:
    """The states that an execution may enter: the language allows no others."""
    found, ahead = {start}, [start]
    while ahead:
        here = ahead.pop()
        fresh = {edge.target for edge in edges_of(here, states[here])} - found
        found |= fresh
        ahead += sorted(fresh)
    return {name: dict(each) for name, each in states.items() if name in found}


def _on_the_way(state: Mapping[str, Any], edge: Edge, next_type: str) -> dict[str, Any]:
    if edge.error:
        error = "States.TaskFailed" if edge.error == "States.ALL" else edge.error
        failing = {"Type": "Fail", "Error": error, "Cause": "a test"}
        branch = {"StartAt": f"{edge.source} fails", "States": {f"{edge.source} fails": failing}}
        return {"Type": "Parallel", "Branches": [branch], "Catch": state["Catch"], "End": True}
    if state["Type"] == "Choice" and (next_type == "Fail" or edge.source in PLANNED_CHOICES):
        return {"Type": "Pass", "Next": edge.target}
    resource = str(state.get("Resource", ""))
    if resource.endswith("createProcessingJob.sync"):
        done = {"Result": {"job": "none"}, "ResultPath": state["ResultPath"]}
        return {"Type": "Pass", "Next": edge.target, **done}
    if resource.endswith("s3:getObject"):
        found = {"found": {"passed": True, "words": "not looked at", "figures": {}}}
        return {"Type": "Pass", "Next": edge.target, "Result": found,
                "ResultPath": state["ResultPath"]}  # fmt: skip
    return dict(state)
