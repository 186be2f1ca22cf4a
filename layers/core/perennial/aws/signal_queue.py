"""The signal queue in SQS, and the dead-letter queues beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.signals import wake_body

LONGEST_DELAY_S = 900
#: How long a look into a queue lasts: one at once may miss what some of SQS's servers hold.
LONGEST_POLL_S = 1
LARGEST_BATCH = 10


@dataclass(frozen=True)
class Message:
    """One received message; `receipt` deletes it."""

    id: str
    body: str
    receipt: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class SignalQueue:
    """One queue, by its URL."""

    url: str

    def send_text(self, body: str, delay_s: int = 0) -> None:
        """Send a message that becomes visible after `delay_s` seconds (0 to 900)."""
        delay = max(0, min(LONGEST_DELAY_S, delay_s))
        with translated("sending to the signal queue"):
            client("sqs").send_message(QueueUrl=self.url, MessageBody=body, DelaySeconds=delay)

    def wake(self, model: str, *, due_ms: int, now_ms: int) -> None:
        """Ask for another look at the model's signals at `due_ms`, at the latest in 900 s."""
        delay_s = -((now_ms - due_ms) // 1000)  # rounded up: too early would be in vain
        self.send_text(wake_body(model, due_ms), delay_s)

    def receive(self, *, most: int = LARGEST_BATCH, hidden_s: int = 60) -> Sequence[Message]:
        """Take up to ten messages, hidden from others for `hidden_s` seconds."""
        with translated("receiving from a queue"):
            answer = client("sqs").receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, LARGEST_BATCH),
                VisibilityTimeout=hidden_s,
                WaitTimeSeconds=LONGEST_POLL_S,
                MessageAttributeNames=["All"],
            )
        return [
            Message(
                id=found["MessageId"],
                body=found["Body"],
                receipt=found["ReceiptHandle"],
                attributes={
                    name: str(value.get("StringValue", ""))
                    for name, value in found.get("MessageAttributes", {}).items()
                },
            )
            for found in answer.get("Messages", [])
        ]

    def delete(self, message: Message) -> None:
        """Remove a message that was dealt with."""
        with translated("deleting from a queue"):
            client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message.receipt)

    def depth(self) -> int:
        """How many messages wait, about."""
        with translated("reading a queue's attributes"):
            answer = client("sqs").get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])
