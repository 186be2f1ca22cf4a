"""Schemas, patterns and policies: what is accepted and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from local.cloudformation import schema
from local.cloudformation.patterns import pattern_problem
from local.cloudformation.policies import policy_problems
from local.cloudformation.resources import RESOURCE_TYPES
from local.cloudformation.validate import validate
from local.cloudformation.work import inverted, run_graph


@pytest.mark.parametrize("name", sorted(RESOURCE_TYPES))
def test_every_type_follows_its_schema(name: str) -> None:
    """A type carries out only properties that AWS has, and gives only attributes that AWS gives."""
    kind, published = RESOURCE_TYPES[name], schema.schema_of(name)
    properties = set(published["properties"])
    assert kind.carried_out <= properties
    # Some types give attributes from before schemas existed, named like a property.
    known = schema.read_only(name) | properties | {"WebsiteURL", "TopicName", "Name"}
    assert kind.attributes <= known
    assert kind.custom_name is None or kind.custom_name in properties
    if kind.custom_name is not None and kind.type_name != "AWS::IAM::Policy":
        assert [kind.custom_name] in schema.create_only(name)


def test_values_are_converted_as_cloudformation_does() -> None:
    """Text for booleans and numbers, and numbers for text, are accepted and converted."""
    rules = {
        "properties": {
            "Flag": {"type": "boolean"},
            "Size": {"type": "integer"},
            "Share": {"type": "number"},
            "Name": {"type": "string"},
            "Either": {"type": ["object", "string"]},
        }
    }
    given = {"Flag": "true", "Size": "5", "Share": "0.5", "Name": 7, "Either": {"a": 1}}
    converted, errors = validate(given, rules)
    assert not errors
    assert converted == {"Flag": True, "Size": 5, "Share": 0.5, "Name": "7", "Either": {"a": 1}}


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        ({"type": "integer"}, "x", "expected type: Integer, found: String"),
        ({"type": "integer"}, 1.5, "expected type: Integer, found: Number"),
        ({"enum": ["a"]}, "b", "not a valid enum value"),
        ({"const": 1}, 2, "is not 1"),
        ({"pattern": "^a+$"}, "b", "[pattern]"),
        ({"minLength": 2}, "a", "expected minimum length: 2, found: 1"),
        ({"maxLength": 2}, "abc", "expected maximum length: 2, found: 3"),
        ({"minItems": 1}, [], "expected minimum item count: 1, found: 0"),
        ({"maxItems": 1}, [1, 2], "expected maximum item count: 1, found: 2"),
        ({"uniqueItems": True}, [1, 1], "not unique"),
        ({"uniqueKeys": ["k"]}, [{"k": 1}, {"k": 1, "v": 2}], "not unique for k"),
        ({"minimum": 2}, 1, "not greater or equal to 2"),
        ({"maximum": 2}, 3, "not less or equal to 2"),
        ({"multipleOf": 60}, 90, "not a multiple of 60"),
        ({"required": ["k"]}, {}, "required key [k] not found"),
        ({"requiredOr": ["a", "b"]}, {}, "one of the keys [a, b] is required"),
        ({"requiredXor": ["a", "b"]}, {"a": 1, "b": 1}, "exactly one of the keys"),
        ({"dependentExcluded": {"a": ["b"]}}, {"a": 1, "b": 1}, "not permitted together"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "required key [b]"),
        ({"additionalProperties": False}, {"x": 1}, "extraneous key [x]"),
        ({"propertyNames": {"not": {"enum": ["x"]}}}, {"x": 1}, "key [x] is not permitted"),
        ({"anyOf": [{"minimum": 5}, {"maximum": 1}]}, 3, "no subschema matched"),
        ({"oneOf": [{"minimum": 1}, {"maximum": 9}]}, 3, "2 subschemas matched"),
        ({"allOf": [{"minimum": 1}, {"minimum": 5}]}, 3, "not greater or equal to 5"),
        ({"not": {"enum": [3]}}, 3, "not permitted"),
        ({"if": {"minimum": 2}, "then": {"maximum": 2}}, 3, "not less or equal to 2"),
        ({"if": {"minimum": 5}, "else": {"maximum": 2}}, 3, "not less or equal to 2"),
        ({"items": {"type": "string"}}, [[]], "#/V/0: expected type: String"),
        ({"$ref": "#/definitions/D"}, "b", "not a valid enum value"),
        ({"properties": {"a": False}}, {"a": 1}, "not permitted here"),
    ],
)
def test_each_keyword_refuses(rule: dict[str, Any], value: Any, words: str) -> None:
    """Every keyword of the schemas that we use finds its violation, and names the place."""
    schema_document = {"properties": {"V": rule}, "definitions": {"D": {"enum": ["a"]}}}
    _, errors = validate({"V": value}, schema_document)
    assert errors
    assert words in errors[0]
    assert errors[0].startswith("#/V")


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"detail": {"size": [{"numeric": [">", 1, "<=", 5]}], "x": [{"exists": False}]}},
        {"detail": {"$or": [{"a": ["1"]}, {"b": [{"anything-but": {"prefix": "x"}}]}]}},
        {"a": [None, True, 1, {"suffix": {"equals-ignore-case": ".CSV"}}, {"wildcard": "a*b"}]},
    ],
)
def test_patterns(pattern: Any) -> None:
    """Patterns of AWS's guide are accepted."""
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        {}, [], {"source": "aws.s3"}, {"source": []}, {"detail": {}}, {"a": [["b"]]},
        {"a": [{"startsWith": "x"}]}, {"a": [{"prefix": "x", "suffix": "y"}]},
        {"a": [{"numeric": [">"]}]}, {"a": [{"exists": "yes"}]}, {"$or": [{"a": ["b"]}]},
    ],
)  # fmt: skip
def test_patterns_that_are_refused(pattern: Any) -> None:
    """Each way to be wrong is found."""
    assert pattern_problem(pattern)


@pytest.mark.parametrize(
    ("change", "identity", "words"),
    [
        ({"Effect": "Maybe"}, True, "Effect"),
        ({"Action": None}, True, "must contain actions"),
        ({"Resource": "bucket"}, True, "ARN format"),
        ({"Condition": "x"}, True, "Condition"),
        ({"Extra": 1}, True, "unknown element Extra"),
        ({}, False, "Principal"),
    ],
)
def test_policies(change: dict[str, Any], identity: bool, words: str) -> None:
    """One wrong element of a statement is named."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    assert not policy_problems({"Statement": [statement]}, identity=True)
    changed = {key: value for key, value in {**statement, **change}.items() if value is not None}
    assert any(words in text for text in policy_problems({"Statement": changed}, identity=identity))


def test_policy_without_version_is_accepted_and_repeated_sids_are_not() -> None:
    """As IAM: Version may be left out, a Sid may not come twice."""
    statement = {"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}
    assert not policy_problems({"Statement": [statement]}, identity=True)
    assert policy_problems({"Statement": [statement, statement]}, identity=True)
    assert policy_problems("{", identity=True)


def test_graph_runs_in_order_and_stops_after_a_failure() -> None:
    """Work follows the graph; after a failure nothing new starts, unless told to go on."""
    needs = {"a": set(), "b": {"a"}, "c": {"b"}, "d": set[str]()}
    done: list[str] = []
    assert run_graph(needs, lambda name: done.append(name) is None) == []
    assert done.index("a") < done.index("b") < done.index("c")
    done.clear()
    assert run_graph(needs, lambda name: (done.append(name), name != "b")[1]) == ["b"]
    assert "c" not in done
    assert inverted(needs) == {"a": {"b"}, "b": {"c"}, "c": set(), "d": set()}
