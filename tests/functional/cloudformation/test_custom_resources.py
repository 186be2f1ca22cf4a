"""Custom resources: what the function is asked, and what its answers do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.cloudformation.good import GOOD

# Notes every request in a parameter store entry and answers as its properties say.
SOURCE = """
import json, os, urllib.request
import boto3

def handler(event, context):
    properties = event["ResourceProperties"]
    ssm = boto3.client("ssm")
    name = "/custom/" + properties["Journal"]
    try:
        seen = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        seen = []
    kept = {key: event.get(key) for key in ("RequestType", "PhysicalResourceId",
            "ResourceProperties", "OldResourceProperties", "ResourceType", "ResponseURL")}
    ssm.put_parameter(Name=name, Type="String", Overwrite=True, Value=json.dumps([*seen, kept]))
    if properties.get("Crash") == "true" and event["RequestType"] != "Delete":
        raise RuntimeError("out of order")
    failing = event["RequestType"] in properties.get("FailOn", "").split()
    answer = {
        "Status": "FAILED" if failing else "SUCCESS", "Reason": "told to fail",
        "StackId": event["StackId"], "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "PhysicalResourceId": properties.get("Id", "one"),
        "Data": {"Answer": properties.get("Value", "42"), "List": ["a", "b"]},
        "NoEcho": properties.get("Hide") == "true",
    }
    if properties.get("Silent") != "true":
        request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(),
                                         method="PUT", headers={"content-type": ""})
        urllib.request.urlopen(request).close()
"""


class Provider:
    """A deployed provider function."""

    def __init__(self, stacks: Stacks, arn: str) -> None:
        self.stacks, self.arn = stacks, arn

    def resource(self, journal: str, **properties: Any) -> dict[str, Any]:
        """A custom resource that notes its requests under `journal`."""
        return {
            "Type": "Custom::Noted",
            "Properties": {"ServiceToken": self.arn, "Journal": journal, **properties},
        }

    def requests(self, journal: str) -> list[dict[str, Any]]:
        """What the function was asked."""
        ssm = self.stacks.cloud.client("ssm")
        text = ssm.get_parameter(Name=f"/custom/{journal}")["Parameter"]["Value"]
        return list(json.loads(text))

    def kinds(self, journal: str) -> list[tuple[str, str | None]]:
        """Request type and physical id of each request."""
        return [
            (item["RequestType"], item["PhysicalResourceId"]) for item in self.requests(journal)
        ]


@pytest.fixture(scope="module")
def provider(stacks: Stacks) -> Provider:
    """The provider function, in a stack of its own."""
    function = {**GOOD["Function"], "Properties": {
        **GOOD["Function"]["Properties"], "Code": {"ZipFile": SOURCE}}}  # fmt: skip
    stack = stacks.create(
        {"Role": GOOD["Role"], "Function": function},
        outputs={"Arn": {"Value": {"Fn::GetAtt": ["Function", "Arn"]}}},
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    return Provider(stacks, stack["Outputs"][0]["OutputValue"])


def test_data_reaches_other_resources(stacks: Stacks, provider: Provider) -> None:
    """Scalars arrive as text, Data answers Fn::GetAtt, and deletion asks with the physical id."""
    stack = stacks.create(
        {"C": provider.resource("data", Number=7, Flag=True, Deep={"List": [1, False]})},
        outputs={"Answer": {"Value": {"Fn::Sub": "${C.Answer} from ${C}"}}},
    )
    assert stack["Outputs"][0]["OutputValue"] == "42 from one"
    stacks.delete(stack["StackId"])
    create, delete = provider.requests("data")
    properties = create["ResourceProperties"]
    assert (properties["Number"], properties["Flag"]) == ("7", "true")
    assert properties["Deep"] == {"List": ["1", "false"]}
    assert create["ResourceType"] == "Custom::Noted"
    assert (delete["RequestType"], delete["PhysicalResourceId"]) == ("Delete", "one")


def test_update_gets_old_and_new_properties(stacks: Stacks, provider: Provider) -> None:
    """An update asks once, with both sets of properties; dependents see the new data."""
    first = {"C": provider.resource("update", Value="1")}
    outputs = {"Answer": {"Value": {"Fn::GetAtt": ["C", "Answer"]}}}
    stack = stacks.create(first, outputs=outputs)
    second = {"C": provider.resource("update", Value="2")}
    after = stacks.update(stack["StackId"], second, outputs=outputs)
    assert after["Outputs"][0]["OutputValue"] == "2"
    asked = provider.requests("update")[-1]
    assert asked["OldResourceProperties"]["Value"] == "1"
    assert asked["ResourceProperties"]["Value"] == "2"


def test_another_physical_id_deletes_the_former(stacks: Stacks, provider: Provider) -> None:
    """A new physical id on update is a replacement: the old one is deleted in the clean-up."""
    stack = stacks.create({"C": provider.resource("replace", Id="old")})
    stacks.update(stack["StackId"], {"C": provider.resource("replace", Id="new")})
    assert stacks.physical(stack["StackId"], "C") == "new"
    kinds = provider.kinds("replace")
    assert kinds == [("Create", None), ("Update", "old"), ("Delete", "old")]
    assert provider.requests("replace")[-1]["ResourceProperties"]["Id"] == "old"


def test_failed_update_is_taken_back(stacks: Stacks, provider: Provider) -> None:
    """When another resource fails, the custom one goes back, and what it had made goes."""
    stack = stacks.create({"C": provider.resource("back", Id="old")})
    bad = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 5000}, "DependsOn": "C"}
    after = stacks.update(stack["StackId"], {"C": provider.resource("back", Id="new"), "B": bad})
    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stacks.physical(stack["StackId"], "C") == "old"
    assert provider.kinds("back") == [
        ("Create", None), ("Update", "old"), ("Update", "new"), ("Delete", "new")]  # fmt: skip


def test_failure_carries_the_reason_and_asks_for_deletion(
    stacks: Stacks, provider: Provider
) -> None:
    """A FAILED answer fails the stack with its reason; the half-made resource is deleted."""
    stack = stacks.create({"C": provider.resource("failed", FailOn="Create")})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "told to fail" in stacks.reasons(stack["StackId"])[0]
    assert [kind for kind, _ in provider.kinds("failed")] == ["Create", "Delete"]


def test_failed_deletion_stops_the_stack(stacks: Stacks, provider: Provider) -> None:
    """A FAILED answer to Delete leaves the stack in DELETE_FAILED."""
    stack = stacks.create({"C": provider.resource("stuck", FailOn="Delete")})
    after = stacks.delete(stack["StackId"])
    assert after["StackStatus"] == "DELETE_FAILED"
    assert "[C]" in after["StackStatusReason"]


def test_function_that_crashes_does_not_hang(stacks: Stacks, provider: Provider) -> None:
    """A function that fails every attempt fails the resource, with the function's own error."""
    stack = stacks.create({"C": provider.resource("crash", Crash=True)})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = stacks.reasons(stack["StackId"])[0]
    assert "did not receive a response" in reason
    assert "out of order" in reason
    assert [kind for kind, _ in provider.kinds("crash")] == ["Create"] * 3


def test_silence_ends_with_the_service_timeout(stacks: Stacks, provider: Provider) -> None:
    """No answer within ServiceTimeout fails the resource."""
    resource = provider.resource("silent", Silent=True, ServiceTimeout=1)
    stack = stacks.create({"C": resource}, OnFailure="DO_NOTHING")
    assert stack["StackStatus"] == "CREATE_FAILED"
    assert "did not receive a response" in stacks.reasons(stack["StackId"])[0]


def test_hidden_data_is_masked(stacks: Stacks, provider: Provider) -> None:
    """NoEcho data is usable, and never shown in events."""
    stack = stacks.create({
        "C": provider.resource("hidden", Hide=True, Value="topsecret-1"),
        "P": {"Type": "AWS::SSM::Parameter", "Properties": {
            "Type": "String", "Value": {"Fn::GetAtt": ["C", "Answer"]}}},
    })  # fmt: skip
    name = stacks.physical(stack["StackId"], "P")
    value = stacks.cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert value == "topsecret-1"
    shown = [event.get("ResourceProperties", "") for event in stacks.events(stack["StackId"])
             if event["LogicalResourceId"] == "P"]  # fmt: skip
    assert shown
    assert not any("topsecret-1" in text for text in shown)


def test_missing_attribute_fails(stacks: Stacks, provider: Provider) -> None:
    """Asking for data that the function did not give fails what asks."""
    stack = stacks.create({
        "C": provider.resource("vendor"),
        "P": {"Type": "AWS::SSM::Parameter", "Properties": {
            "Type": "String", "Value": {"Fn::GetAtt": ["C", "Nothing"]}}},
    })  # fmt: skip
    assert "doesn't contain Nothing attribute" in stacks.reasons(stack["StackId"])[0]


def test_response_url_works_once(stacks: Stacks, provider: Provider) -> None:
    """A used response URL, and an invented one, are refused."""
    stacks.create({"C": provider.resource("once")})
    used = provider.requests("once")[0]["ResponseURL"]
    for url in (used, used[:-5] + "wrong"):
        request = urllib.request.Request(url, b"{}", method="PUT")
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        assert error.value.code == 403
        error.value.close()
