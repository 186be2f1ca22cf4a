"""Asynchronous invocation: an internal queue, retries, destinations and the dead-letter queue.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.delivery import DeliveryError, publish_to_topic, send_to_queue
from local.errors import LambdaError
from local.timers import Timers

if TYPE_CHECKING:
    from local.cloud import Cloud
    from local.lambdas.service import Answer, LambdaService

log = logging.getLogger(__name__)
RETRY_WAITS = (60.0, 120.0)  # service seconds before the first and the second retry
MAX_AGE = 21_600
THROTTLE_WAIT = 1.0


@dataclass
class _Event:
    function: Any
    payload: bytes
    request_id: str
    accepted: float
    runs: int = 0
    throttled: int = 0
    config: dict[str, Any] = field(default_factory=dict)


class AsynchronousQueue:
    """Runs events in the background until they succeed or their retries are used up."""

    def __init__(self, cloud: "Cloud", service: "LambdaService") -> None:
        self._cloud = cloud
        self._service = service
        self._timers = Timers("async-invoke", workers=32)

    def pending(self) -> int:
        """Events that run or wait for a retry."""
        return self._timers.pending()

    def submit(self, function: Any, payload: bytes, request_id: str) -> None:
        """Take an event; the faults in force may duplicate or delay it, as AWS may."""
        for delay in self._cloud.faults.deliveries():
            configs = function.event_invoke_config
            config = dict(configs[-1].config) if configs else {}
            event = _Event(function, payload, request_id, self._cloud.clock.now(), config=config)
            self._timers.after(delay, lambda event=event: self._run(event))  # type: ignore[misc] # bound now

    def _run(self, event: _Event) -> None:
        try:
            answer = self._service.run(event.function, event.payload, event.request_id)
        except LambdaError as error:
            if error.status == 404 or not self._again_after_throttle(event):
                self._give_up(event, None, str(error), "EventAgeExceeded")
            return
        event.runs += 1
        if not answer.function_error:
            self._notify(event, answer, "OnSuccess", "Success")
            return
        retries = event.config.get("MaximumRetryAttempts", 2)
        if event.runs > retries:
            self._give_up(event, answer, "", "RetriesExhausted")
            return
        wait = self._cloud.clock.real_seconds(RETRY_WAITS[event.runs - 1])
        if self._age(event) + wait > self._max_age(event):
            self._give_up(event, answer, "", "EventAgeExceeded")
            return
        self._timers.after(wait, lambda: self._run(event))

    def _age(self, event: _Event) -> float:
        return (self._cloud.clock.now() - event.accepted) * self._cloud.clock.factor

    def _max_age(self, event: _Event) -> float:
        return float(event.config.get("MaximumEventAgeInSeconds", MAX_AGE))

    def _again_after_throttle(self, event: _Event) -> bool:
        event.throttled += 1
        wait = min(300.0, THROTTLE_WAIT * 2 ** (event.throttled - 1))
        if self._age(event) + wait > self._max_age(event):
            return False
        self._timers.after(self._cloud.clock.real_seconds(wait), lambda: self._run(event))
        return True

    def _give_up(self, event: _Event, answer: "Answer | None", error: str, condition: str) -> None:
        name = event.function.function_name
        self._cloud.journal.add(
            "async-failure", function=name, request_id=event.request_id, condition=condition
        )
        self._notify(event, answer, "OnFailure", condition)
        extra = getattr(event.function, "perennial_extra", {})
        target = (extra.get("DeadLetterConfig") or {}).get("TargetArn")
        if target:
            message = error or (answer.payload.decode("utf-8", "replace") if answer else "")
            attributes = {
                "RequestID": event.request_id,
                "ErrorCode": "200" if answer else "429",
                "ErrorMessage": message[:1024] or "unknown",
            }
            self._deliver(target, event.payload.decode(), attributes, "")

    def _notify(self, event: _Event, answer: "Answer | None", kind: str, condition: str) -> None:
        destinations = event.config.get("DestinationConfig") or {}
        target = (destinations.get(kind) or {}).get("Destination")
        if not target:
            return
        stamp = datetime.fromtimestamp(self._cloud.clock.now(), UTC)
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z",
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": f"{event.function.function_arn}:{event.function.version}",
                "condition": condition,
                "approximateInvokeCount": event.runs,
            },
            "requestPayload": json.loads(event.payload),
        }
        if answer is not None:
            context = {"statusCode": answer.status, "executedVersion": answer.version}
            if answer.function_error:
                context["functionError"] = answer.function_error
            record["responseContext"] = context
            record["responsePayload"] = json.loads(answer.payload or b"null")
        result = "Success" if kind == "OnSuccess" else "Failure"
        self._deliver(target, json.dumps(record), {}, result)

    def _deliver(self, target: str, body: str, attributes: dict[str, str], result: str) -> None:
        service = target.split(":")[2]
        try:
            if service == "sqs":
                send_to_queue(self._cloud, target, body, attributes)
            elif service == "sns":
                publish_to_topic(self._cloud, target, body)
            elif service == "lambda":
                self._cloud.invoke_function(target, body.encode(), "Event")
            elif service == "events":
                detail_type = f"Lambda Function Invocation Result - {result}"
                self._cloud.publish_event("lambda", detail_type, json.loads(body), [target])
            else:
                log.error("a destination of service %s is not supported: %s", service, target)
        except DeliveryError:
            log.exception("%s did not take an invocation record", target)
