"""HTTP API: predictions of a model, and what its requests must hold."""

from __future__ import annotations

from typing import Any

from perennial.observability import observed
from perennial.predict import respond
from perennial.wiring import ports


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one request; its id is the invocation's, and the captured request carries it."""
    return respond(ports(), event, context.aws_request_id)
