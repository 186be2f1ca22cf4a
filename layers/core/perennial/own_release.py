"""The release that an execution acts for, if it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.errors import NotClaimed
from perennial.domain.ledger.release_claims import check_release_claim
from perennial.domain.ledger.rows import ReleaseRow, release_key
from perennial.domain.ledger.store import read_model, read_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


def own_release(ports: Ports, model: str, release: int, execution: str) -> ReleaseRow:
    """The release's row; raises `NotClaimed`, or `Withdrawn` when its version is no more approved.

    Asked at the beginning of every function of the release machine: an execution that somebody
    started or redrove by hand, or that is too late, changes nothing.
    """
    row = read_release(ports.ledger, release_key(model, release))
    check_release_claim(read_model(ports.ledger, model), row, execution)
    if row is None:  # the claim's check says so itself
        raise NotClaimed(f"release {release} of {model} never was")
    return row
