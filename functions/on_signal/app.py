"""SQS consumer: admits signals to the ledger and opens the run that is due."""

from __future__ import annotations

from typing import Any

from perennial.handle_signals import handle_signals
from perennial.observability import count, logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Take a batch of messages; those that failed are named, and come back alone."""
    handled = handle_signals(
        ports(), [(record["messageId"], record["body"]) for record in event["Records"]]
    )
    stack = ports().deployment.stack
    for line in handled.lines:
        log = logger.error if line.is_error else logger.info
        log(line.what, extra=line.fields())
    for (name, model), number in handled.counts.items():
        count(name, stack=stack, model=model, value=number)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in handled.failed]}
