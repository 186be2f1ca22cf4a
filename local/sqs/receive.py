"""ReceiveMessage with long polling that holds no lock while it waits."""

import io
import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from moto.sqs.models import sqs_backends

from local.services import Environ, StartResponse, Wsgi

if TYPE_CHECKING:
    from local.cloud import Cloud

PAUSE = 0.04  # seconds between two looks


def receive_application(cloud: "Cloud") -> Wsgi:
    """moto's SQS; a waiting receive is asked again and again with a wait of zero."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body: bytes = environ["wsgi.input"].read()
        wait, asked = _without_wait(cloud, environ, body)
        deadline = time.monotonic() + cloud.clock.real_seconds(wait)
        while True:
            attempt = {
                **environ,
                "wsgi.input": io.BytesIO(asked),
                "CONTENT_LENGTH": str(len(asked)),
            }
            response = cloud.ask_moto("sqs", attempt)
            left = deadline - time.monotonic()
            if left <= 0 or response.status_code != 200 or _has_messages(response.get_data()):
                return response(environ, start_response)
            if cloud.stopping.wait(min(PAUSE, left)):
                return response(environ, start_response)

    return application


def _has_messages(body: bytes) -> bool:
    return b'"Messages": [{' in body or b'"Messages":[{' in body or b"<Message>" in body


def _without_wait(cloud: "Cloud", environ: Environ, body: bytes) -> tuple[float, bytes]:
    """How long a receive wants to wait, and the request that waits no time."""
    if environ.get("HTTP_X_AMZ_TARGET", "").endswith(".ReceiveMessage"):
        try:
            request: dict[str, Any] = json.loads(body)
        except ValueError:
            return 0, body
        wait = request.get("WaitTimeSeconds", _queue_wait(cloud, request.get("QueueUrl", "")))
        return float(wait or 0), json.dumps({**request, "WaitTimeSeconds": 0}).encode()
    if b"Action=ReceiveMessage" in body:
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        wait = form.get("WaitTimeSeconds", _queue_wait(cloud, form.get("QueueUrl", "")))
        return float(wait or 0), urlencode({**form, "WaitTimeSeconds": "0"}).encode()
    return 0, body


def _queue_wait(cloud: "Cloud", url: str) -> float:
    with cloud.lock("sqs"):
        queue: Any = sqs_backends[cloud.account][cloud.region].queues.get(url.rpartition("/")[2])
        return float(queue.receive_message_wait_time_seconds) if queue is not None else 0.0
