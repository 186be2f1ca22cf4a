"""SQS consumer: writes captured requests of endpoints that SageMaker captures nothing of."""

from __future__ import annotations

from typing import Any

from perennial.observability import count, logger, observed
from perennial.wiring import ports
from perennial.write_captures import write_captures


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Take a batch of messages; those that failed are named, and come back alone."""
    done = write_captures(
        ports(), [(record["messageId"], record["body"]) for record in event["Records"]]
    )
    stack = ports().deployment.stack
    for message, words in done.failed.items():
        logger.error("message failed", extra={"message_id": message, "words": words})
    for key in done.files:
        logger.info("file written", extra={"key": key})
    for name, counts in (("CapturesWritten", done.written), ("CapturesDropped", done.dropped)):
        for model, number in counts.items():
            count(name, stack=stack, model=model, value=number)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in done.failed]}
