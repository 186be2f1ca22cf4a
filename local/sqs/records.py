"""SQS messages as functions see them, and filters of mappings."""

import base64
import json
from typing import TYPE_CHECKING, Any

from moto.sqs.models import sqs_backends

from local.events.pattern import matches

if TYPE_CHECKING:
    from local.cloud import Cloud


def record_of(cloud: "Cloud", mapping: Any, message: Any) -> dict[str, Any]:
    """One entry of `Records`."""
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(message.sent_timestamp),
        "SenderId": message.sender_id,
        "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
    }
    if message.group_id:
        attributes["MessageGroupId"] = message.group_id
    if message.deduplication_id:
        attributes["MessageDeduplicationId"] = message.deduplication_id
    if message.sequence_number:
        attributes["SequenceNumber"] = message.sequence_number
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {
            name: _attribute(value) for name, value in message.message_attributes.items()
        },
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping.event_source_arn,
        "awsRegion": cloud.region,
    }


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    if value.get("StringValue") is not None:
        made["stringValue"] = value["StringValue"]
    binary = value.get("BinaryValue")
    if binary is not None:
        made["binaryValue"] = (
            base64.b64encode(binary).decode() if isinstance(binary, bytes) else binary
        )
    made["dataType"] = value["DataType"]
    return made


def drop_filtered(cloud: "Cloud", mapping: Any, messages: list[Any]) -> list[Any]:
    """What the mapping's filters let through; Lambda deletes the rest from the queue."""
    filters = (mapping.filter_criteria or {}).get("Filters") or []
    if not filters:
        return messages
    patterns = [json.loads(entry["Pattern"]) for entry in filters]
    kept = []
    backend = sqs_backends[cloud.account][cloud.region]
    for message in messages:
        record = record_of(cloud, mapping, message)
        if any(_passes(pattern, record) for pattern in patterns):
            kept.append(message)
        else:
            with cloud.lock("sqs"):
                name = mapping.event_source_arn.rpartition(":")[2]
                backend.delete_message(name, message.receipt_handle)
    return kept


def _passes(pattern: dict[str, Any], record: dict[str, Any]) -> bool:
    if isinstance(pattern.get("body"), dict):
        try:
            body = json.loads(record["body"])
        except ValueError:
            return False
        if not isinstance(body, dict):
            return False
        record = {**record, "body": body}
    return matches(pattern, record)
