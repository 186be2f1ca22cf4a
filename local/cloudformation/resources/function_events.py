"""AWS Lambda: who may invoke a function, and what does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    pick,
    words,
)
from local.cloudformation.resources.functions import GONE
from local.cloudformation.resources.sqs import queue_attributes

_MAPPING = (
    "BatchSize",
    "Enabled",
    "FilterCriteria",
    "FunctionName",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "ScalingConfig",
)
_INVOKE_CONFIG = ("DestinationConfig", "MaximumEventAgeInSeconds", "MaximumRetryAttempts")


class Permission(ResourceType):
    """AWS::Lambda::Permission."""

    type_name = "AWS::Lambda::Permission"
    carried_out = words("FunctionName Action Principal SourceArn SourceAccount EventSourceToken")
    attributes = words("Id")
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Add one statement to the function's policy."""
        statement = context.name(None, 100)
        context.client("lambda").add_permission(
            StatementId=statement,
            **pick(
                properties,
                "FunctionName",
                "Action",
                "Principal",
                "SourceArn",
                "SourceAccount",
                "EventSourceToken",
            ),
        )
        return Made(statement, {"Id": statement})

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the statement; a function that is gone took it along."""
        with absent_is_done(GONE):
            context.client("lambda").remove_permission(
                FunctionName=properties["FunctionName"], StatementId=made.physical_id
            )


class EventSourceMapping(ResourceType):
    """AWS::Lambda::EventSourceMapping, for SQS queues."""

    type_name = "AWS::Lambda::EventSourceMapping"
    carried_out = words("EventSourceArn Tags " + " ".join(_MAPPING))
    attributes = words("Id EventSourceMappingArn")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the limits that depend on one another."""
        source = str(properties.get("EventSourceArn", ""))
        if not source.startswith("arn:aws:sqs:"):
            return [
                (
                    f"EventSourceArn {source or '(none)'}: only SQS queues are supported by the "
                    "local cloud"
                )
            ]
        batch = properties.get("BatchSize", 10)
        window = properties.get("MaximumBatchingWindowInSeconds", 0)
        if source.endswith(".fifo"):
            if batch > 10:
                return [f"Batch size {batch}: the maximum for FIFO queues is 10"]
            if window:
                return ["Maximum batch window in seconds is not supported for FIFO queues"]
        elif batch > 10 and window < 1:
            return [
                (
                    "Maximum batch window in seconds must be greater than 0 if maximum batch size "
                    "is greater than 10"
                )
            ]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Map the queue to the function."""
        self._check_timeout(context, properties)
        created = context.client("lambda").create_event_source_mapping(
            EventSourceArn=properties["EventSourceArn"], **pick(properties, *_MAPPING)
        )
        uuid = created["UUID"]
        arn = context.arn("lambda", f"event-source-mapping:{uuid}")
        return Made(uuid, {"Id": uuid, "EventSourceMappingArn": arn})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change batch, filter, scaling or the function; what is gone returns to its default."""
        self._check_timeout(context, new)
        unset = {
            "BatchSize": 10,
            "Enabled": True,
            "FilterCriteria": {},
            "ScalingConfig": {},
            "FunctionResponseTypes": [],
            "MaximumBatchingWindowInSeconds": 0,
        }
        removed = {key: value for key, value in unset.items() if key in old and key not in new}
        context.client("lambda").update_event_source_mapping(
            UUID=made.physical_id, **{**removed, **pick(new, *_MAPPING)}
        )
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the mapping."""
        del properties
        with absent_is_done(GONE):
            context.client("lambda").delete_event_source_mapping(UUID=made.physical_id)

    @staticmethod
    def _check_timeout(context: Context, properties: Properties) -> None:
        visible = int(queue_attributes(context, properties["EventSourceArn"])["VisibilityTimeout"])
        name = properties["FunctionName"]
        try:
            function = context.client("lambda").get_function_configuration(FunctionName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == GONE:
                raise ResourceError(f"Function does not exist: {name}") from error
            raise
        if visible < function["Timeout"]:
            raise ResourceError(
                f"Invalid request provided: Queue visibility timeout: {visible} seconds is less "
                f"than Function timeout: {function['Timeout']} seconds"
            )


class EventInvokeConfig(ResourceType):
    """AWS::Lambda::EventInvokeConfig."""

    type_name = "AWS::Lambda::EventInvokeConfig"
    carried_out = words("FunctionName Qualifier " + " ".join(_INVOKE_CONFIG))
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Set how asynchronous invocations are retried."""
        self._put(context, properties)
        return Made(context.name(None))

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the whole configuration again."""
        del old
        self._put(context, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the configuration."""
        del made
        with absent_is_done(GONE):
            context.client("lambda").delete_function_event_invoke_config(
                FunctionName=properties["FunctionName"], **_qualifier(properties)
            )

    @staticmethod
    def _put(context: Context, properties: Properties) -> None:
        context.client("lambda").put_function_event_invoke_config(
            FunctionName=properties["FunctionName"],
            **_qualifier(properties),
            **pick(properties, *_INVOKE_CONFIG),
        )


def _qualifier(properties: Properties) -> dict[str, str]:
    qualifier = properties["Qualifier"]
    return {} if qualifier == "$LATEST" else {"Qualifier": qualifier}
