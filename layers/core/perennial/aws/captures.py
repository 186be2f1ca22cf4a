"""Where `predict` leaves what it captured: a queue, or for what is too long a file in S3.

It waits for neither longer than a moment, and asks neither twice: somebody waits for a prediction.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ConnectionClosedError
from perennial.aws.clients import hurried_client
from perennial.aws.errors import translated

#: Seconds that an answer of the queue, or of S3, is waited for.
QUEUE_SECONDS, FILE_SECONDS = 1, 3


def send_captured(queue_url: str, message: str) -> None:
    """Put a message into the capture queue; raises the errors of the domain."""
    request = {"QueueUrl": queue_url, "MessageBody": message}
    _once("sqs", "send_message", QUEUE_SECONDS, "sending to the capture queue", request)


def write_captured(bucket: str, key: str, body: bytes) -> None:
    """Write a file of capture; raises the errors of the domain."""
    request = {"Bucket": bucket, "Key": key, "Body": body}
    _once("s3", "put_object", FILE_SECONDS, f"writing s3://{bucket}/{key}", request)


def _once(service: str, operation: str, seconds: int, doing: str, request: dict[str, Any]) -> None:
    call = getattr(hurried_client(service, seconds), operation)
    with translated(doing):
        try:
            call(**request)
        except ConnectionClosedError:
            # A connection that was kept from an earlier request may be gone by now.
            call(**request)
