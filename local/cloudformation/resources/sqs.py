"""Amazon SQS: queues and their policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError
from local.cloudformation.policies import policy_problems
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    json_text,
    policy_text,
    tag_changes,
    words,
)

# Property → value that SQS has when the property is not given.
_DEFAULTS = {
    "DelaySeconds": "0",
    "KmsDataKeyReusePeriodSeconds": "300",
    "KmsMasterKeyId": "",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "RedriveAllowPolicy": "",
    "RedrivePolicy": "",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_FIFO = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class Queue(ResourceType):
    """AWS::SQS::Queue."""

    type_name = "AWS::SQS::Queue"
    carried_out = words("QueueName FifoQueue Tags " + " ".join((*_DEFAULTS, *_FIFO)))
    attributes = words("Arn QueueName QueueUrl")
    custom_name = "QueueName"

    def problems(self, properties: Properties) -> list[str]:
        """Check the redrive policy's own members."""
        found = []
        redrive = properties.get("RedrivePolicy")
        if redrive is not None:
            redrive = json.loads(redrive) if isinstance(redrive, str) else redrive
            count = str(redrive.get("maxReceiveCount", ""))
            if not redrive.get("deadLetterTargetArn"):
                found.append(
                    "Value for parameter RedrivePolicy is invalid. Reason: Redrive policy "
                    "does not contain mandatory attribute: deadLetterTargetArn."
                )
            if not count.isdigit() or not 1 <= int(count) <= 1000:
                found.append(
                    "Value for parameter RedrivePolicy is invalid. Reason: Invalid value "
                    f"for maxReceiveCount: {count or 'missing'}, valid values are from 1 "
                    "to 1000 both inclusive."
                )
        if properties.get("KmsMasterKeyId") and properties.get("SqsManagedSseEnabled"):
            found.append(
                "You can use one type of server-side encryption (SSE) at one time. You can "
                "either enable KMS SSE or SQS SSE."
            )
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the queue."""
        self._check_redrive(context, properties)
        fifo = bool(properties.get("FifoQueue"))
        name = context.name(properties.get("QueueName"), 75)
        if fifo and not name.endswith(".fifo"):
            name += ".fifo"
        attributes = _attributes(properties)
        if fifo:
            attributes["FifoQueue"] = "true"
        client = context.client("sqs")
        if _exists(client, name):
            raise ResourceError(
                f"Resource of type '{self.type_name}' with identifier '{name}' already exists."
            )
        tags = context.tags(properties.get("Tags"))
        url = client.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
        context.claim(url)
        arn = context.arn("sqs", name)
        return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Set the attributes that changed; those that are gone return to their defaults."""
        self._check_redrive(context, new)
        client, url = context.client("sqs"), made.physical_id
        before, after = _attributes(old), _attributes(new)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        changed.update({key: _DEFAULTS.get(key, "false") for key in before if key not in after})
        if changed:
            client.set_queue_attributes(QueueUrl=url, Attributes=changed)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_queue(QueueUrl=url, Tags=wanted)
        if gone:
            client.untag_queue(QueueUrl=url, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the queue."""
        del properties
        with absent_is_done(*_GONE):
            context.client("sqs").delete_queue(QueueUrl=made.physical_id)

    @staticmethod
    def _check_redrive(context: Context, properties: Properties) -> None:
        redrive = properties.get("RedrivePolicy")
        if redrive is None:
            return
        redrive = json.loads(redrive) if isinstance(redrive, str) else redrive
        target = str(redrive["deadLetterTargetArn"])
        name = target.rsplit(":", 1)[-1]
        if not target.startswith("arn:aws:sqs:") or not _exists(context.client("sqs"), name):
            raise ResourceError(
                f"Value {json.dumps(redrive)} for parameter RedrivePolicy is "
                "invalid. Reason: Dead letter target does not exist."
            )
        if name.endswith(".fifo") != bool(properties.get("FifoQueue")):
            raise ResourceError(
                f"Value {json.dumps(redrive)} for parameter RedrivePolicy is "
                "invalid. Reason: Dead-letter queue must be same type of queue as "
                "the source."
            )


def _attributes(properties: Properties) -> dict[str, str]:
    attributes = {}
    for key in (*_DEFAULTS, *_FIFO):
        if key in properties:
            value = properties[key]
            attributes[key] = (
                str(value).lower()
                if isinstance(value, bool)
                else (json_text(value) if isinstance(value, dict) else str(value))
            )
    return attributes


def _exists(client: Any, name: str) -> bool:
    try:
        client.get_queue_url(QueueName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return False
        raise
    return True


def queue_attributes(context: Context, arn: str) -> dict[str, str]:
    """Return a queue's attributes, found by its ARN; raises ResourceError when there is none."""
    client = context.client("sqs")
    try:
        url = client.get_queue_url(QueueName=arn.rsplit(":", 1)[-1])["QueueUrl"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            raise ResourceError(
                "Error occurred while ReceiveMessage. SQS Error Code: "
                f"AWS.SimpleQueueService.NonExistentQueue. Queue {arn} does not exist."
            ) from error
        raise
    return dict(client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


class QueuePolicy(ResourceType):
    """AWS::SQS::QueuePolicy."""

    type_name = "AWS::SQS::QueuePolicy"
    carried_out = words("PolicyDocument Queues")
    attributes = words("Id")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the document."""
        return policy_problems(properties["PolicyDocument"], identity=False)

    def create(self, context: Context, properties: Properties) -> Made:
        """Set the policy on each queue."""
        self._set(context, properties["Queues"], policy_text(properties["PolicyDocument"]))
        name = context.name(None)
        return Made(name, {"Id": name})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Set the new policy; take it off queues that are no longer named."""
        self._set(context, [url for url in old["Queues"] if url not in new["Queues"]], "")
        self._set(context, new["Queues"], policy_text(new["PolicyDocument"]))
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Take the policy off."""
        del made
        self._set(context, properties["Queues"], "")

    @staticmethod
    def _set(context: Context, urls: list[str], text: str) -> None:
        for url in urls:
            with absent_is_done(*_GONE if not text else ()):
                context.client("sqs").set_queue_attributes(
                    QueueUrl=url, Attributes={"Policy": text}
                )
