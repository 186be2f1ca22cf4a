"""State AwaitApproval: keeps the task token that a person's answer goes to."""

from __future__ import annotations

from typing import Any

from perennial.await_approval import await_approval
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Keep the token and tell people; the state goes on when somebody answers it."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    await_approval(ports(), model, release, execution, event["token"])
    logger.info("waits for a person", extra={"model": model, "release": release})
    return {}
