"""CloudFormation's custom resource protocol: whatever happens, the response URL is answered.

A resource that does not answer blocks its stack for an hour. So errors are answered with
their words, and a timer answers shortly before the function's time is up.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

Answer = Mapping[str, str]
Work = Callable[[Mapping[str, Any], float], Answer]

ATTEMPTS = 4
MARGIN_S = 8.0  # left for the answer itself
LONGEST_REASON = 1000  # the whole answer must stay below 4,096 bytes


def physical_id(event: Mapping[str, Any]) -> str:
    """The resource's id: the same over updates and repeated deliveries.

    A changed id would make CloudFormation delete the "old" resource, and with it the data.
    """
    known = event.get("PhysicalResourceId")
    if known:
        return str(known)
    parts = f"{event['StackId']}\x00{event['LogicalResourceId']}"
    return f"perennial-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def respond(event: Mapping[str, Any], work: Work, *, remaining_s: float) -> tuple[str, str]:
    """Do the work, answer the event's URL exactly once; the status and its words.

    `work(event, deadline)` gets the monotonic time by which it should give up by itself, and
    returns the resource's attributes. Raises only if the answer could not be delivered.
    """
    once = threading.Lock()
    deadline = time.monotonic() + remaining_s - MARGIN_S

    def answer(status: str, reason: str, data: Answer) -> tuple[str, str]:
        if once.acquire(blocking=False):
            _put(event["ResponseURL"], _document(event, status, reason, data))
        return status, reason

    words = f"the time of {remaining_s:.0f} s was not enough; repeat the operation to go on"
    timer = threading.Timer(deadline - time.monotonic(), answer, ("FAILED", words, {}))
    timer.daemon = True
    timer.start()
    try:
        data = work(event, deadline - MARGIN_S)
    except Exception as error:  # the protocol's only way to tell an error
        return answer("FAILED", f"{type(error).__name__}: {error}", {})
    finally:
        timer.cancel()
    return answer("SUCCESS", "", data)


def _document(event: Mapping[str, Any], status: str, reason: str, data: Answer) -> bytes:
    return json.dumps(
        {
            "Status": status,
            "Reason": reason[:LONGEST_REASON] or "done",
            "PhysicalResourceId": physical_id(event),
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
            "NoEcho": False,
            "Data": dict(data),
        }
    ).encode()


def _put(url: str, body: bytes) -> None:
    """PUT the answer to the pre-signed URL; its signature covers an empty content type."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"the response URL is no URL: {url!r}")
    request = urllib.request.Request(  # noqa: S310  # the scheme was checked above
        url, data=body, method="PUT", headers={"Content-Type": ""}
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, TimeoutError):
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.2 * 2**attempt)
