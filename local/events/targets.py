"""The targets of rules: queues, functions, topics, state machines, log groups, other buses."""

import json
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.delivery import DeliveryError, invoke_later, publish_to_topic, send_to_queue

if TYPE_CHECKING:
    from local.cloud import Cloud

SERVICES = ("sqs", "lambda", "sns", "states", "logs", "events")
# Parameters of a target that are honoured; everything else is refused when the target is put.
FIELDS = frozenset(
    {
        "Id",
        "Arn",
        "RoleArn",
        "Input",
        "InputPath",
        "InputTransformer",
        "SqsParameters",
        "RetryPolicy",
        "DeadLetterConfig",
    }
)


def unsupported(target: dict[str, Any]) -> str:
    """Why this target cannot be honoured; empty if it can."""
    arn = str(target.get("Arn", ""))
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
    if parts[2] not in SERVICES or (parts[2] == "events" and not parts[5].startswith("event-bus/")):
        return f"The local cloud does not deliver events to {arn}."
    unknown = sorted(set(target) - FIELDS)
    if unknown:
        return f"The local cloud does not support {', '.join(unknown)} of an event target."
    return ""


def deliver(cloud: "Cloud", target: dict[str, Any], body: str, event: dict[str, Any]) -> None:
    """Hand the body to the target; raises `DeliveryError` if it does not take it."""
    arn = str(target["Arn"])
    service, resource = arn.split(":", 5)[2], arn.split(":", 5)[5]
    if service == "sqs":
        group = (target.get("SqsParameters") or {}).get("MessageGroupId")
        send_to_queue(cloud, arn, body, group_id=group)
    elif service == "lambda":
        invoke_later(cloud, arn, body.encode())
    elif service == "sns":
        publish_to_topic(cloud, arn, body)
    elif service == "states":
        _start_execution(cloud, arn, body, event)
    elif service == "logs":
        group = resource.removeprefix("log-group:").removesuffix(":*")
        stream = f"{event['id']}-{int(time.time() * 1000)}"
        cloud.put_log_events(group, stream, [body])
    elif service == "events":
        cloud.bus.publish(json.loads(body), resource.removeprefix("event-bus/"))
    else:
        text = f"The local cloud does not deliver events to {arn}."
        raise DeliveryError("INVALID_TARGET", text, retryable=False)


def _start_execution(cloud: "Cloud", arn: str, body: str, event: dict[str, Any]) -> None:
    try:
        cloud.client("stepfunctions", attempts=1).start_execution(
            stateMachineArn=arn, name=f"{event['id']}_{time.time_ns():x}"[:80], input=body
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        retryable = error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        raise DeliveryError(code, str(error), retryable=retryable or "Throttl" in code) from error
