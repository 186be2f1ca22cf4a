"""The language: paths, choices, errors, parallel branches, maps, variables."""

from typing import Any

import pytest


def run(machines: Any, states: dict[str, Any], given: Any = None, **more: Any) -> Any:
    """The end of one execution."""
    return machines.run(states, given, **more)


def test_paths_shape_data_on_its_way(machines: Any) -> None:
    """InputPath, Parameters, ResultPath and OutputPath in their order, and the context object."""
    states = {
        "A": {
            "Type": "Pass",
            "InputPath": "$.in",
            "Parameters": {
                "n.$": "$.n",
                "all.$": "$.list[*].v",
                "who.$": "States.Format('{}:{}', $$.State.Name, $$.Execution.Input.in.n)",
            },
            "ResultPath": "$.made.here",
            "OutputPath": "$.made",
            "End": True,
        }
    }
    found = run(machines, states, {"in": {"n": 1, "list": [{"v": 1}, {"v": 2}]}, "x": 1})
    assert found["output"] == {"here": {"n": 1, "all": [1, 2], "who": "A:1"}}


def test_null_paths_drop_data(machines: Any) -> None:
    """InputPath null is an empty object, ResultPath null keeps the input, OutputPath null drops."""
    keep = {"A": {"Type": "Pass", "Result": 5, "ResultPath": None, "End": True}}
    assert run(machines, keep, {"x": 1})["output"] == {"x": 1}
    empty = {"A": {"Type": "Pass", "InputPath": None, "End": True}}
    assert run(machines, empty, {"x": 1})["output"] == {}
    dropped = {"A": {"Type": "Pass", "OutputPath": None, "End": True}}
    assert run(machines, dropped, {"x": 1})["output"] == {}


EQUALS_X = {"Variable": "$.v", "StringEquals": "x"}


@pytest.mark.parametrize(
    ("rule", "given", "taken"),
    [
        ({"Variable": "$.v", "BooleanEquals": True}, {"v": True}, True),
        ({"Variable": "$.v", "BooleanEquals": True}, {"v": "true"}, False),
        ({"Variable": "$.v", "NumericGreaterThanEquals": 3}, {"v": 3.0}, True),
        ({"Variable": "$.v", "NumericGreaterThanEqualsPath": "$.w"}, {"v": 3, "w": 4}, False),
        ({"Variable": "$.v", "StringMatches": "a*\\*"}, {"v": "abc*"}, True),
        ({"Variable": "$.v", "IsPresent": False}, {}, True),
        ({"Variable": "$.v", "IsNull": True}, {"v": None}, True),
        ({"Variable": "$.v", "IsTimestamp": True}, {"v": "2026-01-01T00:00:00Z"}, True),
        ({"Variable": "$.v", "TimestampLessThan": "2026-01-02T00:00:00Z"},
         {"v": "2026-01-01T23:00:00Z"}, True),
        ({"And": [{"Variable": "$.v", "IsPresent": True}, EQUALS_X]}, {}, False),
        ({"Or": [{"Variable": "$.v", "StringEquals": "y"}, EQUALS_X]}, {"v": "x"}, True),
        ({"Not": {"Variable": "$.v", "StringEquals": "y"}}, {"v": "x"}, True),
    ],
)  # fmt: skip
def test_choices(machines: Any, rule: dict[str, Any], given: Any, taken: bool) -> None:
    """Every operator compares values of its type only."""
    states = {
        "C": {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": True, "End": True},
        "No": {"Type": "Pass", "Result": False, "End": True},
    }
    assert run(machines, states, given)["output"] is taken


def test_choices_without_an_answer_fail(machines: Any) -> None:
    """No match and no Default; a variable that is not there."""
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.v", "NumericEquals": 1, "Next": "E"}]}
    states = {"C": choice, "E": {"Type": "Succeed"}}
    assert run(machines, states, {"v": 2})["error"] == "States.NoChoiceMatched"
    missing = run(machines, states, {})
    assert missing["error"] == "States.Runtime"
    assert "The choice state's condition path references an invalid value" in missing["cause"]


def test_runtime_errors_name_state_and_path_and_are_never_caught(machines: Any) -> None:
    """A path that selects nothing ends the execution in Step Functions' words."""
    states = {
        "T": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True,
                                                  "Parameters": {"x.$": "$.nothing"}}}}
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
            "End": True,
        },
        "Caught": {"Type": "Succeed"},
    }  # fmt: skip
    found = run(machines, states, {"a": 1})
    assert found["error"] == "States.Runtime"
    assert "while executing the state 'P'" in found["cause"]
    assert "The JSONPath '$.nothing' specified for the field 'x.$' could not be" in found["cause"]


def test_intrinsic_failures_can_be_caught(machines: Any) -> None:
    """States.IntrinsicFailure is an ordinary error."""
    inner = {"Type": "Pass", "Parameters": {"x.$": "States.StringToJson($.t)"}, "End": True}
    states = {
        "T": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "P", "States": {"P": inner}}],
            "Catch": [{"ErrorEquals": ["States.IntrinsicFailure"], "Next": "Caught"}],
            "End": True,
        },
        "Caught": {"Type": "Pass", "Result": "caught", "End": True},
    }
    assert run(machines, states, {"t": "{no json"})["output"] == "caught"


def test_parallel_branches_and_their_failures(machines: Any) -> None:
    """Results in order; the first failure ends the others at once."""

    def branch(state: dict[str, Any]) -> dict[str, Any]:
        name = f"B{len(names)}"
        names.append(name)
        return {"StartAt": name, "States": {name: state}}

    names: list[str] = []
    good = [branch({"Type": "Pass", "Result": n, "End": True}) for n in (1, 2)]
    states: dict[str, Any] = {"P": {"Type": "Parallel", "Branches": good, "End": True}}
    assert run(machines, states)["output"] == [1, 2]
    bad = [
        branch({"Type": "Wait", "Seconds": 600, "End": True}),
        branch({"Type": "Fail", "Error": "Refused", "Cause": "too few"}),
    ]
    states = {
        "P": {
            "Type": "Parallel",
            "Branches": bad,
            "Catch": [{"ErrorEquals": ["Refused"], "ResultPath": "$.failure", "Next": "E"}],
            "End": True,
        },
        "E": {"Type": "Succeed"},
    }
    found = run(machines, states, {"x": 1})
    assert found["output"] == {"x": 1, "failure": {"Error": "Refused", "Cause": "too few"}}


def test_a_map_runs_its_items(machines: Any) -> None:
    """ItemsPath, ItemSelector, the item's index, and results in the items' order."""
    states = {
        "M": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 2,
            "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"},
            "ItemProcessor": {
                "StartAt": "P",
                "States": {
                    "P": {
                        "Type": "Pass",
                        "Parameters": {
                            "t.$": "States.Format('{}{}{}', $.k, $.i, $.v)",
                        },
                        "End": True,
                    }
                },
            },
            "ResultPath": "$.made",
            "End": True,
        }
    }
    execution = machines.start(machines.create(states), {"items": ["a", "b", "c"], "k": "k"})
    found = machines.wait(execution)["output"]["made"]
    assert found == [{"t": "k0a"}, {"t": "k1b"}, {"t": "k2c"}]
    assert machines.kinds(execution).count("MapIterationSucceeded") == 3


def test_fail_reads_its_error_and_cause_from_paths(machines: Any) -> None:
    """CausePath may hold an intrinsic function."""
    states = {
        "F": {
            "Type": "Fail",
            "ErrorPath": "$.failure.Error",
            "CausePath": "States.Format('{}: {}', $.failure.Error, $.failure.Cause)",
        }
    }
    found = run(machines, states, {"failure": {"Error": "E1", "Cause": "because"}})
    assert (found["error"], found["cause"]) == ("E1", "E1: because")


def test_variables_are_assigned_and_read(machines: Any) -> None:
    """Assign in one state, `$name` in a later one."""
    states = {
        "A": {"Type": "Pass", "Assign": {"n.$": "$.x", "c": {"k": 1}}, "Next": "B"},
        "B": {"Type": "Pass", "Parameters": {"n.$": "$n", "k.$": "$c.k"}, "End": True},
    }
    assert run(machines, states, {"x": 9})["output"] == {"n": 9, "k": 1}


def test_a_result_that_does_not_fit_its_place(machines: Any) -> None:
    """ResultPath into a text: States.ResultPathMatchFailure."""
    states = {"A": {"Type": "Pass", "Result": 1, "ResultPath": "$.a.b", "End": True}}
    assert run(machines, states, {"a": "text"})["error"] == "States.ResultPathMatchFailure"


def test_endless_loops_end_at_the_histories_limit(machines: Any) -> None:
    """25,000 events are the most, as on AWS."""
    states = {
        "A": {"Type": "Pass", "Next": "C"},
        "C": {"Type": "Choice", "Default": "A",
              "Choices": [{"Variable": "$.never", "IsPresent": True, "Next": "E"}]},
        "E": {"Type": "Succeed"},
    }  # fmt: skip
    found = machines.wait(machines.start(machines.create(states)), seconds=60)
    assert found["status"] == "FAILED"
    assert "25000" in found["cause"]
