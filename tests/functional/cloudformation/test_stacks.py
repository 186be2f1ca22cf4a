"""Stacks from birth to end: updates, replacement, rollback, retention, exports, tags, events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.cloudformation.good import GOOD, mutated


def queue(**properties: Any) -> dict[str, Any]:
    """A queue with these properties."""
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def parameter(value: Any, **more: Any) -> dict[str, Any]:
    """An SSM parameter with this value."""
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}, **more}


def broken(after: str) -> dict[str, Any]:
    """A resource that always fails, after another one is there."""
    return {**queue(DelaySeconds=5000), "DependsOn": after}


def attributes(stacks: Stacks, url: str) -> dict[str, str]:
    """A queue's attributes."""
    answer = stacks.cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return dict(answer["Attributes"])


def exists(stacks: Stacks, url: str) -> bool:
    """Whether a queue is there."""
    return url in stacks.cloud.client("sqs").list_queues().get("QueueUrls", [])


def refusal(call: Any, **request: Any) -> str:
    """The words with which a call is refused."""
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value)


def test_dependencies_come_first(stacks: Stacks) -> None:
    """A resource is made after all that it refers to, whatever the template's order."""
    stack = stacks.create({
        "A": parameter({"Fn::Sub": "${B.QueueName} ${C}"}),
        "C": {**queue(), "DependsOn": "B"},
        "B": queue(),
    })  # fmt: skip
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    done = [
        name for name, status in stacks.statuses(stack["StackId"]) if status == "CREATE_COMPLETE"
    ]
    assert done == ["B", "C", "A", stack["StackName"]]


def test_failed_creation_is_rolled_back(stacks: Stacks) -> None:
    """After a failure everything is deleted, and the stack says what failed."""
    stack = stacks.create({"A": queue(), "B": broken("A")})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    history = stacks.statuses(stack["StackId"])
    assert ("A", "CREATE_COMPLETE") in history
    assert ("A", "DELETE_COMPLETE") in history
    states = [status for name, status in history if name == stack["StackName"]]
    assert states == ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
    text = refusal(stacks.client.update_stack, StackName=stack["StackId"], TemplateBody="{}")
    assert "ROLLBACK_COMPLETE state and can not be updated" in text


@pytest.mark.parametrize(
    ("failure", "status", "left"),
    [("DO_NOTHING", "CREATE_FAILED", True), ("DELETE", "DELETE_COMPLETE", False)],
)
def test_on_failure(stacks: Stacks, failure: str, status: str, left: bool) -> None:
    """OnFailure decides whether what was made stays."""
    name = f"onfailure-{failure.lower().replace('_', '-')}"
    stack = stacks.create({"A": queue(QueueName=name), "B": broken("A")}, OnFailure=failure)
    assert stack["StackStatus"] == status
    names = stacks.cloud.client("sqs").list_queues(QueueNamePrefix=name).get("QueueUrls", [])
    assert bool(names) is left


def test_disabled_rollback_leaves_a_stack_that_can_be_mended(stacks: Stacks) -> None:
    """A creation that failed with DisableRollback goes on with the next update."""
    stack = stacks.create({"A": queue(), "B": broken("A")}, DisableRollback=True)
    assert stack["StackStatus"] == "CREATE_FAILED"
    mended = stacks.update(stack["StackId"], {"A": queue(), "B": queue(DelaySeconds=5)})
    assert mended["StackStatus"] == "UPDATE_COMPLETE"


def test_update_in_place_keeps_the_resource(stacks: Stacks) -> None:
    """A changed property is set on the same queue; a removed one returns to its default."""
    stack = stacks.create({"Q": queue(VisibilityTimeout=60, DelaySeconds=3)})
    url = stacks.physical(stack["StackId"], "Q")
    after = stacks.update(stack["StackId"], {"Q": queue(VisibilityTimeout=90)})
    assert after["StackStatus"] == "UPDATE_COMPLETE"
    assert stacks.physical(stack["StackId"], "Q") == url
    found = attributes(stacks, url)
    assert (found["VisibilityTimeout"], found["DelaySeconds"]) == ("90", "0")


def test_replacement_makes_the_new_before_it_deletes_the_old(stacks: Stacks) -> None:
    """A create-only property gives a new queue, its users follow, the old one goes last."""
    first = {"Q": queue(QueueName="replaced-one"), "P": parameter({"Ref": "Q"})}
    stack = stacks.create(first)
    old = stacks.physical(stack["StackId"], "Q")
    second = {"Q": queue(QueueName="replaced-two"), "P": parameter({"Ref": "Q"})}
    stacks.update(stack["StackId"], second)
    new = stacks.physical(stack["StackId"], "Q")
    assert new.endswith("replaced-two")
    assert not exists(stacks, old)
    name = stacks.physical(stack["StackId"], "P")
    assert stacks.cloud.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == new
    events = [
        (e["PhysicalResourceId"], e["ResourceStatus"]) for e in stacks.events(stack["StackId"])
    ]
    assert events.index((old, "DELETE_COMPLETE")) > events.index((new, "CREATE_COMPLETE"))


def test_custom_named_resource_cannot_be_replaced(stacks: Stacks) -> None:
    """Replacing needs a new name, as AWS says."""
    stack = stacks.create({"K": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
        "StateMachineName": "fixed", "RoleArn": "arn:aws:iam::123456789012:role/any",
        "DefinitionString": '{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}'}}})  # fmt: skip
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    changed = {"K": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
        "StateMachineName": "fixed", "RoleArn": "arn:aws:iam::123456789012:role/any",
        "StateMachineType": "EXPRESS",
        "DefinitionString": '{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}'}}}  # fmt: skip
    after = stacks.update(stack["StackId"], changed)
    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing" in stacks.reasons(stack["StackId"])[0]


def test_failed_update_puts_everything_back(stacks: Stacks) -> None:
    """Changed, replaced, new and removed resources are all as before a failed update."""
    before = {
        "Kept": queue(VisibilityTimeout=60),
        "Old": queue(QueueName="back-one"),
        "Gone": queue(),
    }
    stack = stacks.create(before)
    ids = {name: stacks.physical(stack["StackId"], name) for name in before}
    after = stacks.update(stack["StackId"], {
        "Kept": queue(VisibilityTimeout=90),
        "Old": queue(QueueName="back-two"),
        "New": queue(QueueName="back-new"),
        "Bad": {**queue(DelaySeconds=5000), "DependsOn": ["Kept", "Old", "New"]},
    })  # fmt: skip
    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert {name: stacks.physical(stack["StackId"], name) for name in before} == ids
    assert attributes(stacks, ids["Kept"])["VisibilityTimeout"] == "60"
    urls = stacks.cloud.client("sqs").list_queues(QueueNamePrefix="back-")["QueueUrls"]
    assert urls == [ids["Old"]]
    again = stacks.update(stack["StackId"], {**before, "Kept": queue(VisibilityTimeout=70)})
    assert again["StackStatus"] == "UPDATE_COMPLETE"


def test_update_without_changes_is_refused(stacks: Stacks) -> None:
    """UpdateStack says that there is nothing to do; a change set fails with AWS's reason."""
    resources = {"Q": queue(VisibilityTimeout=60)}
    stack = stacks.create(resources)
    body = json.dumps({"Resources": {"Q": queue(VisibilityTimeout="60")}})
    text = refusal(stacks.client.update_stack, StackName=stack["StackId"], TemplateBody=body)
    assert "No updates are to be performed." in text
    stacks.client.create_change_set(
        StackName=stack["StackName"], ChangeSetName="none", TemplateBody=body
    )
    found = stacks.client.describe_change_set(StackName=stack["StackName"], ChangeSetName="none")
    assert found["Status"] == "FAILED"
    assert found["StatusReason"].startswith("The submitted information didn't contain changes.")
    text = refusal(
        stacks.client.execute_change_set, StackName=stack["StackName"], ChangeSetName="none"
    )
    assert "InvalidChangeSetStatus" in text


def test_change_set_shows_and_then_does(stacks: Stacks) -> None:
    """A change set names additions, changes, replacements and removals; executing does them."""
    stack = stacks.create(
        {"A": queue(), "B": queue(QueueName="cs-one"), "C": parameter({"Ref": "B"})}
    )
    body = {"Resources": {"A": queue(DelaySeconds=1), "B": queue(QueueName="cs-two"),
                          "C": parameter({"Ref": "B"}), "D": queue()}}  # fmt: skip
    stacks.client.create_change_set(
        StackName=stack["StackName"], ChangeSetName="one", TemplateBody=json.dumps(body)
    )
    stacks.client.get_waiter("change_set_create_complete").wait(
        StackName=stack["StackName"], ChangeSetName="one"
    )
    found = stacks.client.describe_change_set(StackName=stack["StackName"], ChangeSetName="one")
    changes = {
        item["ResourceChange"]["LogicalResourceId"]: (
            item["ResourceChange"]["Action"],
            item["ResourceChange"].get("Replacement"),
        )
        for item in found["Changes"]
    }
    assert changes == {"A": ("Modify", "False"), "B": ("Modify", "True"),
                       "C": ("Modify", "False"), "D": ("Add", None)}  # fmt: skip
    summaries = stacks.client.list_change_sets(StackName=stack["StackName"])["Summaries"]
    assert [item["ChangeSetName"] for item in summaries] == ["one"]
    stacks.client.execute_change_set(StackName=stack["StackName"], ChangeSetName="one")
    assert stacks.settled(stack["StackId"])["StackStatus"] == "UPDATE_COMPLETE"


def test_change_set_that_creates_can_be_thrown_away(stacks: Stacks) -> None:
    """A stack under review holds nothing, and goes without trace."""
    name = stacks.name()
    answer = stacks.client.create_change_set(
        StackName=name, ChangeSetName="first", ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Q": queue()}}),
    )  # fmt: skip
    shown = stacks.client.describe_stacks(StackName=name)["Stacks"][0]
    assert shown["StackStatus"] == "REVIEW_IN_PROGRESS"
    stacks.client.delete_change_set(ChangeSetName=answer["Id"])
    text = refusal(stacks.client.describe_change_set, ChangeSetName=answer["Id"])
    assert "ChangeSetNotFound" in text
    assert stacks.delete(answer["StackId"])["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    ("policy", "kept_after_rollback", "kept_after_delete"),
    [("Delete", False, False), ("Retain", True, True), ("RetainExceptOnCreate", False, True)],
)
def test_deletion_policy(
    stacks: Stacks, policy: str, kept_after_rollback: bool, kept_after_delete: bool
) -> None:
    """DeletionPolicy decides what a rollback of creation and a deletion leave behind."""
    resource = {**queue(), "DeletionPolicy": policy}
    failed = stacks.create({"Q": resource, "B": broken("Q")})
    first = next(event["PhysicalResourceId"] for event in stacks.events(failed["StackId"])
                 if event["ResourceStatus"] == "CREATE_COMPLETE")  # fmt: skip
    assert exists(stacks, first) is kept_after_rollback
    stack = stacks.create({"Q": resource})
    url = stacks.physical(stack["StackId"], "Q")
    assert stacks.delete(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert exists(stacks, url) is kept_after_delete


@pytest.mark.parametrize(("policy", "kept"), [("Delete", False), ("Retain", True)])
def test_update_replace_policy(stacks: Stacks, policy: str, kept: bool) -> None:
    """UpdateReplacePolicy decides whether a replaced queue stays."""
    names = [f"urp-{policy.lower()}-{number}" for number in (1, 2)]
    stack = stacks.create({"Q": {**queue(QueueName=names[0]), "UpdateReplacePolicy": policy}})
    old = stacks.physical(stack["StackId"], "Q")
    stacks.update(
        stack["StackId"], {"Q": {**queue(QueueName=names[1]), "UpdateReplacePolicy": policy}}
    )
    assert exists(stacks, old) is kept


def test_exports_in_use_hold_their_stack(stacks: Stacks) -> None:
    """An imported export cannot change or go; once nobody imports it, it can."""
    output = {"Url": {"Value": {"Ref": "Q"}, "Export": {"Name": "the-url"}}}
    giver = stacks.create({"Q": queue()}, outputs=output)
    taker = stacks.create({"P": parameter({"Fn::ImportValue": "the-url"})})
    assert taker["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(taker["StackId"])
    assert stacks.client.list_imports(ExportName="the-url")["Imports"] == [taker["StackName"]]
    refused = stacks.delete(giver["StackId"])
    assert refused["StackStatus"] == "DELETE_FAILED"
    words = f"Export the-url cannot be deleted as it is in use by {taker['StackName']}"
    assert refused["StackStatusReason"] == words
    second = stacks.create({"Q": queue()}, outputs=output)
    assert second["StackStatus"] == "ROLLBACK_COMPLETE"
    said = [str(event.get("ResourceStatusReason")) for event in stacks.events(second["StackId"])]
    assert any(f"already exported by stack {giver['StackName']}" in words for words in said)
    stacks.delete(taker["StackId"])
    assert stacks.delete(giver["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_changing_an_export_in_use_is_rolled_back(stacks: Stacks) -> None:
    """An update that would change or drop an imported export fails and changes nothing."""

    def outputs(value: str) -> dict[str, Any]:
        return {"Out": {"Value": value, "Export": {"Name": "held"}}}

    giver = stacks.create({"Q": queue()}, outputs=outputs("one"))
    stacks.create({"P": parameter({"Fn::ImportValue": "held"})})
    changed = stacks.update(giver["StackId"], {"Q": queue()}, outputs=outputs("two"))
    assert changed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert any("Cannot update export held as it is in use by" in str(e.get("ResourceStatusReason"))
               for e in stacks.events(giver["StackId"]))  # fmt: skip
    dropped = stacks.update(giver["StackId"], {"Q": queue(DelaySeconds=1)})
    assert dropped["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert changed["Outputs"][0]["OutputValue"] == "one"


def test_stack_tags_reach_resources(stacks: Stacks) -> None:
    """The stack's tags are on its resources; own tags win; an update changes and removes them."""
    tags = [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "1"}]
    own = [{"Key": "team", "Value": "own"}]
    resources = {"Q": queue(Tags=own), "R": queue()}
    stack = stacks.create(resources, Tags=tags)
    sqs = stacks.cloud.client("sqs")
    urls = {name: stacks.physical(stack["StackId"], name) for name in resources}
    assert sqs.list_queue_tags(QueueUrl=urls["Q"])["Tags"] == {"team": "own", "cost": "1"}
    stacks.update(stack["StackId"], resources, Tags=[{"Key": "team", "Value": "b"}])
    assert sqs.list_queue_tags(QueueUrl=urls["Q"])["Tags"] == {"team": "own"}
    assert sqs.list_queue_tags(QueueUrl=urls["R"])["Tags"] == {"team": "b"}


def test_termination_protection(stacks: Stacks) -> None:
    """A protected stack cannot be deleted until the protection is off."""
    stack = stacks.create({"Q": queue()}, EnableTerminationProtection=True)
    text = refusal(stacks.client.delete_stack, StackName=stack["StackId"])
    assert "TerminationProtection is enabled" in text
    stacks.client.update_termination_protection(
        StackName=stack["StackName"], EnableTerminationProtection=False
    )
    assert stacks.delete(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_bucket_with_objects_fails_deletion(stacks: Stacks) -> None:
    """A bucket that is not empty stops the deletion; RetainResources lets the stack go."""
    stack = stacks.create(mutated("Bucket/Tags", []))
    bucket = stacks.physical(stack["StackId"], "Bucket")
    stacks.cloud.client("s3").put_object(Bucket=bucket, Key="a", Body=b"x")
    failed = stacks.delete(stack["StackId"])
    assert failed["StackStatus"] == "DELETE_FAILED"
    assert "[Bucket]" in failed["StackStatusReason"]
    stacks.client.delete_stack(StackName=stack["StackId"], RetainResources=["Bucket"])
    assert stacks.settled(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def test_deleted_stack_is_found_by_id_only(stacks: Stacks) -> None:
    """After deletion the name is free, and only the id still tells the story."""
    stack = stacks.create({"Q": queue()})
    stacks.delete(stack["StackId"])
    text = refusal(stacks.client.describe_stacks, StackName=stack["StackName"])
    assert f"Stack with id {stack['StackName']} does not exist" in text
    listed = stacks.client.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    assert stack["StackId"] in [item["StackId"] for item in listed]


def test_boto_waiters(stacks: Stacks) -> None:
    """boto3's own waiters for creation, update and deletion are satisfied at their first look."""
    client, name = stacks.client, stacks.name()
    body = {"Resources": {"Q": queue()}}
    client.create_stack(StackName=name, TemplateBody=json.dumps(body))
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    client.get_waiter("stack_exists").wait(StackName=name)
    body["Resources"]["Q"] = queue(DelaySeconds=2)
    client.update_stack(StackName=name, TemplateBody=json.dumps(body))
    client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def test_reading_operations(stacks: Stacks) -> None:
    """Template, summary, resources and exports read back what was deployed."""
    body = {
        "Description": "read me",
        "Parameters": {"Secret": {"Type": "String", "NoEcho": True}},
        "Resources": {"Q": {**queue(), "Metadata": {"a": 1}}, "P": parameter({"Ref": "Secret"})},
        "Outputs": {"Url": {"Value": {"Ref": "Q"}, "Export": {"Name": "read-url"}}},
    }
    stack = stacks.create(
        {}, body=body, Parameters=[{"ParameterKey": "Secret", "ParameterValue": "s3"}]
    )
    client, name = stacks.client, stack["StackName"]
    assert stack["Parameters"] == [{"ParameterKey": "Secret", "ParameterValue": "****"}]
    assert "s3" not in str([event.get("ResourceProperties") for event in stacks.events(name)])
    template = client.get_template(StackName=name)["TemplateBody"]
    assert (template if isinstance(template, dict) else json.loads(template)) == body
    summary = client.get_template_summary(StackName=name)
    assert summary["Description"] == "read me"
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue", "AWS::SSM::Parameter"]
    detail = client.describe_stack_resource(StackName=name, LogicalResourceId="Q")
    assert json.loads(detail["StackResourceDetail"]["Metadata"]) == {"a": 1}
    url = stacks.physical(name, "Q")
    owners = client.describe_stack_resources(PhysicalResourceId=url)["StackResources"]
    assert {item["StackName"] for item in owners} == {name}
    listed = client.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert [item["LogicalResourceId"] for item in listed] == ["P", "Q"]
    exports = {item["Name"]: item["Value"] for item in client.list_exports()["Exports"]}
    assert exports["read-url"] == url


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_type_can_be_made_twice(stacks: Stacks, name: str) -> None:
    """A resource with what it needs is made, left alone by an equal update, and deleted."""
    resources = mutated(f"{name}/ignored", "x")
    del resources[name]["Properties"]["ignored"]
    stack = stacks.create(resources)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    text = refusal(stacks.client.update_stack, StackName=stack["StackId"],
                   TemplateBody=json.dumps({"Resources": resources}),
                   Capabilities=["CAPABILITY_NAMED_IAM"])  # fmt: skip
    assert "No updates" in text
    assert stacks.delete(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
