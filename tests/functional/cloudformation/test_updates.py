"""In-place updates, type by type: what the template changes is changed on the service."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.functional.cloudformation.conftest import Stacks
from tests.functional.cloudformation.good import GOOD

Client = Callable[[str], Any]
Read = Callable[[Client, str], Any]


def _tags(service: str, call: str, key: str, answer: str) -> Read:
    """Reads a resource's tags as a sorted list of pairs."""

    def read(client: Client, physical_id: str) -> Any:
        tags = getattr(client(service), call)(**{key: physical_id})[answer]
        if isinstance(tags, dict):
            return sorted(tags.items())
        plain = [{name.removeprefix("Tag").lower(): tag[name] for name in tag} for tag in tags]
        return sorted((tag["key"], tag["value"]) for tag in plain)

    return read


def _queue(name: str) -> Read:
    return lambda client, url: (
        client("sqs")
        .get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        .get(name)
    )


def _function(name: str) -> Read:
    return lambda client, function: (
        client("lambda").get_function_configuration(FunctionName=function).get(name)
    )


def _invoke(client: Client, function: str) -> Any:
    answer = client("lambda").invoke(FunctionName=function, Payload=b"{}")
    return json.loads(answer["Payload"].read())


def _table(client: Client, name: str) -> Any:
    return client("dynamodb").describe_table(TableName=name)["Table"]


def _rule(name: str) -> Read:
    return lambda client, rule: client("events").describe_rule(Name=rule).get(name)


def _targets(client: Client, rule: str) -> Any:
    targets = client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return sorted(target["Id"] for target in targets)


def _alarm(name: str) -> Read:
    return lambda client, alarm: (
        client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0].get(name)
    )


def _machine(client: Client, arn: str) -> Any:
    found = client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    return json.loads(found["definition"])["Comment"]


def _group(client: Client, name: str) -> Any:
    groups = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return groups[0].get("retentionInDays")


def _trusted(client: Client, name: str) -> Any:
    document = client("iam").get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    return document["Statement"][0]["Principal"]["Service"]


def _inline_of(client: Client, name: str) -> Any:
    return client("iam").list_role_policies(RoleName=name)["PolicyNames"]


def _schedule(group_in: str, name: str) -> Read:
    del group_in

    def read(client: Client, schedule: str) -> Any:
        found = [item for item in client("scheduler").list_schedules()["Schedules"]
                 if item["Name"] == schedule]  # fmt: skip
        return client("scheduler").get_schedule(Name=schedule, GroupName=found[0]["GroupName"])[
            name
        ]

    return read


def _bucket(call: str, answer: str) -> Read:
    return lambda client, bucket: getattr(client("s3"), call)(Bucket=bucket).get(answer)


def _eventbridge(client: Client, bucket: str) -> Any:
    found = client("s3").get_bucket_notification_configuration(Bucket=bucket)
    return "EventBridgeConfiguration" in found


TRUST = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sts:AssumeRole"}]}  # fmt: skip
POLICY = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
MACHINE = {"Comment": "two", "StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
INDEX = [{"IndexName": "by-sk", "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
          "Projection": {"ProjectionType": "ALL"}}]  # fmt: skip
A, B = {"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}
TAGS = [("a", "1"), ("b", "2")]

# (place, value before (None: absent), value after (None: removed), reader, before, after)
CASES: list[tuple[str, Any, Any, Read, Any, Any]] = [
    ("Bucket/VersioningConfiguration/Status", "Enabled", "Suspended",
     _bucket("get_bucket_versioning", "Status"), "Enabled", "Suspended"),
    ("Bucket/Tags", [A], [A, B], _tags("s3", "get_bucket_tagging", "Bucket", "TagSet"),
     TAGS[:1], TAGS),
    ("Bucket/NotificationConfiguration/EventBridgeConfiguration/EventBridgeEnabled", True, False,
     _eventbridge, True, False),
    ("Table/DeletionProtectionEnabled", True, None,
     lambda c, n: _table(c, n)["DeletionProtectionEnabled"], True, False),
    ("Table/GlobalSecondaryIndexes", None, INDEX,
     lambda c, n: [i["IndexName"] for i in _table(c, n).get("GlobalSecondaryIndexes", [])],
     [], ["by-sk"]),
    ("Table/TimeToLiveSpecification/Enabled", True, False,
     lambda c, n: c("dynamodb").describe_time_to_live(TableName=n)["TimeToLiveDescription"][
         "TimeToLiveStatus"], "ENABLED", "DISABLED"),
    ("Queue/DelaySeconds", 5, None, _queue("DelaySeconds"), "5", "0"),
    ("Queue/MessageRetentionPeriod", None, 600, _queue("MessageRetentionPeriod"), "345600", "600"),
    ("Queue/Tags", [A, B], [A], _tags("sqs", "list_queue_tags", "QueueUrl", "Tags"),
     TAGS, TAGS[:1]),
    ("Topic/DisplayName", "one", "two", lambda c, n: c("sns").get_topic_attributes(TopicArn=n)[
        "Attributes"]["DisplayName"], "one", "two"),
    ("Topic/Tags", [A], [B], _tags("sns", "list_tags_for_resource", "ResourceArn", "Tags"),
     TAGS[:1], TAGS[1:]),
    ("Subscription/RawMessageDelivery", True, None,
     lambda c, n: c("sns").get_subscription_attributes(SubscriptionArn=n)["Attributes"].get(
         "RawMessageDelivery"), "true", "false"),
    ("SchedulerRole/AssumeRolePolicyDocument", None, TRUST, _trusted, "scheduler.amazonaws.com",
     "events.amazonaws.com"),
    ("SchedulerRole/Policies", [{"PolicyName": "x", "PolicyDocument": POLICY}],
     [{"PolicyName": "y", "PolicyDocument": POLICY}], _inline_of, ["x"], ["y"]),
    ("SchedulerRole/Description", "one", "two", lambda c, n: c("iam").get_role(RoleName=n)["Role"][
        "Description"], "one", "two"),
    ("Function/MemorySize", 256, 512, _function("MemorySize"), 256, 512),
    ("Function/Timeout", 30, None, _function("Timeout"), 30, 3),
    ("Function/Environment/Variables", {"NUM": 1, "FLAG": True}, {"NUM": 2},
     lambda c, n: _function("Environment")(c, n)["Variables"],
     {"NUM": "1", "FLAG": "true"}, {"NUM": "2"}),
    ("Function/Code/ZipFile", "def handler(e, c): return 1", "def handler(e, c): return 2",
     _invoke, 1, 2),
    ("Function/ReservedConcurrentExecutions", 3, None,
     lambda c, n: c("lambda").get_function(FunctionName=n).get("Concurrency", {}).get(
         "ReservedConcurrentExecutions"), 3, None),
    ("Mapping/BatchSize", 5, 7,
     lambda c, n: c("lambda").get_event_source_mapping(UUID=n)["BatchSize"], 5, 7),
    ("Rule/State", "ENABLED", "DISABLED", _rule("State"), "ENABLED", "DISABLED"),
    ("Rule/EventPattern/source/0", "aws.s3", "aws.sqs",
     lambda c, n: json.loads(_rule("EventPattern")(c, n))["source"], ["aws.s3"], ["aws.sqs"]),
    ("Rule/Targets/0/Id", "queue", "other", _targets, ["queue"], ["other"]),
    ("Schedule/ScheduleExpression", "rate(5 minutes)", "rate(1 hour)",
     _schedule("Group", "ScheduleExpression"), "rate(5 minutes)", "rate(1 hour)"),
    ("Log/RetentionInDays", 14, None, _group, 14, None),
    ("Filter/FilterPattern", "ERROR", "WARN",
     lambda c, n: c("logs").describe_metric_filters(filterNamePrefix=n)["metricFilters"][0][
         "filterPattern"], "ERROR", "WARN"),
    ("Alarm/Threshold", 0, 5, _alarm("Threshold"), 0.0, 5.0),
    ("Alarm/TreatMissingData", "notBreaching", "breaching", _alarm("TreatMissingData"),
     "notBreaching", "breaching"),
    ("Composite/AlarmDescription", "one", "two",
     lambda c, n: c("cloudwatch").describe_alarms(
         AlarmNames=[n], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"][0]["AlarmDescription"],
     "one", "two"),
    ("Dashboard/DashboardBody", None, '{"widgets":[]}',
     lambda c, n: len(json.loads(c("cloudwatch").get_dashboard(DashboardName=n)["DashboardBody"])[
         "widgets"]), 1, 0),
    ("Machine/Definition", {**MACHINE, "Comment": "one"}, MACHINE, _machine, "one", "two"),
    ("Key/Description", "one", "two", lambda c, n: c("kms").describe_key(KeyId=n)["KeyMetadata"][
        "Description"], "one", "two"),
    ("Key/EnableKeyRotation", True, False,
     lambda c, n: c("kms").get_key_rotation_status(KeyId=n)["KeyRotationEnabled"], True, False),
    ("Key/Tags", [A], [B], _tags("kms", "list_resource_tags", "KeyId", "Tags"),
     TAGS[:1], TAGS[1:]),
    ("Parameter/Value", "x", "y",
     lambda c, n: c("ssm").get_parameter(Name=n)["Parameter"]["Value"], "x", "y"),
    ("Packages/Tags", [A], [B], _tags("sagemaker", "list_tags", "ResourceArn", "Tags"),
     TAGS[:1], TAGS[1:]),
]  # fmt: skip


# Places that a template cannot be without: "as it is" means the value of GOOD.
_NEEDED = {"SchedulerRole/AssumeRolePolicyDocument", "Dashboard/DashboardBody"}


def _resources(column: int) -> dict[str, Any]:
    """Every resource, with each case's value of this column."""
    resources = copy.deepcopy(GOOD)
    resources["Packages"]["Properties"]["ModelPackageGroupName"] = "updated-census"
    resources["Alias"]["Properties"]["AliasName"] = "alias/updated"
    for case in CASES:
        name, *steps = case[0].split("/")
        place: Any = resources[name]["Properties"]
        for step in steps[:-1]:
            place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
        last: Any = int(steps[-1]) if steps[-1].isdigit() else steps[-1]
        if case[column] is not None:
            place[last] = case[column]
        elif case[0] not in _NEEDED:
            place.pop(last, None)
    return resources


def _ids(stacks: Stacks, stack: str) -> dict[str, str]:
    listed = stacks.client.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in listed}


@dataclass
class History:
    """What each case's reader saw after creation, a failed update and an update."""

    created: list[Any]
    taken_back: list[Any]
    updated: list[Any]
    kept: dict[str, bool]


@pytest.fixture(scope="module")
def history(stacks: Stacks) -> History:
    """One stack of all types through its life, and what was read in between."""
    stack = stacks.create(_resources(1))
    assert stack["StackStatus"] == "CREATE_COMPLETE", stacks.reasons(stack["StackId"])
    ids = _ids(stacks, stack["StackId"])

    def look() -> list[Any]:
        return [case[3](stacks.cloud.client, ids[case[0].split("/")[0]]) for case in CASES]

    created = look()
    changed = _resources(2)
    bad = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 901}}
    failing = {**changed, "Bad": {**bad, "DependsOn": list(changed)}}
    failed = stacks.update(stack["StackId"], failing)
    assert failed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", stacks.reasons(stack["StackId"])
    assert stacks.reasons(stack["StackId"])[0].startswith("Properties validation failed")
    taken_back = look()
    after = stacks.update(stack["StackId"], changed)
    assert after["StackStatus"] == "UPDATE_COMPLETE", stacks.reasons(stack["StackId"])
    kept = {name: found == ids.get(name) for name, found in _ids(stacks, stack["StackId"]).items()}
    found = History(created, taken_back, look(), kept)
    assert stacks.delete(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    return found


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, id=f"{case[0]}={json.dumps(case[2])[:30]}") for n, case in enumerate(CASES)],
)
def test_update_in_place(history: History, number: int) -> None:
    """The service shows the old value, again after a rollback, and then the new one."""
    path, _, _, _, before, after = CASES[number]
    assert history.created[number] == before
    assert history.taken_back[number] == before
    assert history.updated[number] == after
    assert history.kept[path.split("/", maxsplit=1)[0]]
