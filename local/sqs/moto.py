"""The replacements in moto's SQS: waits follow the clock, queues invoke nobody, and a queue of
thousands of messages is counted in one quick pass (moto asks for its length at every send)."""

import time
from typing import TYPE_CHECKING, Any

from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import DEDUPLICATION_TIME_IN_SECONDS

from local.patches import Patch

if TYPE_CHECKING:
    from local.cloud import Cloud


def queue_patches(cloud: "Cloud") -> list[Patch]:
    """Bound to this cloud."""

    def change_visibility(self: Any, visibility_timeout: int) -> None:
        wait = cloud.clock.real_seconds(int(visibility_timeout))
        self.visible_at = unix_time_millis() + wait * 1000

    def delay(self: Any, delay_seconds: int) -> None:
        wait = cloud.clock.real_seconds(int(delay_seconds))
        self.delayed_until = unix_time_millis() + wait * 1000

    def add_message(self: Any, message: Any) -> None:
        """moto's, without its synchronous calls of functions: our pollers fetch messages."""
        window = cloud.clock.real_seconds(DEDUPLICATION_TIME_IN_SECONDS) * 1000
        if self.fifo_queue and message.deduplication_id and _is_duplicate(self, message, window):
            return
        with self._messages_lock:
            self._messages.append(message)
            self._messages_lock.notify_all()
        cloud.pollers.wake()

    return [
        *_counting_patches(),
        Patch(
            "moto.sqs.models:Message.change_visibility",
            "fcde8986de1390dce4e6015305233a4545ff8193b2d98b7cf5ae544a9d543084",
            change_visibility,
        ),
        Patch(
            "moto.sqs.models:Message.delay",
            "4af4d292f3a61eaaa694796d63290140532b17297c111ef7468dd2209d67c833",
            delay,
        ),
        Patch(
            "moto.sqs.models:Queue.add_message",
            "f27c9231c1f2043382bc1435c4dfbab7b645389df642f050d9dda477f6535c35",
            add_message,
        ),
    ]


def _counting_patches() -> list[Patch]:
    return [
        Patch(
            "moto.sqs.models:Queue.delete_message",
            "fa6fd5b9bd2cafb4aaacd79da7fc656e513e1513197c2939ff002f9ebfd4be46",
            _delete_message,
        ),
        Patch(
            "moto.sqs.models:Queue.messages",
            "03a531dbcbcf9aee2e61c7254c08946a499f5c57f2447a8f2e534aa85b067dea",
            property(_messages),
        ),
        Patch(
            "moto.sqs.models:Queue.approximate_number_of_messages",
            "d357a9506a56d2f8f9f364aa1e0a4739182106db6dbcede0e0699c00d1406eec",
            property(_visible),
        ),
        Patch(
            "moto.sqs.models:Queue.approximate_number_of_messages_delayed",
            "c3c1dadb0c42ed5f8f5e1fddc8384de67db2df9a4055504f10903bd0b55e8d2f",
            property(_delayed),
        ),
        Patch(
            "moto.sqs.models:Queue.approximate_number_of_messages_not_visible",
            "5dbecc4dda174358d2aefa96e4b769def47fd6bb2c315241c451e8518c3fabab",
            property(_hidden),
        ),
    ]


def _is_duplicate(queue: Any, message: Any, window_ms: float) -> bool:
    return any(
        other.deduplication_id == message.deduplication_id
        and message.sent_timestamp - other.sent_timestamp < window_ms
        for other in queue._messages
    )


def _messages(self: Any) -> list[Any]:
    now = time.time() * 1000
    return [m for m in self._messages if now > m.visible_at and now >= m.delayed_until]


def _visible(self: Any) -> int:
    return len(_messages(self))


def _delayed(self: Any) -> int:
    now = time.time() * 1000
    return sum(now < m.delayed_until for m in self._messages)


def _hidden(self: Any) -> int:
    now = time.time() * 1000
    return sum(now <= m.visible_at for m in self._messages)


def _delete_message(self: Any, receipt_handle: str) -> None:
    """moto's rebuilds the whole queue for each deletion; consumed messages are at its head."""
    if receipt_handle in self.deleted_messages:
        return
    for position, message in enumerate(self._messages):
        if message.had_receipt_handle(receipt_handle):
            self.pending_messages.discard(message)
            self.deleted_messages.update(message.all_receipt_handles)
            del self._messages[position]
            return
    raise ReceiptHandleIsInvalid
