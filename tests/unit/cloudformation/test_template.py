"""Templates as text and structure: what is read, and what is refused in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from local.cloudformation.errors import TemplateError, UnsupportedError
from local.cloudformation.intrinsics import KNOWN_AFTER_APPLY
from local.cloudformation.parameters import ParameterValue, resolve_parameters
from local.cloudformation.parse import parse_template
from local.cloudformation.sam import apply_transforms
from local.cloudformation.scope import PreviewScope
from local.cloudformation.stacks import Plan, Stack, Store
from local.cloudformation.template import Template, check_structure, prepare

PSEUDO = {"AWS::Region": "eu-west-1", "AWS::StackName": "demo"}
QUEUE = {"Type": "AWS::SQS::Queue"}


def prepared(**sections: Any) -> Template:
    """A prepared template of these sections."""
    return prepare({"Resources": {"Q": QUEUE}, **sections}, {}, PSEUDO)


def test_short_forms() -> None:
    """Every short form becomes its long one, nested ones too; dates stay text."""
    document = parse_template(
        "AWSTemplateFormatVersion: 2010-09-09\n"
        "A: !Ref B\nC: !GetAtt D.E.F\nG: !Sub '${H}-x'\nI: !If [J, !Ref K, !Ref 'AWS::NoValue']\n"
        "L: !And [!Condition M, !Equals [a, b]]\nN: !Join [',', !Split ['-', a-b]]\n"
    )
    assert document == {
        "AWSTemplateFormatVersion": "2010-09-09",
        "A": {"Ref": "B"},
        "C": {"Fn::GetAtt": ["D", "E.F"]},
        "G": {"Fn::Sub": "${H}-x"},
        "I": {"Fn::If": ["J", {"Ref": "K"}, {"Ref": "AWS::NoValue"}]},
        "L": {"Fn::And": [{"Condition": "M"}, {"Fn::Equals": ["a", "b"]}]},
        "N": {"Fn::Join": [",", {"Fn::Split": ["-", "a-b"]}]},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON not well-formed. (line 1, column 2)"),
        ("a: [", "YAML not well-formed"),
        ("- a", "unsupported structure"),
        ("A: 1\nA: 2", "duplicate key 'A' (line 2)"),
    ],
)
def test_text_that_is_no_template(text: str, words: str) -> None:
    """Malformed text is refused with its place."""
    with pytest.raises(TemplateError) as error:
        parse_template(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "At least one Resources member must be defined"),
        ({"Resources": {"Q": QUEUE}, "Resurces": {}}, "Invalid template property"),
        ({"Resources": {"Q": QUEUE}, "AWSTemplateFormatVersion": "2011"}, "not a supported value"),
        ({"Resources": {"Q-1": QUEUE}}, "Resource name Q-1 is non alphanumeric"),
        ({"Resources": {"Q": {"Properties": {}}}}, "must contain a Type member"),
        ({"Resources": {"Q": {**QUEUE, "Propertys": {}}}}, "resource property 'Propertys'"),
        ({"Resources": {"Q": {**QUEUE, "DeletionPolicy": "Keep"}}}, "Unrecognized DeletionPolicy"),
        (
            {"Resources": {"Q": {**QUEUE, "DeletionPolicy": {"Ref": "P"}}}},
            "Every DeletionPolicy member must be a string",
        ),
        ({"Resources": {"Q": QUEUE}, "Outputs": {"O": {}}}, "must contain a Value"),
        ({"Resources": {f"Q{n}": QUEUE for n in range(501)}}, "greater than maximum allowed, 500"),
    ],
)
def test_structure(document: dict[str, Any], words: str) -> None:
    """What CloudFormation refuses before it looks at properties is refused here."""
    with pytest.raises(TemplateError) as error:
        check_structure(document, transformed=True)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"Resources": {"Q": QUEUE}, "Rules": {}}, "Rules"),
        ({"Resources": {"Q": QUEUE}, "Hooks": {}}, "Hooks"),
        ({"Resources": {"Q": {**QUEUE, "UpdatePolicy": {}}}}, "UpdatePolicy"),
        ({"Resources": {"Q": {**QUEUE, "DeletionPolicy": "Snapshot"}}}, "Snapshot"),
    ],
)
def test_unsupported_parts_are_refused_by_name(document: dict[str, Any], name: str) -> None:
    """What AWS has and we do not is never ignored."""
    with pytest.raises(UnsupportedError) as error:
        check_structure(document, transformed=True)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"A": {**QUEUE, "DependsOn": "B"}, "B": {**QUEUE, "DependsOn": "A"}},
            "Circular dependency between resources: [A, B]",
        ),
        (
            {
                "A": {**QUEUE, "Properties": {"QueueName": {"Fn::Sub": "${B.QueueName}x"}}},
                "B": {**QUEUE, "Properties": {"QueueName": {"Ref": "A"}}},
                "C": {**QUEUE, "DependsOn": "A"},
                "D": QUEUE,
            },
            "Circular dependency between resources: [A, B]",
        ),
        (
            {"A": {**QUEUE, "Properties": {"QueueName": {"Ref": "Missing"}}}},
            "Unresolved resource dependencies [Missing] in the Resources block",
        ),
        (
            {"A": {**QUEUE, "Properties": {"QueueName": {"Fn::GetAtt": ["Missing", "Arn"]}}}},
            "Fn::GetAtt references undefined resource Missing",
        ),
        (
            {"A": {**QUEUE, "DependsOn": ["Missing"]}},
            "Unresolved resource dependencies [Missing]",
        ),
        (
            {"A": {**QUEUE, "Properties": {"QueueName": {"Fn::If": ["No", "a", "b"]}}}},
            "Unresolved condition dependency No",
        ),
    ],
)
def test_references(resources: dict[str, Any], words: str) -> None:
    """Cycles and dangling references are refused in AWS's words."""
    with pytest.raises(TemplateError) as error:
        prepare({"Resources": resources}, {}, PSEUDO)
    assert words in str(error.value)


def test_conditions_leave_out_and_break_cycles() -> None:
    """A resource whose condition fails is not there, and untaken branches do not count."""
    template = prepared(
        Conditions={
            "Never": {"Fn::Equals": ["a", "b"]},
            "Always": {"Fn::Not": [{"Condition": "Never"}]},
        },
        Resources={
            "Gone": {**QUEUE, "Condition": "Never"},
            "A": {**QUEUE, "Properties": {"QueueName": {"Fn::If": ["Never", {"Ref": "B"}, "x"]}}},
            "B": {**QUEUE, "DependsOn": ["A", "Gone"]},
        },
    )
    assert sorted(template.resources) == ["A", "B"]
    assert template.dependencies("B") == {"A"}
    assert template.dependencies("A") == set()


def test_circular_conditions() -> None:
    """Conditions that need each other are refused."""
    with pytest.raises(TemplateError, match="circular condition dependency"):
        prepared(
            Conditions={
                "A": {"Fn::Not": [{"Condition": "B"}]},
                "B": {"Fn::Not": [{"Condition": "A"}]},
            }
        )


class _Cloud:
    """The two facts that a scope asks of a cloud."""

    account, region = "123456789012", "eu-west-1"


def evaluate(value: Any, **sections: Any) -> Any:
    """Evaluate a value in a template with parameters, mappings, and a stack without resources."""
    parameters = {
        "List": ParameterValue("List", "a,b", ["a", "b"]),
        "Name": ParameterValue("Name", "x", "x"),
    }
    template = prepare({"Resources": {"Q": QUEUE}, **sections}, parameters, PSEUDO)
    store = Store("eu-west-1", "123456789012")
    stack: Stack = store.add("demo", "CREATE_IN_PROGRESS")
    plan = Plan("", template.document, template, parameters, {}, [])
    scope = PreviewScope(_Cloud(), store, stack, plan)  # type: ignore[arg-type]
    return scope.evaluator.evaluate(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Name"}, "x"),
        ({"Fn::Sub": ["${AWS::Region}/${Name}/${!Kept}/${V}", {"V": {"Ref": "Name"}}]},
         "eu-west-1/x/${Kept}/x"),
        ({"Fn::Join": ["-", {"Ref": "List"}]}, "a-b"),
        ({"Fn::Select": ["1", {"Fn::Split": ["/", "a/b/c"]}]}, "b"),
        ({"Fn::FindInMap": ["M", {"Ref": "Name"}, "K"]}, 7),
        ({"Fn::Base64": "hi"}, "aGk="),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"Fn::If": ["Yes", "y", "n"]}, "y"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
         {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
        ({"Ref": "Q"}, KNOWN_AFTER_APPLY),
        ({"Fn::Sub": "${Q.Arn}/x"}, f"{KNOWN_AFTER_APPLY}/x"),
    ],
)  # fmt: skip
def test_functions(value: Any, expected: Any) -> None:
    """Each intrinsic function gives what the reference says."""
    sections = {"Mappings": {"M": {"x": {"K": 7}}}, "Conditions": {"Yes": {"Fn::Equals": [1, "1"]}}}
    assert evaluate(value, **sections) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, "Fn::Cidr"),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, "Fn::Transform"),
        ({"Fn::Length": []}, "Fn::Length"),
        ({"Fn::Join": "a"}, "every Fn::Join object requires two parameters"),
        ({"Fn::Select": [5, ["a"]]}, "nonexistent value at index 5"),
        ({"Fn::FindInMap": ["M", "x", "K"]}, "Mapping named 'M'"),
        ({"Fn::ImportValue": "nothing"}, "No export named nothing found"),
        ({"Fn::GetAtt": "Q"}, "two non-empty parameters"),
    ],
)
def test_functions_that_are_refused(value: Any, words: str) -> None:
    """Malformed and unsupported functions are refused by name."""
    with pytest.raises((TemplateError, UnsupportedError)) as error:
        evaluate(value)
    assert words in str(error.value)


DECLARED: dict[str, Any] = {
    "Size": {"Type": "Number", "MinValue": 1, "MaxValue": 9, "Default": 3},
    "Stage": {"Type": "String", "AllowedValues": ["dev", "prod"], "Default": "dev"},
    "Name": {
        "Type": "String",
        "AllowedPattern": "[a-z]+",
        "ConstraintDescription": "small letters",
    },
    "List": {"Type": "CommaDelimitedList", "Default": "a, b"},
}


def give(**values: str) -> list[dict[str, Any]]:
    """Parameters as a request has them."""
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def test_parameters() -> None:
    """Defaults, lists and previous values are resolved."""
    given = [*give(Name="abc"), {"ParameterKey": "Stage", "UsePreviousValue": True}]
    found = resolve_parameters(DECLARED, given, {"Stage": "prod"}, str)
    assert {key: item.value for key, item in found.items()} == {
        "Size": "3", "Stage": "prod", "Name": "abc", "List": ["a", "b"]}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (give(), "Parameters: [Name] must have values"),
        (give(Name="abc", Other="1"), "Parameters: [Other] do not exist in the template"),
        (give(Name="ABC"), "Parameter Name failed to satisfy constraint: small letters"),
        (give(Name="abc", Size="10"), "'Size' must be a number not greater than 9"),
        (give(Name="abc", Size="ten"), "'Size' must be a number"),
        (give(Name="abc", Stage="test"), "'Stage' must be one of AllowedValues"),
        ([{"ParameterKey": "Name", "UsePreviousValue": True}], "Cannot specify usePreviousValue"),
    ],
)
def test_parameters_that_are_refused(given: list[dict[str, Any]], words: str) -> None:
    """Values outside their declaration are refused in AWS's words."""
    with pytest.raises(TemplateError) as error:
        resolve_parameters(DECLARED, given, {}, str)
    assert words in str(error.value)


def test_parameter_types_of_other_services() -> None:
    """Types that look a resource up are refused by name; stored values are read."""
    with pytest.raises(UnsupportedError, match="AWS::EC2::VPC::Id"):
        resolve_parameters({"V": {"Type": "AWS::EC2::VPC::Id"}}, give(V="vpc-1"), {}, str)
    declared = {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a"}}
    found = resolve_parameters(declared, [], {}, lambda name: f"stored in {name}")
    assert found["P"].value == "stored in /a"


def test_transform_is_offline_and_lists_its_errors() -> None:
    """SAM resources become CloudFormation's; the translator's errors are passed on."""
    function = {"Type": "AWS::Serverless::Function", "Properties": {
        "InlineCode": "def handler(event, context): pass", "Handler": "index.handler",
        "Runtime": "python3.13"}}  # fmt: skip
    document = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function}}
    found = apply_transforms(document, {}, "eu-west-1")
    kinds = sorted(body["Type"] for body in found["Resources"].values())
    assert kinds == ["AWS::IAM::Role", "AWS::Lambda::Function"]
    del function["Properties"]["Runtime"]  # type: ignore[attr-defined]
    function["Properties"]["Events"] = {"E": {"Type": "Pigeon"}}  # type: ignore[index]
    with pytest.raises(TemplateError, match=r"Transform AWS::Serverless-2016-10-31 failed with"):
        apply_transforms(document, {}, "eu-west-1")
    with pytest.raises(UnsupportedError, match="AWS::LanguageExtensions"):
        apply_transforms({**document, "Transform": ["AWS::LanguageExtensions"]}, {}, "eu-west-1")
