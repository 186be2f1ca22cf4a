"""AWS/SQS metrics: how many messages a queue holds, and how old the oldest is.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

import logging
import time
from typing import TYPE_CHECKING, Any

from moto.sqs.models import sqs_backends

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
LOOK_EVERY = 0.5  # seconds
REPORT_EVERY = 60.0  # service seconds, as SQS does; a change is reported at once
COUNTS = (
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class QueueGauges:
    """Publishes the figures of every queue."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._last: dict[str, tuple[float, tuple[int, ...]]] = {}
        cloud.background("queue-gauges", self._watch)

    def _watch(self) -> None:
        while not self._cloud.stopping.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception:
                log.exception("queues could not be measured")

    def _look(self) -> None:
        backend = sqs_backends[self._cloud.account][self._cloud.region]
        with self._cloud.lock("sqs"):
            figures = {name: _measure(queue) for name, queue in backend.queues.items()}
        now = time.monotonic()
        pause = max(1.0, self._cloud.clock.real_seconds(REPORT_EVERY))
        for name, (counts, oldest) in figures.items():
            reported, before = self._last.get(name, (0.0, ()))
            if counts == before and now - reported < pause:
                continue
            self._last[name] = (now, counts)
            where = {"QueueName": name}
            for metric, value in zip(COUNTS, counts, strict=True):
                self._cloud.put_metric("AWS/SQS", metric, value, where, "Count")
            age = (self._cloud.clock.now() - oldest) * self._cloud.clock.factor if oldest else 0.0
            self._cloud.put_metric(
                "AWS/SQS", "ApproximateAgeOfOldestMessage", max(0.0, age), where, "Seconds"
            )
        for name in set(self._last) - set(figures):
            del self._last[name]


def _measure(queue: Any) -> tuple[tuple[int, int, int], float]:
    """Counts of visible, invisible and delayed messages; epoch seconds of the oldest, or 0."""
    visible = invisible = delayed = 0
    oldest = 0.0
    for message in queue._messages:
        sent = message.sent_timestamp / 1000
        oldest = sent if not oldest else min(oldest, sent)
        if message.delayed:
            delayed += 1
        elif message.visible:
            visible += 1
        else:
            invisible += 1
    return (visible, invisible, delayed), oldest
