"""One firing of a schedule on its way to its target, with retries and the dead-letter queue.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets.html
"""

import json
import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import UnknownServiceError

from local.delivery import DeliveryError, invoke_later, publish_to_topic, send_to_queue
from local.timers import Timers

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
FIRST_WAIT = 1.0  # service seconds
MAX_WAIT = 600.0
TEMPLATED = ("lambda", "sqs", "sns", "states", "events")
FIELDS = frozenset(
    {
        "Arn",
        "RoleArn",
        "Input",
        "RetryPolicy",
        "DeadLetterConfig",
        "SqsParameters",
        "EventBridgeParameters",
    }
)
# Names in universal targets are those of the AWS SDK for Java; botocore's differ for some.
_SDK_NAMES = {"sfn": "stepfunctions", "eventbridge": "events", "cloudwatchlogs": "logs"}


def unsupported(target: dict[str, Any]) -> str:
    """Why a schedule's target cannot be honoured; empty if it can."""
    arn = str(target.get("Arn", ""))
    parts = arn.split(":")
    unknown = sorted(name for name in set(target) - FIELDS if target[name])
    if unknown:
        return f"The local cloud does not support {', '.join(unknown)} of a schedule's target."
    if arn.startswith("arn:aws:scheduler:::aws-sdk:") and len(parts) == 8:
        return ""
    if len(parts) < 6 or parts[2] not in TEMPLATED:
        return f"The local cloud does not invoke {arn} from a schedule."
    if parts[2] == "events" and not target.get("EventBridgeParameters"):
        return "EventBridgeParameters are required for an event bus target."
    return ""


@dataclass
class Firing:
    """One due time of one schedule."""

    schedule_arn: str
    target: dict[str, Any]
    scheduled: str
    execution: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    accepted: float = 0.0

    def payload(self, cloud: "Cloud") -> str:
        """The target's Input with AWS's context attributes, or the default notification."""
        text = self.target.get("Input")
        if not text:
            return json.dumps(
                {
                    "version": "0",
                    "id": self.execution,
                    "detail-type": "Scheduled Event",
                    "source": "aws.scheduler",
                    "account": cloud.account,
                    "time": self.scheduled,
                    "region": cloud.region,
                    "resources": [self.schedule_arn],
                    "detail": "{}",
                }
            )
        for name, value in (
            ("schedule-arn", self.schedule_arn),
            ("scheduled-time", self.scheduled),
            ("execution-id", self.execution),
            ("attempt-number", str(self.attempts)),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return str(text)


class ScheduleDelivery:
    """Delivers firings in the background."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._timers = Timers("schedules", workers=8)
        cloud.add_idle_probe("schedule deliveries", self._timers.pending)

    def start(self, firing: Firing, delay: float = 0.0) -> None:
        """Deliver (perhaps twice, if such faults are on)."""
        firing.accepted = self._cloud.clock.now()
        for extra in self._cloud.faults.deliveries():
            copy = Firing(
                firing.schedule_arn,
                firing.target,
                firing.scheduled,
                firing.execution,
                accepted=firing.accepted,
            )
            self._timers.after(delay + extra, lambda f=copy: self._deliver(f))  # type: ignore[misc] # bound now

    def _deliver(self, firing: Firing) -> None:
        firing.attempts += 1
        try:
            self._hand_over(firing)
        except DeliveryError as error:
            self._failed(firing, error)

    def _hand_over(self, firing: Firing) -> None:
        arn, body = str(firing.target["Arn"]), firing.payload(self._cloud)
        service = arn.split(":")[2]
        if service == "lambda":
            invoke_later(self._cloud, arn, body.encode())
        elif service == "sqs":
            group = (firing.target.get("SqsParameters") or {}).get("MessageGroupId")
            send_to_queue(self._cloud, arn, body, group_id=group)
        elif service == "sns":
            publish_to_topic(self._cloud, arn, body)
        elif service == "states":
            name = {"stateMachineArn": arn, "input": body, "name": firing.execution}
            self._call("stepfunctions", "StartExecution", name)
        elif service == "events":
            parameters = firing.target["EventBridgeParameters"]
            entry = {
                "Source": parameters["Source"],
                "DetailType": parameters["DetailType"],
                "Detail": body,
                "EventBusName": arn,
            }
            self._call("events", "PutEvents", {"Entries": [entry]})
        else:
            sdk, action = arn.split(":")[6:8]
            self._call(_SDK_NAMES.get(sdk, sdk), action[:1].upper() + action[1:], json.loads(body))

    def _call(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        try:
            client = self._cloud.client(service, attempts=1)
            method = {op: name for name, op in client.meta.method_to_api_mapping.items()}[operation]
            members = client.meta.service_model.operation_model(operation).input_shape.members
            names = {member.lower(): member for member in members}
            given = {names.get(key.lower(), key): value for key, value in parameters.items()}
            getattr(client, method)(**given)
        except (KeyError, UnknownServiceError) as error:
            text = f"there is no {service}:{operation} ({error})"
            raise DeliveryError("ValidationException", text, retryable=False) from error
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            retryable = status >= 500 or "Throttl" in code or code == "SlowDown"
            raise DeliveryError(code, str(error), retryable=retryable) from error
        except BotoCoreError as error:
            raise DeliveryError("ValidationException", str(error), retryable=False) from error

    def _failed(self, firing: Firing, error: DeliveryError) -> None:
        policy = firing.target.get("RetryPolicy") or {}
        retries = firing.attempts - 1
        wait = min(MAX_WAIT, FIRST_WAIT * 2**retries)
        age = (self._cloud.clock.now() - firing.accepted) * self._cloud.clock.factor
        condition = ""
        if error.retryable:
            if retries >= policy.get("MaximumRetryAttempts", 185):
                condition = "MaximumRetryAttempts"
            elif age + wait > policy.get("MaximumEventAgeInSeconds", 86_400):
                condition = "MaximumEventAgeInSeconds"
            else:
                seconds = self._cloud.clock.real_seconds(wait)
                self._timers.after(seconds, lambda: self._deliver(firing))
                return
        self._dead_letter(firing, error, condition, retries)

    def _dead_letter(
        self, firing: Firing, error: DeliveryError, condition: str, retries: int
    ) -> None:
        queue = (firing.target.get("DeadLetterConfig") or {}).get("Arn")
        self._cloud.journal.add(
            "schedule-failure", arn=firing.schedule_arn, code=error.code, dead_letter_queue=queue
        )
        if not queue:
            log.warning("%s lost a firing: %s", firing.schedule_arn, error)
            return
        attributes = {
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error)[:1024] or error.code,
            "EXECUTION_ID": firing.execution,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(retries),
            "SCHEDULED_TIME": firing.scheduled,
            "SCHEDULE_ARN": firing.schedule_arn,
            "TARGET_ARN": str(firing.target["Arn"]),
        }
        if condition:
            attributes["EXHAUSTED_RETRY_CONDITION"] = condition
        try:
            send_to_queue(self._cloud, queue, firing.payload(self._cloud), attributes)
        except DeliveryError:
            log.exception("the dead-letter queue %s took no message", queue)
