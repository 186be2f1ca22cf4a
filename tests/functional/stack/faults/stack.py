"""A deployed stack in the hands of a test: its models, faults, sweeps and clock."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from perennial.domain.ledger.store import read_model
from perennial.wiring import Ports

from tests.functional.conftest import LocalCloud
from tests.functional.stack.conftest import hold_sweeps
from tests.functional.stack.faults import cheap
from tests.functional.stack.faults.checker import violations
from tests.functional.stack.faults.evidence import gather
from tests.functional.stack.faults.points import logical

SWEEP = "OnSweepDue"
LOOK_EVERY_S = 0.1


@dataclass
class Stack:
    """A deployed stack whose every notice is kept, and its faults."""

    cloud: LocalCloud
    ports: Ports
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    made: list[str] = field(default_factory=list)
    _told: list[str] = field(default_factory=list)
    _inbox: str = ""

    def subscribe(self) -> None:
        """Keep every notice from now on in a queue of our own."""
        sqs, sns = self.cloud.client("sqs"), self.cloud.client("sns")
        self._inbox = sqs.create_queue(QueueName="test-inbox")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self._inbox, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self.ports.deployment.notices_topic_arn,
            Protocol="sqs",
            Endpoint=attributes["Attributes"]["QueueArn"],
        )

    def told(self) -> list[str]:
        """The ids of all notices that came, as often as they came."""
        sqs = self.cloud.client("sqs")
        while True:
            answer = sqs.receive_message(QueueUrl=self._inbox, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return self._told
            for each in messages:
                facts = json.loads(each["Body"]).get("MessageAttributes", {})
                self._told.append(facts.get("id", {}).get("Value", ""))
                sqs.delete_message(QueueUrl=self._inbox, ReceiptHandle=each["ReceiptHandle"])

    def function(self, name: str) -> str:
        """A function's own name."""
        listed = self.cloud.client("lambda").list_functions()["Functions"]
        (found,) = (f["FunctionName"] for f in listed if logical(f["FunctionName"]) == name)
        return str(found)

    def sweep(self) -> bool:
        """One pass of the sweeper; False when it died."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.function(SWEEP), Payload=b"{}"
        )
        return "FunctionError" not in answer

    def sweep_beside(self) -> None:
        """Have the sweeper start, as its schedule does, and do not wait for it."""
        self.cloud.client("lambda").invoke(
            FunctionName=self.function(SWEEP), Payload=b"{}", InvocationType="Event"
        )

    def clock(self, factor: float) -> None:
        """Let the services' waits pass faster."""
        self.cloud.control("POST", "/_local/clock", {"factor": factor})

    def switch(self, part: str, *, on: bool) -> None:
        """Switch a rule of the stack on or off: off, its events are lost."""
        events = self.cloud.client("events")
        for rule in events.list_rules()["Rules"]:
            if rule["Name"].startswith(f"{self.ports.deployment.stack}-{part}"):
                (events.enable_rule if on else events.disable_rule)(Name=rule["Name"])
                return
        raise AssertionError(f"there is no rule {part}")

    def hold_sweeps(self) -> None:
        """Only the test sweeps from now on."""
        hold_sweeps(self.cloud, self.ports.deployment.token)

    def models(self, kind: str, count: int, **settings: Any) -> list[str]:
        """Fresh trifling models that the sweeper does not know; all is quiet then."""
        names = [f"{kind}-{next(self.numbers)}" for _ in range(count)]
        self.publish(names, **settings)
        return names

    def publish(self, names: list[str], **settings: Any) -> None:
        """Publish these models, unknown to the sweeper; all is quiet then."""
        self.made += names

        def make(name: str) -> None:
            cheap.publish(self.ports, name, settings)
            self.ports.ledger.delist(name)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(make, names))
        self.rest(60)

    def alone(self, *models: str) -> None:
        """Let the sweeper know these models only."""
        for name in self.ports.ledger.models():
            if name not in models:
                self.ports.ledger.delist(name)
        for name in models:
            self.ports.ledger.enlist(name)

    def everybody(self) -> None:
        """Let the sweeper know every model that was made since the last check."""
        for name in self.made:
            self.ports.ledger.enlist(name)

    def rest(self, seconds: float = 120) -> None:
        """Wait until nothing is under way but wakes for later."""
        self.cloud.idle(seconds, ("delayed messages",))

    def wrong(self) -> list[str]:
        """Sweep a quiet stack once, and say what is wrong with it then."""
        self.cloud.faults()
        self.everybody()
        self.rest()
        self.sweep()
        self.rest()
        self.alone()
        self.made.clear()
        return violations(gather(self.ports, told=self.told()))


def is_at_rest(ports: Ports, model: str) -> bool:
    """Whether the model had a run and has none now."""
    row = read_model(ports.ledger, model)
    return row is not None and bool(row.last_run) and row.open_run is None


def wait_for(what: str, look: Callable[[], Any], seconds: float = 60) -> Any:
    """Look until there is something to see."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{what} did not happen in {seconds} s")
