"""What people ask for, as changes of rows. Each refuses, in words, what makes no sense now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.admit import Known
from perennial.domain.ledger.limits import TOMBSTONE_MS
from perennial.domain.ledger.opening import is_outside
from perennial.domain.ledger.rows import (
    ModelRow,
    Paused,
    Retry,
    RunRow,
    SettingsRow,
    SignalRow,
    StopRequest,
    done_key,
    open_key,
)
from perennial.domain.ledger.single_flight import refuse_during_test
from perennial.domain.ledger.store import Transaction, absent, change, create, move
from perennial.domain.signals import DATA, Signal, code_signal


def publish(
    model: ModelRow | None,
    current: SettingsRow | None,
    new: SettingsRow,
    *,
    taken: tuple[int, int] = (0, 0),
) -> tuple[int, Transaction]:
    """Publish settings and code: ``(version, changes)``; no changes if it is what holds already.

    ``model`` is the stored row, also of a removed model (its counters go on). ``new.version`` is
    not looked at. ``taken``: the highest run and release whose names AWS may still know from an
    earlier ledger; a new model counts on from them. The new version and its code signal come to be
    in one transaction.
    """
    if current is not None and current.code_sha == new.code_sha:
        return current.version, ()
    version = model.settings + 1 if model else 1
    row = SettingsRow(
        model=new.model,
        version=version,
        code=new.code,
        code_sha=new.code_sha,
        settings=new.settings,
        pushed_ms=new.pushed_ms,
        pushed_by=new.pushed_by,
    )
    signal = code_signal(new.model, version, by=new.pushed_by)
    opened = SignalRow(
        new.model, signal.id, signal.kind, signal.parts, signal.evidence, new.pushed_ms
    )
    if model is None:
        top = create(
            ModelRow(new.model, settings=version, last_run=taken[0], last_release=taken[1])
        )
    else:
        top = change(model, settings=version, removed_ms=None, expires=None)
    return version, (top, create(row), create(opened), absent(done_key(new.model, signal.id)))


def pause(model: ModelRow, by: str, because: str, now_ms: int) -> Transaction:
    """Open no run until resumed; a run that is open goes on."""
    return (change(model, paused=Paused(by, because, now_ms)),)


def resume(model: ModelRow) -> Transaction:
    """Open runs again; empty if the model is not paused."""
    return () if model.paused is None else (change(model, paused=None),)


def request_retry(model: ModelRow, run: RunRow, by: str, because: str) -> Transaction:
    """Repeat a run that ended without a verdict: a new number, same signals and settings.

    Empty if the same retry is waiting already.
    """
    name = f"run {run.number} of {run.model}"
    if run.state != "ended":
        raise NotAllowed(f"{name} has not ended; `perennial run stop` ends it")
    if run.outcome in ("won", "lost"):
        raise NotAllowed(
            f"{name} reached its verdict ({run.outcome}); `perennial retrain {run.model}` starts "
            "a new one"
        )
    waiting = model.retry
    if waiting is None:
        return (change(model, retry=Retry(run.number, by, because)),)
    if waiting.run == run.number:
        return ()
    raise NotAllowed(f"a retry of run {waiting.run} of {run.model} is waiting; it goes first")


def stop(run: RunRow, by: str, because: str) -> Transaction:
    """Ask an open run to stop; empty if it was asked before or is ending."""
    if run.state == "ended":
        raise NotAllowed(f"run {run.number} of {run.model} has ended ({run.outcome})")
    if run.stop is not None or run.ending is not None:
        return ()
    return (change(run, stop=StopRequest(by, because)),)


def exclude(signal: Signal, known: Known, by: str, because: str, now_ms: int) -> Transaction:
    """Keep an object version out of every coming run."""
    words = f"excluded by {by}: {because}"
    fate: dict[str, Any] = {"state": "excluded", "reason": words, "settled_ms": now_ms}
    row = known.open
    if row is not None and row.state == "claimed":
        raise NotAllowed(
            f"run {row.run} of {signal.model} is reading {signal.parts[1]}; stop the run, or "
            "exclude the object when the run has ended"
        )
    if row is not None:
        return move(row, **fate)
    if known.done is None:
        new = _row(signal, now_ms)
        return (create(replace(new, **fate)), absent(open_key(signal.model, signal.id)))
    is_excluded = known.done.state == "excluded" and not is_outside(known.done)
    return () if is_excluded else (change(known.done, **fate),)


def include(signal: Signal, known: Known, now_ms: int) -> Transaction:
    """Take an excluded or quarantined object version in again, as a signal of now."""
    done = known.done
    if done is None or done.state not in ("excluded", "quarantined"):
        raise NotAllowed(f"{signal.parts[1]} is neither excluded nor quarantined")
    if is_outside(done):
        raise NotAllowed(
            f"{signal.parts[1]} lies {done.reason}; a wider data.window in model.yaml takes it in"
        )
    return move(
        done,
        state="pending",
        reason="",
        run=None,
        admitted_ms=now_ms,
        settled_ms=None,
        first_bad=(),
        expires=None,
    )


def forget(model: ModelRow, now_ms: int) -> Transaction:
    """Remove a model: only its counters stay, for names of executions may not come twice."""
    if model.open_run is not None:
        raise NotAllowed(
            f"run {model.open_run} of {model.model} is at work; `perennial run stop` ends it"
        )
    if model.open_release is not None:
        raise NotAllowed(
            f"release {model.open_release} of {model.model} is at work; it has to end first"
        )
    refuse_during_test(model, "the removal")
    rest = ModelRow(
        model.model,
        model.rev,
        settings=model.settings,
        last_run=model.last_run,
        last_release=model.last_release,
        last_ab=model.last_ab,
    )
    expires = (now_ms + TOMBSTONE_MS) // 1000
    return (change(rest, removed_ms=now_ms, expires=expires),)


def _row(signal: Signal, now_ms: int) -> SignalRow:
    return SignalRow(
        signal.model, signal.id, DATA, signal.parts, signal.evidence, admitted_ms=now_ms
    )
