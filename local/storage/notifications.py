"""What S3 tells about objects: events for EventBridge in AWS's shape, and classic notifications.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import contextlib
import itertools
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flask
from moto.s3.notifications import S3NotificationEvent, _get_s3_event

from local.delivery import DeliveryError, invoke_later, publish_to_topic, send_to_queue
from local.timers import Timers

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
EMPTY_ETAG = "d41d8cd98f00b204e9800998ecf8427e"  # S3 gives a delete marker the empty MD5
_REASONS = {
    S3NotificationEvent.OBJECT_CREATED_PUT_EVENT: "PutObject",
    S3NotificationEvent.OBJECT_CREATED_POST_EVENT: "POST Object",
    S3NotificationEvent.OBJECT_CREATED_COPY_EVENT: "CopyObject",
    S3NotificationEvent.OBJECT_CREATED_COMPLETE_MULTIPART_UPLOAD_EVENT: "CompleteMultipartUpload",
}
_DETAIL_TYPES = {
    S3NotificationEvent.OBJECT_TAGGING_PUT_EVENT: "Object Tags Added",
    S3NotificationEvent.OBJECT_TAGGING_DELETE_EVENT: "Object Tags Deleted",
    S3NotificationEvent.OBJECT_ACL_UPDATE_EVENT: "Object ACL Updated",
    S3NotificationEvent.OBJECT_RESTORE_POST_EVENT: "Object Restore Initiated",
    S3NotificationEvent.OBJECT_RESTORE_COMPLETED_EVENT: "Object Restore Completed",
}
# moto sends these also as a side effect of a put; AWS only for the request of their own.
_ONLY_IF_ASKED = {
    S3NotificationEvent.OBJECT_TAGGING_PUT_EVENT: "tagging",
    S3NotificationEvent.OBJECT_TAGGING_DELETE_EVENT: "tagging",
    S3NotificationEvent.OBJECT_ACL_UPDATE_EVENT: "acl",
}


class Sequencer:
    """Hexadecimal numbers that only grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __next__(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            return f"{self._last:018X}"


class ObjectEvents:
    """Turns what moto reports about objects into events and notifications."""

    def __init__(self, cloud: "Cloud") -> None:
        self._cloud = cloud
        self._sequencer = Sequencer()
        self._muted = threading.local()
        self._timers = Timers("s3-notifications", workers=4)
        self._numbers = itertools.count(1)
        cloud.add_idle_probe("bucket notifications", self._timers.pending)

    @contextlib.contextmanager
    def muted(self, *events: S3NotificationEvent) -> Iterator[None]:
        """Drop these events of moto's while in the block (they are wrong or come twice)."""
        self._muted.events = events
        try:
            yield
        finally:
            self._muted.events = ()

    def send(self, _account: str, event: S3NotificationEvent, bucket: Any, key: Any) -> None:
        """In place of moto's `send_event`."""
        if event in getattr(self._muted, "events", ()) or key is None:
            return
        wanted = _ONLY_IF_ASKED.get(event)
        if wanted and not (flask.has_request_context() and wanted in flask.request.args):
            return
        self._classic(event, bucket, key)
        if event in _REASONS:
            self._to_bus(bucket, "Object Created", self._object(key), {"reason": _REASONS[event]})
        elif event in _DETAIL_TYPES:
            self._to_bus(bucket, _DETAIL_TYPES[event], self._object(key), {})

    def removed(self, bucket: Any, name: str, deletion: str, version: str | None) -> None:
        """An object (version) is gone for good, or a delete marker hides it."""
        described: dict[str, Any] = {"key": name}
        if deletion == "Delete Marker Created":
            described["etag"] = EMPTY_ETAG
        if version:
            described["version-id"] = version
        described["sequencer"] = next(self._sequencer)
        more = {"reason": "DeleteObject", "deletion-type": deletion}
        self._to_bus(bucket, "Object Deleted", described, more)
        event = (
            S3NotificationEvent.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
            if deletion == "Delete Marker Created"
            else S3NotificationEvent.OBJECT_REMOVED_DELETE_EVENT
        )
        self._classic(event, bucket, _Gone(name))

    def _object(self, key: Any) -> dict[str, Any]:
        described = {
            "key": key.name,
            "size": key.size,
            "etag": key.etag.replace('"', ""),
        }
        if key.version_id and key.version_id != "null":
            described["version-id"] = key.version_id
        described["sequencer"] = next(self._sequencer)
        return described

    def _to_bus(
        self, bucket: Any, detail_type: str, described: dict[str, Any], more: dict[str, str]
    ) -> None:
        configuration = bucket.notification_configuration
        if configuration is None or configuration.event_bridge is None:
            return
        detail = {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": described,
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": self._cloud.account,
            "source-ip-address": "127.0.0.1",
            **more,
        }
        self._cloud.publish_event("aws.s3", detail_type, detail, [bucket.arn])

    def _classic(self, event: S3NotificationEvent, bucket: Any, key: Any) -> None:
        configuration = bucket.notification_configuration
        if configuration is None:
            return
        kinds = (
            (configuration.queue, send_to_queue),
            (configuration.topic, publish_to_topic),
            (configuration.cloud_function, lambda c, a, b: invoke_later(c, a, b.encode())),
        )
        for notifications, send in kinds:
            for notification in notifications:
                if notification.matches(event, key.name):
                    body = json.dumps(_get_s3_event(event, bucket, key, notification.id))
                    self._later(send, notification.arn, body)

    def _later(self, send: Any, arn: str, body: str) -> None:
        def work() -> None:
            try:
                send(self._cloud, arn, body)
            except DeliveryError:
                log.exception("%s took no bucket notification", arn)

        self._timers.now(work)


class _Gone:
    """Enough of a key for a classic removal notification."""

    size = 0
    etag = ""

    def __init__(self, name: str) -> None:
        self.name = name
