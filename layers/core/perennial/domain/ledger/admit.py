"""Admitting signals: each id counts once, whatever is delivered how often and in what order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from perennial.domain.ledger.opening import fate_of_old
from perennial.domain.ledger.rows import ModelRow, SignalRow, done_key, open_key
from perennial.domain.ledger.store import (
    Change,
    Store,
    Transaction,
    absent,
    change,
    create,
    drop,
    move,
    read_signal,
)
from perennial.domain.signals import CODE, DATA, Signal

Status = Literal["new", "known", "ahead"]


@dataclass(frozen=True)
class Known:
    """The rows that a signal's id has already."""

    open: SignalRow | None = None
    done: SignalRow | None = None


@dataclass(frozen=True)
class Admission:
    """Commit ``changes`` (they may be empty); then see that a wake is due (also when known).

    ``status``: ``new``; ``known`` (a duplicate, counted once); ``ahead`` (a code signal of a
    settings version that was never published: nothing is admitted).
    """

    status: Status
    changes: Transaction = ()


def read_known(store: Store, signal: Signal) -> Known:
    """Read what the ledger knows of a signal."""
    opened = read_signal(store, open_key(signal.model, signal.id))
    return Known(opened, read_signal(store, done_key(signal.model, signal.id)))


def admit(signal: Signal, model: ModelRow, known: Known, now_ms: int) -> Admission:
    """Admit a signal of a known model, once.

    The id must be in neither place when the row is written; so two functions that admit the same
    signal, or one that admits it late, after a run consumed it, cannot count it twice.
    """
    done = known.done
    if known.open is not None or (done is not None and is_remembered(done, now_ms)):
        return Admission("known")
    if signal.kind == CODE and int(signal.parts[0]) > model.settings:
        return Admission("ahead")
    row = SignalRow(
        signal.model, signal.id, signal.kind, signal.parts, signal.evidence, admitted_ms=now_ms
    )
    changes = [create(row, after=done.rev if done else 0), _forgotten(row, done)]
    if signal.kind == DATA and not model.has_data:
        changes.append(change(model, has_data=True))
    return Admission("new", tuple(changes))


def is_remembered(done: SignalRow, now_ms: int) -> bool:
    """Whether a settled signal's id still counts; time to live deletes late, so time decides."""
    return done.expires is None or done.expires * 1000 > now_ms


def observe_old(signal: Signal, known: Known, now_ms: int, *, is_overwritten: bool) -> Transaction:
    """Account for a data version that is listed but not current: overwritten, or else deleted.

    One that a run claims is left to that run; one that waits, or was never heard of, is settled.
    """
    fate: Mapping[str, Any] = fate_of_old(is_overwritten=is_overwritten)
    row = known.open
    if row is not None:
        return () if row.state == "claimed" else move(row, **fate, settled_ms=now_ms)
    if known.done is not None:
        return ()
    new = SignalRow(
        signal.model,
        signal.id,
        DATA,
        signal.parts,
        signal.evidence,
        admitted_ms=now_ms,
        settled_ms=now_ms,
        **fate,
    )
    return (create(new), absent(open_key(signal.model, signal.id)))


def forget_gone(done: SignalRow, now_ms: int, remember_ms: int) -> Transaction:
    """Let a settled data row expire, because its object version does not exist any more."""
    if done.kind != DATA or done.expires is not None:
        return ()
    return (change(done, expires=(now_ms + remember_ms) // 1000),)


def _forgotten(row: SignalRow, done: SignalRow | None) -> Change:
    return absent(done_key(row.model, row.id)) if done is None else drop(done)
