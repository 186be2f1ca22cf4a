"""Capture an answered request of an endpoint that SageMaker captures nothing of.

The client has waited for a prediction, not for this: it takes a moment at most, and what fails
here is counted and logged, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws.captures import (
    FILE_SECONDS,
    QUEUE_SECONDS,
    send_captured,
    write_captured,
)
from perennial.domain.capture import (
    LARGEST_MESSAGE,
    Exchange,
    captured,
    file_body,
    file_key,
    message_of,
)
from perennial.domain.errors import PerennialError
from perennial.observability import count, logger

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Milliseconds without another try after a failure, so that an outage delays few predictions.
PAUSE_MS = 10_000
LOST = "CapturesLost"

_paused_until: dict[str, int] = {}


def capture_prediction(ports: Ports, exchange: Exchange, left_s: float) -> None:
    """Leave the exchange for `write_captures`, unless its client would wait too long for it.

    `left_s`: seconds until the client's answer is due. Raises nothing of the domain's errors.
    """
    stack = ports.deployment.stack
    if not exchange.variant:  # it could not be filed
        _lose(ports, exchange, "the endpoint did not say which of its variants answered")
        return
    if left_s < FILE_SECONDS + 2 * QUEUE_SECONDS:
        _lose(ports, exchange, "the answer was late already")
        return
    if ports.clock() < _paused_until.get(stack, 0):
        _lose(ports, exchange, "after a failure nothing is captured for a while")
        return
    try:
        _leave(ports, exchange)
    except PerennialError as error:
        _paused_until[stack] = ports.clock() + PAUSE_MS
        _lose(ports, exchange, f"{type(error).__name__}: {error}")


def forget_failures() -> None:
    """Try again at once, as a new process does."""
    _paused_until.clear()


def _leave(ports: Ports, exchange: Exchange) -> None:
    found = captured(exchange)
    message = message_of(found)
    if len(message) <= LARGEST_MESSAGE:
        send_captured(ports.deployment.capture_queue_url, message)
        return
    alone = [(exchange.request_id, found)]
    write_captured(ports.deployment.artifact_bucket, file_key(alone), file_body(alone))


def _lose(ports: Ports, exchange: Exchange, words: str) -> None:
    facts = {"model": exchange.model, "request": exchange.request_id, "words": words}
    logger.warning("request not captured", extra=facts)
    count(LOST, stack=ports.deployment.stack, model=exchange.model)
