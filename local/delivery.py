"""Hand a message to a queue, a topic or a function from inside the cloud, without a request."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local.errors import LambdaError

if TYPE_CHECKING:
    from local.cloud import Cloud


class DeliveryError(Exception):
    """A target did not take the message; `code` as AWS names it, and whether a retry can help."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


def send_to_queue(
    cloud: "Cloud",
    queue_arn: str,
    body: str,
    attributes: Mapping[str, str] | None = None,
    group_id: str | None = None,
) -> str:
    """Put one message on a queue; returns its id. `attributes` become string attributes."""
    name = queue_arn.rpartition(":")[2]
    typed = {
        key: {"DataType": "String", "StringValue": value}
        for key, value in (attributes or {}).items()
    }
    backend = sqs_backends[cloud.account][cloud.region]
    with cloud.lock("sqs"):
        if name not in backend.queues:
            raise DeliveryError(
                "AWS.SimpleQueueService.NonExistentQueue",
                f"The queue {queue_arn} does not exist.",
                retryable=False,
            )
        try:
            message = backend.send_message(name, body, message_attributes=typed, group_id=group_id)
        except ServiceException as error:
            raise DeliveryError(type(error).__name__, str(error), retryable=False) from error
    return str(message.id)


def publish_to_topic(
    cloud: "Cloud", topic_arn: str, message: str, subject: str | None = None
) -> None:
    """Publish one message on a topic."""
    backend = sns_backends[cloud.account][cloud.region]
    with cloud.lock("sns"), cloud.lock("sqs"):
        if topic_arn not in backend.topics:
            raise DeliveryError(
                "NotFound", f"The topic {topic_arn} does not exist.", retryable=False
            )
        backend.publish(message=message, arn=topic_arn, subject=subject)


def invoke_later(cloud: "Cloud", function_arn: str, payload: bytes) -> Any:
    """Invoke a function asynchronously."""
    try:
        return cloud.invoke_function(function_arn, payload, "Event")
    except LambdaError as error:
        raise DeliveryError(error.code, str(error), retryable=error.status in (429, 500)) from error
