"""Which endpoint answers a request: the live one, or the one that a release moves traffic to.

On an endpoint that several models share, each version is a target of it.

SageMaker itself divides the requests of a guarded deployment. Where it guards nothing, the ledger
keeps the share of the second endpoint, and each request is drawn by it. A request whose endpoint
is gone goes to the other one; but never to an endpoint that has no share: it was turned back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.domain import shared_naming
from perennial.domain.ledger.move_rows import WHOLE, Move
from perennial.domain.ledger.rows import Live


@dataclass(frozen=True)
class Route:
    """One endpoint and the version on it, with `permille` thousandths of the requests.

    `settings`: the version that it was trained with. `captured`: the percentage of its requests
    that we record, for SageMaker does not. `target`: which archive of a shared endpoint it is
    (TargetModel); empty: the endpoint has one model. `guarded`: the release whose alarms watch
    these answers by our own figures, for SageMaker does not tell shared models apart; 0: none.
    """

    endpoint: str
    version: int
    settings: int
    since_ms: int
    captured: int
    permille: int
    target: str = ""
    guarded: int = 0


def routes(model: str, live: Live | None, move: Move | None) -> tuple[Route, ...]:
    """Every endpoint that may answer, the live one last; none when nothing is in production."""
    share = move.permille if move is not None else 0
    if live is None:
        share = WHOLE if share else 0
    found = []
    if move is not None and share:
        guarded = move.release if move.kind == "multi-model" else 0
        found.append(_route(model, move, share, guarded))
    if live is not None:
        found.append(_route(model, live, WHOLE - share))
    return tuple(found)


def _route(model: str, place: Live | Move, permille: int, guarded: int = 0) -> Route:
    return Route(
        endpoint=place.endpoint,
        version=place.version,
        settings=place.settings,
        since_ms=place.since_ms,
        captured=place.captured,
        permille=permille,
        target=shared_naming.target(model, place.config) if place.kind == "multi-model" else "",
        guarded=guarded,
    )


def drawn(found: Sequence[Route], number: float) -> Route:
    """The endpoint of a request by a number from 0 up to 1, drawn for it; `found` is not empty."""
    left = number * WHOLE
    for route in found[:-1]:
        left -= route.permille
        if left < 0:
            return route
    return found[-1]


def instead_of(found: Sequence[Route], gone: Route) -> Route | None:
    """What answers for an endpoint, or a target of it, that is gone; None when nothing else may."""
    place = (gone.endpoint, gone.target)
    return next((route for route in found if (route.endpoint, route.target) != place), None)
