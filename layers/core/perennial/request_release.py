"""Hear of an approval, or of one that was taken back, on the way to production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain.errors import Conflict
from perennial.domain.ledger import release_claims, releases
from perennial.domain.ledger.releases import ReleaseBook
from perennial.domain.ledger.rows import Champion, ModelRow, Wanted
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports

Heard = Literal["new", "known", "superseded", "gone"]


def is_released(ports: Ports, model: ModelRow) -> bool:
    """Whether a version of the model becomes champion by a release, not by its approval alone.

    So it is when the newest settings ask for an endpoint; and as long as one serves, for nothing
    but a release can tell that it serves another version.
    """
    if model.live is not None or model.open_release is not None:
        return True
    return read_settings_of(ports.ledger, model).release.endpoint is not None


def request_release(ports: Ports, model: str, approved: Champion, words: str) -> Heard:
    """Note that a version was approved, once; `new`, `known`, `superseded`, or `gone`.

    `approved` is the champion that it would be; `words` are the approval's own.
    """
    wanted = Wanted(
        kind="approval",
        version=approved.version,
        arn=approved.arn,
        decided_ms=approved.since_ms,
        run=approved.run,
        settings=approved.settings,
        digest=approved.digest,
        because=words,
    )
    decision: Heard = "gone"

    def decide() -> Transaction:
        nonlocal decision
        book = read_steady(ports, model)
        if book is None:
            decision = "gone"
            return ()
        asked = releases.request(book, wanted)
        decision = asked.decision
        return asked.changes

    commit_change(ports, decide)
    return decision


def withdraw_release(ports: Ports, model: str, arn: str, words: str) -> bool:
    """Keep a version whose approval was taken back from production; False: nothing to keep.

    One that waits is forgotten, one whose release is at work is stopped, until production has
    begun to change: then it comes too late.
    """

    def decide() -> Transaction:
        book = read_steady(ports, model)
        if book is None:
            return ()
        stopped: Transaction = ()
        if book.release is not None and book.release.arn == arn and book.release.kind != "rollback":
            stopped = release_claims.withdraw(book.release, words)
        return (*releases.forget_wish(book.model, arn), *stopped)

    return commit_change(ports, decide)


def read_steady(ports: Ports, model: str) -> ReleaseBook | None:
    """The model's releases, read again while one ends under the reader's hands."""
    for _ in range(10):
        try:
            return releases.read_release_book(ports.ledger, model)
        except Conflict:
            continue
    raise Conflict(f"the releases of {model} do not come to rest")
