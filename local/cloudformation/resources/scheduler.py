"""Amazon EventBridge Scheduler: schedules and their groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    key_values,
    only,
    pick,
    tag_changes,
    words,
)

_SCHEDULE = (
    "Description",
    "FlexibleTimeWindow",
    "GroupName",
    "KmsKeyArn",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "State",
    "Target",
)
_GONE = "ResourceNotFoundException"


class Schedule(ResourceType):
    """AWS::Scheduler::Schedule."""

    type_name = "AWS::Scheduler::Schedule"
    carried_out = words("Name StartDate EndDate " + " ".join(_SCHEDULE))
    attributes = words("Arn")
    custom_name = "Name"
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the window; expression and time zone are checked by the Scheduler itself."""
        window = properties["FlexibleTimeWindow"]
        if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
            return [
                "MaximumWindowInMinutes must be given for a FLEXIBLE time window, and only then"
            ]
        return []

    def replaces(self, old: Properties, new: Properties) -> bool:
        """A schedule cannot move to another group."""
        return str(old.get("GroupName", "default")) != str(new.get("GroupName", "default"))

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the schedule in its group."""
        name = context.name(properties.get("Name"), 64)
        group = properties.get("GroupName", "default")
        only(
            "Target",
            properties["Target"],
            "Arn RoleArn Input DeadLetterConfig RetryPolicy SqsParameters EventBridgeParameters",
        )
        self._check_group(context, group)
        context.client("scheduler").create_schedule(Name=name, **_request(properties))
        return Made(name, {"Arn": context.arn("scheduler", f"schedule/{group}/{name}")})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Replace the whole definition, as the API does."""
        del old
        context.client("scheduler").update_schedule(Name=made.physical_id, **_request(new))
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the schedule."""
        with absent_is_done(_GONE):
            context.client("scheduler").delete_schedule(
                Name=made.physical_id, **pick(properties, "GroupName")
            )

    @staticmethod
    def _check_group(context: Context, group: str) -> None:
        try:
            context.client("scheduler").get_schedule_group(Name=group)
        except ClientError as error:
            if error.response["Error"]["Code"] == _GONE:
                raise ResourceError(f"Schedule group {group} does not exist.") from error
            raise


def _request(properties: Properties) -> dict[str, Any]:
    request = pick(properties, *_SCHEDULE)
    for key in ("StartDate", "EndDate"):
        if key in properties:
            request[key] = datetime.fromisoformat(str(properties[key]).replace("Z", "+00:00"))
    return request


class ScheduleGroup(ResourceType):
    """AWS::Scheduler::ScheduleGroup."""

    type_name = "AWS::Scheduler::ScheduleGroup"
    carried_out = words("Name Tags")
    attributes = words("Arn State CreationDate LastModificationDate")
    custom_name = "Name"

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the group."""
        client = context.client("scheduler")
        name = context.name(properties.get("Name"), 64)
        client.create_schedule_group(
            Name=name, Tags=key_values(context.tags(properties.get("Tags")))
        )
        context.claim(name)
        group = client.get_schedule_group(Name=name)
        return Made(
            name,
            {
                "Arn": group["Arn"],
                "State": group["State"],
                "CreationDate": group["CreationDate"].isoformat(),
                "LastModificationDate": group["LastModificationDate"].isoformat(),
            },
        )

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change tags."""
        client, arn = context.client("scheduler"), made.attributes["Arn"]
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_resource(ResourceArn=arn, Tags=key_values(wanted))
        if gone:
            client.untag_resource(ResourceArn=arn, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the group and, as AWS does, every schedule in it."""
        del properties
        client = context.client("scheduler")
        with absent_is_done(_GONE):
            pages = client.get_paginator("list_schedules").paginate(GroupName=made.physical_id)
            for schedule in [item for page in pages for item in page["Schedules"]]:
                client.delete_schedule(Name=schedule["Name"], GroupName=made.physical_id)
            client.delete_schedule_group(Name=made.physical_id)
