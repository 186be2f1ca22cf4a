"""The replacements in moto's SQS: waits follow the clock, queues invoke nobody."""

from typing import TYPE_CHECKING, Any

from moto.core.utils import unix_time_millis
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
        if self.fifo_queue and message.deduplication_id:
            window = cloud.clock.real_seconds(DEDUPLICATION_TIME_IN_SECONDS) * 1000
            for other in self._messages:
                same = other.deduplication_id == message.deduplication_id
                if same and message.sent_timestamp - other.sent_timestamp < window:
                    return
        with self._messages_lock:
            self._messages.append(message)
            self._messages_lock.notify_all()
        cloud.pollers.wake()

    return [
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
