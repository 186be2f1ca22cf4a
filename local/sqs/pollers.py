"""Event source mappings: queues polled for functions, as Lambda does it.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html and services-sqs-errorhandling.html
"""

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import lambda_backends
from moto.core.exceptions import ServiceException
from moto.sqs.models import sqs_backends

from local.errors import LambdaError
from local.sqs.records import drop_filtered, record_of
from local.timers import Timers

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
CONCURRENT_BATCHES = 5  # where Lambda starts without ScalingConfig
BATCH_BYTES = 6 * 1024 * 1024 - 64 * 1024
LOOK_EVERY = 0.1  # seconds; delayed and invisible messages come back without a signal
SUPPORTED = frozenset(
    {
        "EventSourceArn",
        "FunctionName",
        "Enabled",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "FunctionResponseTypes",
        "ScalingConfig",
        "FilterCriteria",
        "MetricsConfig",
        "Tags",
        "UUID",
    }
)


def refuse_mapping(spec: dict[str, Any], source: str) -> str:
    """Why this mapping cannot be honoured; empty if it can."""
    service = source.split(":")[2] if source.count(":") >= 5 else ""
    if source and service != "sqs":
        return f"The local cloud polls SQS queues only, not {source}."
    unknown = sorted(name for name in set(spec) - SUPPORTED if spec[name] not in (None, [], {}))
    if unknown:
        return f"The local cloud does not support {', '.join(unknown)} of an event source mapping."
    batch, window = spec.get("BatchSize"), spec.get("MaximumBatchingWindowInSeconds") or 0
    if batch is not None and batch > 10 and window < 1 and not source.endswith(".fifo"):
        return (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10"
        )
    concurrency = (spec.get("ScalingConfig") or {}).get("MaximumConcurrency")
    if concurrency is not None and not 2 <= concurrency <= 1000:
        return "MaximumConcurrency must be between 2 and 1000"
    return ""


class Pollers:
    """One polling thread for each enabled mapping."""

    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self.timers = Timers("poller", workers=48)
        self._threads: dict[str, _Poller] = {}
        self._lock = threading.Lock()
        self.arrived = threading.Condition()
        cloud.add_idle_probe("batches", self.timers.pending)
        cloud.add_idle_probe("queued messages", self._queued)
        cloud.add_idle_probe("delayed messages", self._delayed)

    def wake(self) -> None:
        """A message has arrived somewhere."""
        with self.arrived:
            self.arrived.notify_all()

    def mappings(self) -> dict[str, Any]:
        """moto's records of all mappings."""
        backend = lambda_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("lambda"):
            return dict(backend._event_source_mappings)

    def reconcile(self) -> None:
        """Start pollers of new mappings; those of deleted ones end by themselves."""
        with self._lock:
            for uuid in self.mappings():
                if uuid not in self._threads:
                    self._threads[uuid] = _Poller(self, uuid)
            for uuid in [uuid for uuid, poller in self._threads.items() if poller.ended]:
                del self._threads[uuid]

    def queue(self, arn: str) -> Any:
        """moto's queue with this ARN, or None (call under the lock of sqs)."""
        queues = sqs_backends[self.cloud.account][self.cloud.region].queues
        return queues.get(arn.rpartition(":")[2])

    def _count(self, *, delayed: bool) -> int:
        enabled = {m.event_source_arn for m in self.mappings().values() if m.enabled}
        now_ms = time.time() * 1000
        with self.cloud.lock("sqs"):
            queues = [queue for queue in map(self.queue, enabled) if queue is not None]
            messages = (message for queue in queues for message in queue._messages)
            return sum((message.delayed_until > now_ms) is delayed for message in messages)

    def _queued(self) -> int:
        return self._count(delayed=False)

    def _delayed(self) -> int:
        return self._count(delayed=True)


@dataclass
class _Batch:
    messages: list[Any] = field(default_factory=list)
    first_at: float = 0.0
    size: int = 0


class _Poller:
    """Collects batches from one queue and gives them to one function."""

    def __init__(self, pollers: Pollers, uuid: str) -> None:
        self._pollers = pollers
        self._cloud = pollers.cloud
        self._uuid = uuid
        self._running = 0
        self._lock = threading.Lock()
        self.ended = False
        self._cloud.background(f"poller-{uuid}", self._poll)

    def _mapping(self) -> Any:
        return self._pollers.mappings().get(self._uuid)

    def _poll(self) -> None:
        batch = _Batch()
        try:
            while not self._cloud.stopping.is_set():
                mapping = self._mapping()
                if mapping is None:
                    return
                if mapping.enabled and self._may_run(mapping):
                    self._collect(mapping, batch)
                    if self._is_due(mapping, batch):
                        self._start(mapping, batch.messages)
                        batch = _Batch()
                        continue
                with self._pollers.arrived:
                    self._pollers.arrived.wait(self._pause(mapping, batch))
        finally:
            self.ended = True

    def _pause(self, mapping: Any, batch: _Batch) -> float:
        if not batch.messages:
            return LOOK_EVERY
        window = self._cloud.clock.real_seconds(mapping.max_batch_window or 0)
        return max(0.001, min(LOOK_EVERY, batch.first_at + window - time.monotonic()))

    def _may_run(self, mapping: Any) -> bool:
        limit: int = (mapping.scaling_config or {}).get("MaximumConcurrency", CONCURRENT_BATCHES)
        if mapping.event_source_arn.endswith(".fifo"):
            limit = 1
        with self._lock:
            return self._running < limit

    def _collect(self, mapping: Any, batch: _Batch) -> None:
        backend = sqs_backends[self._cloud.account][self._cloud.region]
        while len(batch.messages) < mapping.batch_size and batch.size < BATCH_BYTES:
            with self._cloud.lock("sqs"):
                queue = self._pollers.queue(mapping.event_source_arn)
                if queue is None:
                    return
                wanted = min(10, mapping.batch_size - len(batch.messages))
                found = backend.receive_message(
                    queue.name, wanted, 0, queue.visibility_timeout, ["All"]
                )
            if not found:
                return
            found = drop_filtered(self._cloud, mapping, found)
            if found and not batch.messages:
                batch.first_at = time.monotonic()
            batch.messages += found
            batch.size += sum(len(message.body) + 1024 for message in found)

    def _is_due(self, mapping: Any, batch: _Batch) -> bool:
        if not batch.messages:
            return False
        window = self._cloud.clock.real_seconds(mapping.max_batch_window or 0)
        full = len(batch.messages) >= mapping.batch_size or batch.size >= BATCH_BYTES
        return full or time.monotonic() >= batch.first_at + window

    def _start(self, mapping: Any, messages: list[Any]) -> None:
        with self._lock:
            self._running += 1
        self._pollers.timers.now(lambda: self._process(mapping, messages))
        for message in messages:
            for delay in self._cloud.faults.deliveries()[
                1:
            ]:  # a duplicate, as at-least-once allows
                self._pollers.timers.after(
                    delay,
                    lambda m=message: self._invoke(mapping, [m]),  # type: ignore[misc] # bound now
                )

    def _process(self, mapping: Any, messages: list[Any]) -> None:
        try:
            for message in self._succeeded(mapping, messages):
                self._delete(mapping, message)
        finally:
            with self._lock:
                self._running -= 1
            self._pollers.wake()

    def _succeeded(self, mapping: Any, messages: list[Any]) -> list[Any]:
        """The messages that the function has dealt with; the others come back in their time."""
        answer = self._invoke(mapping, messages)
        if answer is None or answer.function_error:
            return []
        if "ReportBatchItemFailures" not in (mapping.function_response_types or []):
            return messages
        failed = _failed_ids(answer.payload)
        known = {message.id for message in messages}
        if failed is None or not failed <= known:
            log.warning("%s answered with invalid batchItemFailures", mapping.function_arn)
            return []
        return [message for message in messages if message.id not in failed]

    def _invoke(self, mapping: Any, messages: list[Any]) -> Any:
        records = [record_of(self._cloud, mapping, message) for message in messages]
        self._cloud.journal.add(
            "batch",
            function=mapping.function_arn,
            queue=mapping.event_source_arn,
            messages=[message.id for message in messages],
        )
        try:
            payload = json.dumps({"Records": records}).encode()
            return self._cloud.invoke_function(mapping.function_arn, payload)
        except LambdaError as error:
            log.warning("%s did not take a batch: %s", mapping.function_arn, error)
            return None

    def _delete(self, mapping: Any, message: Any) -> None:
        backend = sqs_backends[self._cloud.account][self._cloud.region]
        with self._cloud.lock("sqs"):
            queue = self._pollers.queue(mapping.event_source_arn)
            if queue is None:
                return
            try:
                backend.delete_message(queue.name, message.receipt_handle)
            except ServiceException:
                log.info("message %s was gone already", message.id)


def _failed_ids(payload: bytes) -> set[str] | None:
    """The failed message ids; None where the answer is not valid (then the batch fails)."""
    try:
        document = json.loads(payload or b"null")
        if not document:
            return set()
        entries = document.get("batchItemFailures") or []
        failed = {entry["itemIdentifier"] for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if any(not isinstance(item, str) or not item for item in failed) else failed
