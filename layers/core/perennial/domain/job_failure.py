"""Why a SageMaker job failed, in the words that tell most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# All that SageMaker says of a processing job that failed by itself: that there is a log.
_UNTELLING = "AlgorithmError"


def reason_of(described: Mapping[str, Any], *, unknown: str = "no reason was given") -> str:
    """SageMaker's reason; a processing job's own last words where that only names a log."""
    reason = str(described.get("FailureReason") or "")
    own = str(described.get("ExitMessage") or "")
    if own and (not reason or reason.startswith(_UNTELLING)):
        return own
    return reason or unknown
