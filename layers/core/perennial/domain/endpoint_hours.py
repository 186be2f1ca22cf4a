"""How long each release of a model served, by the ledger alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.domain.ledger.rows import Live, ReleaseRow


@dataclass(frozen=True)
class Served:
    """One confirmed configuration and for how many seconds it was live.

    `seconds` is None for the last one when the endpoint was removed, for nobody noted when. The
    second fleet of a deployment and staging endpoints are not counted.
    """

    release: ReleaseRow
    seconds: float | None


def served(releases: Sequence[ReleaseRow], live: Live | None, now_ms: int) -> tuple[Served, ...]:
    """The releases that went live, oldest first, each until the next one did."""
    went_live = sorted(
        (each for each in releases if each.outcome == "released" and each.endpoint),
        key=lambda each: each.number,
    )
    last = now_ms if live is not None else None
    ends = [*map(_since, went_live), last][1:]
    return tuple(
        Served(row, None if end is None else max(0, end - _since(row)) / 1000)
        for row, end in zip(went_live, ends, strict=True)
    )


def _since(release: ReleaseRow) -> int:
    """When its configuration was confirmed to be live."""
    return release.ending.at_ms if release.ending is not None else release.opened_ms
