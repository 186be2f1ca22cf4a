"""Amazon EventBridge: rules and buses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import ResourceError
from local.cloudformation.patterns import pattern_problem
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    json_text,
    key_values,
    only,
    pick,
    tag_changes,
    words,
)

_TARGET = (
    "Id Arn RoleArn Input InputPath InputTransformer DeadLetterConfig RetryPolicy SqsParameters"
)
_GONE = "ResourceNotFoundException"


class Rule(ResourceType):
    """AWS::Events::Rule."""

    type_name = "AWS::Events::Rule"
    carried_out = words(
        "Name Description EventBusName EventPattern ScheduleExpression State Targets RoleArn Tags"
    )
    attributes = words("Arn")
    custom_name = "Name"

    def problems(self, properties: Properties) -> list[str]:
        """Check pattern and targets; the schedule is checked by EventBridge itself."""
        found = _pattern_problems(properties.get("EventPattern"))
        elsewhere = properties.get("EventBusName", "default") != "default"
        if "ScheduleExpression" in properties and elsewhere:
            found.append("ScheduleExpression is supported only on the default event bus.")
        return found + _target_problems(properties.get("Targets", []))

    def replaces(self, old: Properties, new: Properties) -> bool:
        """A rule cannot move to another bus."""
        return str(old.get("EventBusName", "default")) != str(new.get("EventBusName", "default"))

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the rule and its targets."""
        name = context.name(properties.get("Name"), 64)
        bus = properties.get("EventBusName", "default")
        bus_name = str(bus).rsplit("/", 1)[-1]
        path = f"rule/{name}" if bus_name == "default" else f"rule/{bus_name}/{name}"
        arn = context.arn("events", path)
        self._put(context, name, properties)
        context.claim(name if bus_name == "default" else f"{bus_name}|{name}")
        tags = key_values(context.tags(properties.get("Tags")))
        if tags:
            context.client("events").tag_resource(ResourceARN=arn, Tags=tags)
        self._put_targets(context, name, {}, properties)
        return Made(str(context.claimed), {"Arn": arn})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the rule again; add, change and remove targets."""
        name = made.physical_id.rsplit("|", 1)[-1]
        self._put(context, name, new)
        self._put_targets(context, name, old, new)
        client, arn = context.client("events"), made.attributes["Arn"]
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_resource(ResourceARN=arn, Tags=key_values(wanted))
        if gone:
            client.untag_resource(ResourceARN=arn, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the targets and the rule."""
        client = context.client("events")
        key = {"Rule": made.physical_id.rsplit("|", 1)[-1], **_bus(properties)}
        with absent_is_done(_GONE):
            targets = client.list_targets_by_rule(**key)["Targets"]
            if targets:
                client.remove_targets(**key, Ids=[target["Id"] for target in targets])
            client.delete_rule(Name=key.pop("Rule"), **key)

    @staticmethod
    def _put(context: Context, name: str, properties: Properties) -> None:
        request = pick(properties, "Description", "ScheduleExpression", "State", "RoleArn")
        if "EventPattern" in properties:
            request["EventPattern"] = json_text(properties["EventPattern"])
        context.client("events").put_rule(Name=name, **_bus(properties), **request)

    @staticmethod
    def _put_targets(context: Context, name: str, old: Properties, new: Properties) -> None:
        client, targets = context.client("events"), new.get("Targets", [])
        gone = {item["Id"] for item in old.get("Targets", [])} - {item["Id"] for item in targets}
        if gone:
            client.remove_targets(Rule=name, Ids=sorted(gone), **_bus(new))
        for target in targets:
            only("Targets", target, _TARGET)
        if targets and targets != old.get("Targets"):
            answer = client.put_targets(Rule=name, Targets=targets, **_bus(new))
            for failure in answer.get("FailedEntries", []):
                raise ResourceError(f"Target {failure['TargetId']}: {failure['ErrorMessage']}")


def _bus(properties: Properties) -> dict[str, str]:
    return pick(properties, "EventBusName")


def _pattern_problems(pattern: Any) -> list[str]:
    if isinstance(pattern, str):
        try:
            pattern = json.loads(pattern)
        except json.JSONDecodeError:
            return ["Event pattern is not valid. Reason: not JSON"]
    problem = None if pattern is None else pattern_problem(pattern)
    return [problem] if problem else []


def _target_problems(targets: list[Properties]) -> list[str]:
    found = []
    if len(targets) > 5:
        found.append(
            f"The requested resource exceeds the maximum number allowed: {len(targets)} "
            "targets, 5 are allowed for a rule"
        )
    if len({target["Id"] for target in targets}) < len(targets):
        found.append("Targets: each target of a rule must have an Id of its own")
    for target in targets:
        if sum(key in target for key in ("Input", "InputPath", "InputTransformer")) > 1:
            found.append(
                f"Only one of Input, InputPath, or InputTransformer must be provided "
                f"for target {target['Id']}."
            )
    return found


class EventBus(ResourceType):
    """AWS::Events::EventBus."""

    type_name = "AWS::Events::EventBus"
    carried_out = words("Name Tags")
    attributes = words("Arn Name")
    custom_name = "Name"

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the bus."""
        arn = context.client("events").create_event_bus(
            Name=properties["Name"],
            Tags=key_values(context.tags(properties.get("Tags"))),
        )["EventBusArn"]
        return Made(properties["Name"], {"Arn": arn, "Name": properties["Name"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change tags."""
        client, arn = context.client("events"), made.attributes["Arn"]
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_resource(ResourceARN=arn, Tags=key_values(wanted))
        if gone:
            client.untag_resource(ResourceARN=arn, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the bus."""
        del properties
        with absent_is_done(_GONE):
            context.client("events").delete_event_bus(Name=made.physical_id)
