"""The event bus: rules are moto's records, delivery is ours.

At least once, unordered, with retries, dead-letter queues and AWS's message attributes:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

import json
import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.events.models import events_backends

from local.delivery import DeliveryError, send_to_queue
from local.events.pattern import matches
from local.events.targets import deliver
from local.events.transform import target_input
from local.timers import Timers

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 185
MAX_AGE = 86_400
FIRST_WAIT = 1.0  # service seconds; doubled up to MAX_WAIT (AWS does not publish its schedule)
MAX_WAIT = 600.0


class Bus:
    """Takes events and brings each to the targets of every rule that matches."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._timers = Timers("events", workers=24)
        cloud.add_idle_probe("events", self._timers.pending)

    def publish(self, event: dict[str, Any], bus: str = "default") -> None:
        """Take one event in AWS's envelope; delivery happens in the background."""
        self._cloud.journal.add(
            "event",
            id=event["id"],
            source=event["source"],
            detail_type=event["detail-type"],
            bus=bus,
        )
        self._timers.now(lambda: self._match(event, bus))

    def _match(self, event: dict[str, Any], bus_name: str) -> None:
        backend = events_backends[self._cloud.account][self._cloud.region]
        with self._cloud.lock("events"):
            bus = backend.event_buses.get(bus_name)
            rules = list(bus.rules.values()) if bus is not None else []
        for rule in rules:
            self.offer(rule, event)

    def offer(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver the event to the rule's targets, if the rule is enabled and matches."""
        # What moto has parsed; a rule that has a schedule alone has no pattern.
        pattern = rule.event_pattern.get_pattern() if rule.event_pattern.dump() else None
        if rule.state == "DISABLED" or not pattern or not matches(pattern, event):
            return
        self.fire(rule, event)

    def fire(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver to every target of a rule (also used by rules with a schedule)."""
        with self._cloud.lock("events"):
            targets = [dict(target) for target in rule.targets]
        for target in targets:
            for delay in self._cloud.faults.deliveries():
                attempt = _Attempt(rule.arn, target, event, self._cloud.clock.now())
                self._timers.after(delay, lambda a=attempt: self._deliver(a))  # type: ignore[misc] # bound now

    def _deliver(self, attempt: "_Attempt") -> None:
        target = attempt.target
        try:
            body = target_input(target, attempt.event, attempt.rule_arn)
            deliver(self._cloud, target, body, attempt.event)
        except DeliveryError as error:
            self._failed(attempt, error)
        except Exception as error:
            log.exception("delivery to %s failed", target["Arn"])
            self._failed(attempt, DeliveryError("INTERNAL_ERROR", str(error), retryable=False))
        else:
            self._count(attempt, "Invocations")
            self._cloud.journal.add(
                "delivery", event=attempt.event["id"], rule=attempt.rule_arn, target=target["Arn"]
            )

    def _count(self, attempt: "_Attempt", metric: str) -> None:
        where = {"RuleName": attempt.rule_arn.rpartition("/")[2]}
        self._cloud.put_metric("AWS/Events", metric, 1, where, "Count")

    def _failed(self, attempt: "_Attempt", error: DeliveryError) -> None:
        policy = attempt.target.get("RetryPolicy") or {}
        attempts = policy.get("MaximumRetryAttempts", MAX_ATTEMPTS)
        age = (self._cloud.clock.now() - attempt.started) * self._cloud.clock.factor
        wait = min(MAX_WAIT, FIRST_WAIT * 2**attempt.retries)
        condition = ""
        if error.retryable and attempt.retries >= attempts:
            condition = "MaximumRetryAttempts"
        elif error.retryable and age + wait > policy.get("MaximumEventAgeInSeconds", MAX_AGE):
            condition = "MaximumEventAgeInSeconds"
        elif error.retryable:
            attempt.retries += 1
            self._timers.after(self._cloud.clock.real_seconds(wait), lambda: self._deliver(attempt))
            return
        self._dead_letter(attempt, error, condition)

    def _dead_letter(self, attempt: "_Attempt", error: DeliveryError, condition: str) -> None:
        target = attempt.target
        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        self._count(attempt, "FailedInvocations")
        self._cloud.journal.add(
            "delivery-failure",
            event=attempt.event["id"],
            rule=attempt.rule_arn,
            target=target["Arn"],
            code=error.code,
            dead_letter_queue=queue,
        )
        if not queue:
            log.warning("%s lost an event: %s (%s)", target["Arn"], error, error.code)
            return
        attributes = {
            "RULE_ARN": attempt.rule_arn,
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error)[:1024] or error.code,
        }
        if condition:
            attributes["EXHAUSTED_RETRY_CONDITION"] = condition
            attributes["RETRY_ATTEMPTS"] = str(attempt.retries)
        try:
            send_to_queue(self._cloud, queue, json.dumps(attempt.event), attributes)
        except DeliveryError:
            log.exception("the dead-letter queue %s took no message", queue)


class _Attempt:
    """One event on its way to one target."""

    def __init__(
        self, rule_arn: str, target: dict[str, Any], event: dict[str, Any], started: float
    ) -> None:
        self.rule_arn = rule_arn
        self.target = target
        self.event = event
        self.started = started
        self.retries = 0


def scheduled_event(cloud: "Cloud", rule_arn: str, moment: str) -> dict[str, Any]:
    """What a rule with a schedule sends."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": cloud.account,
        "time": moment,
        "region": cloud.region,
        "resources": [rule_arn],
        "detail": {},
    }


def from_entry(cloud: "Cloud", entry: Mapping[str, Any], moment: str) -> dict[str, Any]:
    """A PutEvents entry in the envelope that targets see."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": cloud.account,
        "time": moment,
        "region": cloud.region,
        "resources": list(entry.get("Resources") or []),
        "detail": json.loads(entry["Detail"]),
    }
