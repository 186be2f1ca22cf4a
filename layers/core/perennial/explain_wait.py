"""Say what each unsettled signal of a model waits for: the answer to `perennial why`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.objects import find_current
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.errors import Conflict, NotFound
from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.explain import Explained, explain
from perennial.domain.ledger.holding import Hold, Waiting, decide
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.release_words import waiting_words
from perennial.domain.ledger.releases import ReleaseBook
from perennial.domain.ledger.rows import DONE_SK, OPEN_SK, ModelRow, SignalRow
from perennial.domain.ledger.store import read_signals
from perennial.domain.manifest import is_selected
from perennial.domain.signals import DATA
from perennial.request_release import read_steady
from perennial.tell_proposal import proposal_words, read_proposal

if TYPE_CHECKING:
    from perennial.wiring import Ports

ATTEMPTS = 10


@dataclass(frozen=True)
class SignalWait:
    """One signal and what it waits for; `until_ms` None: for an event, not for a time."""

    id: str
    kind: str
    words: str
    state: str
    admitted_ms: int
    run: int | None
    reason: str
    until_ms: int | None


@dataclass(frozen=True)
class Explanation:
    """Why no run opens now; `opens_ms` is the earliest moment one could, None: not by time.

    `releases` says in words what the model's releases wait for, and which earlier version does
    better than the live one; empty: nothing is released, none does.
    """

    model: str
    open_run: int | None
    opens_ms: int | None
    holds: tuple[Hold, ...]
    signals: tuple[SignalWait, ...]
    releases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectFate:
    """What became of one version of an object."""

    key: str
    version_id: str
    state: str
    run: int | None
    reason: str
    first_bad: tuple[str, ...]
    admitted_ms: int
    settled_ms: int | None


def explain_wait(ports: Ports, model: str) -> Explanation:
    """Explain every pending, held or claimed signal; raises `NotFound` for an unknown model."""
    row = known_model(ports.ledger, model)
    book = read_steady_book(ports, model)
    limits = read_limits(ports, row)
    now_ms = ports.clock()
    decision = decide(book, limits, now_ms) if book.run is None else Waiting(None, ())
    proposal = read_proposal(ports, row)
    explained = {each.id: each for each in explain(book, limits, now_ms).signals}
    ordered = sorted(book.signals, key=lambda signal: (signal.admitted_ms, signal.id))
    return Explanation(
        model=model,
        open_run=book.model.open_run,
        opens_ms=decision.until_ms if isinstance(decision, Waiting) else now_ms,
        holds=decision.holds if isinstance(decision, Waiting) else (),
        signals=tuple(_wait(signal, explained[signal.id]) for signal in ordered),
        releases=(
            *waiting_words(_release_book(ports, model)),
            *(() if proposal is None else proposal_words(model, proposal)),
        ),
    )


def _release_book(ports: Ports, model: str) -> ReleaseBook:
    book = read_steady(ports, model)
    if book is None:
        raise NotFound(f"there is no model '{model}' any more")
    return book


def explain_object(ports: Ports, model: str, key: str) -> tuple[ObjectFate, ...]:
    """What became of each known version of an object, newest first; raises `NotFound`."""
    row = known_model(ports.ledger, model)
    fates = [
        ObjectFate(
            key=signal.parts[1],
            version_id=signal.parts[2],
            state=signal.state,
            run=signal.run,
            reason=signal.reason,
            first_bad=signal.first_bad,
            admitted_ms=signal.admitted_ms,
            settled_ms=signal.settled_ms,
        )
        for family in (OPEN_SK, DONE_SK)
        for signal in read_signals(ports.ledger, model, family)
        if signal.kind == DATA and signal.parts[1] == key
    ]
    if not fates:
        return (_unknown_object(ports, row, key),)
    return tuple(sorted(fates, key=lambda fate: fate.admitted_ms, reverse=True))


def _unknown_object(ports: Ports, row: ModelRow, key: str) -> ObjectFate:
    """The fate of an object that has no signal: left out by the settings, or not seen yet."""
    version = find_current(ports.deployment.landing_bucket, key)
    if version is None:
        raise NotFound(
            f"there is no object {key!r} in the landing bucket, and no run of {row.model} "
            "ever waited for one"
        )
    select = read_settings_of(ports.ledger, row).data.select
    state, reason = "unseen", "no event told of it yet; the next sweep finds it (5 minutes)"
    if not is_selected(key, row.model, select):
        state = "not selected"
        reason = f"its key matches none of data.select: {', '.join(select)}"
    return ObjectFate(
        key, version.version_id, state, None, reason, (), version.last_modified_ms, None
    )


def read_steady_book(ports: Ports, model: str) -> Book:
    """The model's book, read again while runs end under the reader's hands."""
    for _ in range(ATTEMPTS):
        try:
            book = read_book(ports.ledger, model)
        except Conflict:
            continue
        if book is None:
            break
        return book
    raise NotFound(f"there is no model '{model}' any more")


def read_limits(ports: Ports, row: ModelRow) -> Limits:
    """The limits of the newest settings."""
    return Limits.of(read_settings_of(ports.ledger, row).triggers)


def _wait(signal: SignalRow, explained: Explained) -> SignalWait:
    return SignalWait(
        id=signal.id,
        kind=signal.kind,
        words=explained.what,
        state=signal.state,
        admitted_ms=signal.admitted_ms,
        run=signal.run,
        reason="; ".join(hold.words for hold in explained.holds),
        until_ms=explained.until_ms,
    )
