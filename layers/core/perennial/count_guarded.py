"""Count what the guards of a release looked at: an alarm without requests never sounds."""

from __future__ import annotations

from perennial.aws.variant_metrics import count_answers, count_requests
from perennial.domain.errors import PerennialError
from perennial.domain.ledger.rows import ReleaseRow
from perennial.domain.release_plan import MAIN


def guarded_words(stack: str, release: ReleaseRow) -> str:
    """What people must know of the guards of a release that went live; empty: nothing.

    A model's first endpoint on instances is made without a guard, and is not spoken of.
    """
    began_ms, ended_ms = release.updating_ms, release.ended_ms
    if began_ms is None or ended_ms is None or not (release.before or release.moves):
        return ""
    try:
        answered = _answered(stack, release, began_ms, ended_ms)
    except PerennialError as error:
        return f"Whether its guards measured anything could not be seen: {error}"
    if answered:
        return ""
    return (
        "Its guards measured nothing: no request reached the new version while they watched "
        f"({_minutes(ended_ms - began_ms)}). Errors and latency in production are not known yet."
    )


def _answered(stack: str, release: ReleaseRow, began_ms: int, ended_ms: int) -> int:
    """How many requests its guards saw."""
    if release.endpoint_kind == "multi-model":
        return count_answers(stack, release.model, release.number, began_ms, ended_ms)
    # An endpoint that a release brings has all its requests from that release.
    config = "" if release.moves else release.config
    return count_requests(release.endpoint, MAIN, config, began_ms, ended_ms)


def _minutes(span_ms: int) -> str:
    return f"{max(1, round(span_ms / 60_000))} min"
