"""Requests: capabilities, template sources, what is refused by name, and paging."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloudformation.resources.functions import UNZIPPED_LIMIT
from tests.functional.cloudformation.conftest import CAPABILITIES, Stacks
from tests.functional.cloudformation.good import GOOD

QUEUE = {"Type": "AWS::SQS::Queue"}
NAMED_ROLE = {
    **GOOD["Role"],
    "Properties": {**GOOD["Role"]["Properties"], "RoleName": "a-name"},
}
SERVERLESS = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {"T": {"Type": "AWS::Serverless::SimpleTable"}},
}


def refused(call: Any, **request: Any) -> ClientError:
    """The error that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value


def code(error: ClientError) -> str:
    """An error's code."""
    return str(error.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("body", "given", "needed"),
    [
        ({"Resources": {"R": GOOD["Role"]}}, [], "CAPABILITY_IAM"),
        ({"Resources": {"R": NAMED_ROLE}}, ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
        (SERVERLESS, [], "CAPABILITY_AUTO_EXPAND"),
    ],
)
def test_capabilities(stacks: Stacks, body: Any, given: list[str], needed: str) -> None:
    """IAM resources, named ones, and macros need the caller's word; nothing is made without."""
    name = stacks.name()
    error = refused(
        stacks.client.create_stack,
        StackName=name,
        TemplateBody=json.dumps(body),
        Capabilities=given,
    )
    assert code(error) == "InsufficientCapabilitiesException"
    assert f"Requires capabilities : [{needed}]" in str(error)
    assert "does not exist" in str(refused(stacks.client.describe_stacks, StackName=name))


def test_change_set_of_a_macro_needs_no_auto_expand(stacks: Stacks) -> None:
    """A change set shows the expanded template first, so it needs no CAPABILITY_AUTO_EXPAND."""
    name, body = stacks.name(), json.dumps(SERVERLESS)
    stacks.client.create_change_set(
        StackName=name, ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=body
    )
    found = stacks.client.describe_change_set(StackName=name, ChangeSetName="c")
    assert found["Status"] == "CREATE_COMPLETE"
    assert found["Changes"][0]["ResourceChange"]["ResourceType"] == "AWS::DynamoDB::Table"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "AWS::EC2::Instance",
            "The resource type AWS::EC2::Instance is not supported by the local",
        ),
        ("AWS::SQS::Qeue", "Unrecognized resource types: [AWS::SQS::Qeue]"),
    ],
)
def test_unknown_types_fail_by_name(stacks: Stacks, kind: str, words: str) -> None:
    """A type that we do not have, or that nobody has, is refused before anything starts."""
    body = json.dumps({"Resources": {"Q": QUEUE, "X": {"Type": kind}}})
    error = refused(stacks.client.create_stack, StackName=stacks.name(), TemplateBody=body)
    assert code(error) == "ValidationError"
    assert words in str(error)


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Colour", "resource Q does not support attribute type Colour in Fn::GetAtt"),
    ],
)
def test_unknown_attributes_fail_by_name(stacks: Stacks, attribute: str, words: str) -> None:
    """Fn::GetAtt of an attribute that the type does not have is refused."""
    body = {
        "Resources": {"Q": QUEUE},
        "Outputs": {"O": {"Value": {"Fn::GetAtt": ["Q", attribute]}}},
    }
    error = refused(
        stacks.client.create_stack, StackName=stacks.name(), TemplateBody=json.dumps(body)
    )
    assert words in str(error)


@pytest.mark.parametrize(
    ("request_part", "name"),
    [
        ({"NotificationARNs": ["arn:aws:sns:eu-west-1:123456789012:x"]}, "NotificationARNs"),
        ({"TimeoutInMinutes": 5}, "TimeoutInMinutes"),
        ({"StackPolicyBody": "{}"}, "StackPolicyBody"),
        ({"RollbackConfiguration": {"MonitoringTimeInMinutes": 5}}, "RollbackConfiguration"),
    ],
)
def test_parameters_without_effect_are_refused(
    stacks: Stacks, request_part: dict[str, Any], name: str
) -> None:
    """A request parameter that we do not carry out is named, not ignored."""
    body = json.dumps({"Resources": {"Q": QUEUE}})
    request = {"StackName": stacks.name(), "TemplateBody": body, **request_part}
    error = refused(stacks.client.create_stack, **request)
    assert f"The parameter {name} of CreateStack is not supported" in str(error)


@pytest.mark.parametrize(
    ("operation", "request_part"),
    [
        ("continue_update_rollback", {"StackName": "x"}),
        ("detect_stack_drift", {"StackName": "x"}),
        ("set_stack_policy", {"StackName": "x"}),
        ("list_stack_sets", {}),
    ],
)
def test_other_operations_fail_by_name(
    stacks: Stacks, operation: str, request_part: dict[str, Any]
) -> None:
    """An operation that we do not have says so."""
    error = refused(getattr(stacks.client, operation), **request_part)
    assert code(error) == "NotImplemented"
    assert operation in str(error)


def test_template_from_s3(stacks: Stacks) -> None:
    """TemplateURL is read from our own S3, path style and virtual style, versions included."""
    s3 = stacks.cloud.client("s3")
    s3.create_bucket(
        Bucket="templates-here", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    s3.put_object(
        Bucket="templates-here",
        Key="a b/t.json",
        Body=json.dumps({"Resources": {"Q": QUEUE}}).encode(),
    )
    for url in (
        f"{stacks.cloud.endpoint}/templates-here/a%20b/t.json",
        "https://templates-here.s3.eu-west-1.amazonaws.com/a%20b/t.json",
        "https://s3.eu-west-1.amazonaws.com/templates-here/a%20b/t.json",
    ):
        answer = stacks.client.validate_template(TemplateURL=url)
        assert answer["Parameters"] == []
    for url, words in (
        ("https://example.com/t.json", "TemplateURL must be a supported URL"),
        (f"{stacks.cloud.endpoint}/templates-here/none", "S3 error"),
    ):
        assert words in str(refused(stacks.client.validate_template, TemplateURL=url))
    large = json.dumps({"Resources": {"Q": QUEUE}, "Description": "x" * 51_200})
    assert "51200" in str(refused(stacks.client.validate_template, TemplateBody=large))


def test_names_and_states(stacks: Stacks) -> None:
    """Names follow AWS's pattern, and are taken once."""
    body = json.dumps({"Resources": {"Q": QUEUE}})
    error = refused(stacks.client.create_stack, StackName="1-digit", TemplateBody=body)
    assert "[a-zA-Z][-a-zA-Z0-9]*" in str(error)
    stack = stacks.create({"Q": QUEUE})
    error = refused(stacks.client.create_stack, StackName=stack["StackName"], TemplateBody=body)
    assert code(error) == "AlreadyExistsException"
    error = refused(
        stacks.client.create_change_set,
        StackName=stack["StackName"],
        ChangeSetName="c",
        ChangeSetType="CREATE",
        TemplateBody=body,
    )
    assert "already exists and cannot be created again" in str(error)
    error = refused(
        stacks.client.create_change_set,
        StackName="no-such-stack",
        ChangeSetName="c",
        TemplateBody=body,
    )
    assert "Stack [no-such-stack] does not exist" in str(error)


def test_failed_transform_fails_the_change_set(stacks: Stacks) -> None:
    """A SAM error is the change set's reason, as sam shows it."""
    body = {**SERVERLESS, "Resources": {"F": {"Type": "AWS::Serverless::Function",
                                              "Properties": {"CodeUri": 5}}}}  # fmt: skip
    name = stacks.name()
    stacks.client.create_change_set(
        StackName=name, ChangeSetName="c", ChangeSetType="CREATE",
        TemplateBody=json.dumps(body), Capabilities=CAPABILITIES,
    )  # fmt: skip
    found = stacks.client.describe_change_set(StackName=name, ChangeSetName="c")
    assert found["Status"] == "FAILED"
    assert found["StatusReason"].startswith("Transform AWS::Serverless-2016-10-31 failed with")
    assert "[F]" in found["StatusReason"]


def test_events_are_paged_and_ordered(stacks: Stacks) -> None:
    """More than a page of events comes back whole, the latest first, no two at one time."""
    stack = stacks.create({f"Q{number}": QUEUE for number in range(60)})
    pages = list(
        stacks.client.get_paginator("describe_stack_events").paginate(StackName=stack["StackName"])
    )
    events = [event for page in pages for event in page["StackEvents"]]
    assert len(pages) == 2
    assert len(events) == 122
    times = [event["Timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)
    assert (events[0]["LogicalResourceId"], events[0]["ResourceStatus"]) == (
        stack["StackName"],
        "CREATE_COMPLETE",
    )


def test_layer_that_unpacks_to_too_much(stacks: Stacks) -> None:
    """A layer whose content passes Lambda's 250 MB is refused, however small its archive."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package,
        package.open("python/zeros", "w", force_zip64=True) as member,
    ):
        for _ in range(UNZIPPED_LIMIT // 2**20 + 1):
            member.write(bytes(2**20))
    s3 = stacks.cloud.client("s3")
    s3.create_bucket(
        Bucket="layer-here", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    s3.put_object(Bucket="layer-here", Key="big.zip", Body=packed.getvalue())
    layer = {"Type": "AWS::Lambda::LayerVersion", "Properties": {
        "Content": {"S3Bucket": "layer-here", "S3Key": "big.zip"}}}  # fmt: skip
    stack = stacks.create({"L": layer}, OnFailure="DELETE")
    assert (
        "Unzipped size must be smaller than 262144000 bytes" in stacks.reasons(stack["StackId"])[0]
    )
