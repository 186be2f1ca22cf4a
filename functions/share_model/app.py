"""State ShareModel: the version's archive put onto the endpoint that several models share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.observability import logger, observed
from perennial.share_model import share_model
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer where the version can be asked; a repeated call changes nothing."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    shared = asdict(share_model(ports(), model, release, execution, event["container"]))
    logger.info("shared", extra={"model": model, "release": release, **shared})
    return shared
