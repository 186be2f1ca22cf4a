"""Describe what is in production of a model by the ledger, and what is on its way there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.domain.errors import NotFound
from perennial.domain.ledger.release_words import waiting_words
from perennial.request_release import read_steady
from perennial.tell_proposal import proposal_words, read_proposal

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Production:
    """What the last confirmed release left, and the open one; `version` is 0 for nothing live.

    `waits` says in words how far the open release is, of an open A/B test, what comes next, and
    which earlier version does better.
    """

    version: int
    endpoint: str
    config: str
    since_ms: int
    open_release: int | None
    open_version: int
    waits: tuple[str, ...]


def describe_production(ports: Ports, model: str) -> Production:
    """What the ledger says; the endpoint is not asked. Raises `NotFound`."""
    book = read_steady(ports, model)
    if book is None:
        raise NotFound(f"there is no model '{model}'")
    live, release = book.model.live, book.release
    proposal = read_proposal(ports, book.model)
    return Production(
        version=live.version if live else 0,
        endpoint=live.endpoint if live else "",
        config=live.config if live else "",
        since_ms=live.since_ms if live else 0,
        open_release=release.number if release else None,
        open_version=release.version if release else 0,
        waits=(
            *waiting_words(book),
            *(() if proposal is None else proposal_words(model, proposal)),
        ),
    )
