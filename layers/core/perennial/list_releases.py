"""List a model's releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.describe_model import known_model
from perennial.domain.errors import NotFound
from perennial.domain.ledger.rows import ReleaseRow, release_key
from perennial.domain.ledger.store import read_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


def list_releases(ports: Ports, model: str, limit: int = 20) -> list[ReleaseRow]:
    """The newest releases first, at most `limit`; raises `NotFound` for an unknown model."""
    last = known_model(ports.ledger, model).last_release
    # Numbers have no gaps, so the newest are found by key, however many there were.
    rows = (read_release(ports.ledger, release_key(model, n)) for n in range(last, 0, -1))
    found: list[ReleaseRow] = []
    for row in rows:
        if row is None or len(found) == limit:
            break
        found.append(row)
    return found


def known_release(ports: Ports, model: str, number: int) -> ReleaseRow:
    """A release's row; raises `NotFound` in words for people."""
    known_model(ports.ledger, model)
    row = read_release(ports.ledger, release_key(model, number))
    if row is None:
        raise NotFound(f"there is no release {number} of {model}; see perennial releases {model}")
    return row
