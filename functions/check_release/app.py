"""State CheckRelease: the last look before production changes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.check_release import check_release
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer whether there is an endpoint to update; a release that may not go on ends here."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    ready = check_release(ports(), model, release, execution)
    logger.info("ready", extra={"model": model, "release": release, "exists": ready.exists})
    return asdict(ready)
