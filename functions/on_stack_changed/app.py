"""CloudFormation custom resource: tells a stack its token, and removes what it leaves behind."""

from __future__ import annotations

from typing import Any

from perennial.custom_resource import respond
from perennial.observability import logger, observed
from perennial.remove_remains import change_stack


@observed
def handler(event: Any, context: Any) -> None:
    """Do what the stack's change asks for, and answer CloudFormation."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    status, reason = respond(event, change_stack, remaining_s=remaining_s)
    logger.info(
        "answered CloudFormation",
        extra={
            "request": event["RequestType"],
            "resource": event["LogicalResourceId"],
            "status": status,
            "reason": reason,
        },
    )
