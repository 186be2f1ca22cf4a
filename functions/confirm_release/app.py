"""State ConfirmRelease: is what was asked for what is live?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from perennial.confirm_release import confirm_release
from perennial.observability import logger, observed
from perennial.wiring import ports


@observed
def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Answer how the release ended, as the ledger has it."""
    model, release, execution = event["model"], int(event["release"]), event["execution"]
    confirmed = confirm_release(ports(), model, release, execution)
    logger.info(
        "confirmed",
        extra={
            "model": model,
            "release": release,
            "outcome": confirmed.outcome,
            "words": confirmed.words,
        },
    )
    return asdict(confirmed)
