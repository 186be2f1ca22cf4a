"""Opening a run, in steps that anyone may repeat after a crash.

1. open the run row, if the model is free (:class:`OpenRun`);
2. tag its signals, fenced by the run row still being as it was read (:class:`TagSignals`);
3. write the manifest, retire tagged objects that are not in it, claim (:class:`WriteManifest`);
4. start the execution under the run's own name (:class:`StartExecution`), and note it.

A caller loops: read the book, ask :func:`next_step`, carry it out, again. On ``Conflict`` it
reads again. Nobody keeps anything between two readings, so the sweeper's repetition and two
openers at once are the ordinary case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from perennial.domain.ledger.book import Book
from perennial.domain.ledger.ending import record_ending, stopped
from perennial.domain.ledger.holding import Opening, Waiting, decide, runs_alone
from perennial.domain.ledger.limits import DAY_MS, START_PATIENCE_MS, Limits
from perennial.domain.ledger.rows import Ending, ManifestRef, RunRow, SignalRow
from perennial.domain.ledger.store import (
    Transaction,
    change,
    create,
    in_chunks,
    move,
    unchanged,
)
from perennial.domain.ledger.words import because
from perennial.domain.signals import CODE, DATA, DRIFT, REVIEW, ObjectVersion

#: How the reason of an object version begins that only the data window leaves out.
OUTSIDE = "outside the data window"


@dataclass(frozen=True)
class OpenRun:
    """Commit ``changes``: the model is taken by ``run``."""

    run: RunRow
    changes: Transaction


@dataclass(frozen=True)
class TagSignals:
    """Commit each transaction; a ``Conflict`` in one calls for reading again."""

    run: RunRow
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True)
class WriteManifest:
    """List the data, :func:`retire` what is gone, write the manifest, :func:`claim`."""

    run: RunRow
    claimed: tuple[SignalRow, ...]


@dataclass(frozen=True)
class StartExecution:
    """Start ``run.execution`` with ``run.input``, then :func:`mark_started`."""

    run: RunRow


@dataclass(frozen=True)
class Watch:
    """The execution is at work: describe it; if it is over, stop its jobs, record its ending.

    With ``run.stop`` set and the execution still running, stop it.
    """

    run: RunRow


@dataclass(frozen=True)
class RecordEnding:
    """Commit ``changes``: the run ends before it starts."""

    run: RunRow
    changes: Transaction


@dataclass(frozen=True)
class Settle:
    """Make sure the execution is over or absent and its jobs are stopped, then settle."""

    run: RunRow


Step: TypeAlias = (
    OpenRun | TagSignals | WriteManifest | StartExecution | Watch | RecordEnding | Settle | Waiting
)


def next_step(book: Book, limits: Limits, now_ms: int) -> Step:
    """What to do next for a model; ``Waiting`` when nothing is to be done now."""
    if book.run is None:
        decision = decide(book, limits, now_ms)
        return open_run(book, decision, now_ms) if isinstance(decision, Opening) else decision
    run = book.run
    if run.ending is not None:
        return Settle(run)
    if run.state == "started":
        return Watch(run)
    if run.stop is not None:
        return RecordEnding(run, record_ending(run, stopped(run, ran=False), now_ms))
    if run.state == "claimed":
        return StartExecution(run)
    return _go_on_opening(book, run, now_ms)


def _go_on_opening(book: Book, run: RunRow, now_ms: int) -> Step:
    wanted = [s for s in book.signals if is_claimable(s, run)]
    if wanted:
        return TagSignals(run, tag(run, wanted))
    if not book.claimed and run.retry_of is None:
        words = "nothing is left to learn: what called for this run was withdrawn"
        return RecordEnding(run, record_ending(run, Ending("refused", words, ran=False), now_ms))
    return WriteManifest(run, book.claimed)


def open_run(book: Book, decision: Opening, now_ms: int) -> OpenRun:
    """Take the model for the next run number (single flight: by compare-and-swap)."""
    model, retried = book.model, book.retried if decision.retry else None
    run = RunRow(
        model=model.model,
        number=model.last_run + 1,
        settings=retried.settings if retried else model.settings,
        overrides=retried.overrides if retried else _overrides(decision.alone),
        alone=decision.alone.id if decision.alone else "",
        retry_of=retried.number if retried else None,
        because=because(decision.openers, decision.retry),
        opened_ms=now_ms,
    )
    taken = change(
        model,
        last_run=run.number,
        open_run=run.number,
        opened_ms=(*(at for at in model.opened_ms if at > now_ms - DAY_MS), now_ms),
        retry=None if decision.retry else model.retry,
    )
    return OpenRun(run, (taken, create(run)))


def is_claimable(signal: SignalRow, run: RunRow) -> bool:
    """Whether a run that is being opened may tag this signal."""
    if signal.state == "claimed":
        return False
    if run.retry_of is not None:
        return signal.run == run.retry_of
    if run.alone:
        return signal.id == run.alone
    if runs_alone(signal):
        return False
    return signal.kind != CODE or int(signal.parts[0]) <= run.settings


def tag(run: RunRow, signals: Iterable[SignalRow]) -> tuple[Transaction, ...]:
    """Claim signals for a run, if it is still as it was read."""
    changes = [(change(s, state="claimed", run=run.number),) for s in signals]
    return in_chunks(changes, guard=unchanged(run))


@dataclass(frozen=True)
class Dataset:
    """What a run's manifest makes of the landed objects.

    ``current``: every current object version under the model's prefix. ``listed``: the ids of
    those that the manifest lists. ``outside``: the ids of those that only the data window leaves
    out, and ``window`` that window in words. ``left_by``: the setting that leaves out the others.
    """

    current: tuple[ObjectVersion, ...]
    listed: Collection[str]
    outside: Collection[str] = ()
    window: str = ""
    left_by: str = "data.select"


def retire(
    run: RunRow, claimed: Iterable[SignalRow], dataset: Dataset, now_ms: int
) -> tuple[Transaction, ...]:
    """Settle claimed data that is not in the manifest: superseded, withdrawn, or excluded.

    What lies outside the data window calls for no further run of these settings, and is not lost:
    :func:`bring_back` finds it when the window is wider.
    """
    versions = {(each.bucket, each.key): each.id for each in dataset.current}
    moves: list[Transaction] = []
    for signal in claimed:
        if signal.kind != DATA or signal.id in dataset.listed:
            continue
        present = versions.get((signal.parts[0], signal.parts[1]))
        if signal.id in dataset.outside:
            fate = {"state": "excluded", "reason": f"{OUTSIDE} ({dataset.window})"}
        elif present == signal.id:
            words = f"left out by settings {run.settings} ({dataset.left_by})"
            fate = {"state": "withdrawn", "reason": words}
        else:
            fate = fate_of_old(is_overwritten=present is not None)
        moves.append(move(signal, **fate, settled_ms=now_ms))
    return in_chunks(moves, guard=unchanged(run))


def bring_back(
    run: RunRow, done: Iterable[SignalRow], listed: Collection[str], now_ms: int
) -> tuple[Transaction, ...]:
    """Claim what an earlier run's window left out and this run's manifest lists.

    So its fate is this run's, as if it had just landed. The sweeper cannot bring it back: it
    knows the version. A run with overrides settles nobody's data but its own signal.
    """
    if run.overrides:
        return ()
    back = [row for row in done if is_outside(row) and row.id in listed]
    moves = [
        move(row, state="claimed", reason="", run=run.number, admitted_ms=now_ms, settled_ms=None)
        for row in back
    ]
    return in_chunks(moves, guard=unchanged(run))


def is_outside(row: SignalRow) -> bool:
    """Whether a data window excluded an object version, not a person."""
    return row.state == "excluded" and row.reason.startswith(OUTSIDE)


def fate_of_old(*, is_overwritten: bool) -> dict[str, str]:
    """State and reason of an object version that is not current any more."""
    if is_overwritten:
        return {"state": "superseded", "reason": "overwritten before its run"}
    return {"state": "withdrawn", "reason": "deleted before its run"}


@dataclass(frozen=True)
class Claim:
    """What fixes a run's work: its manifest, its input (JSON) and its execution's ARN.

    ``nothing``: why the manifest is empty although data have landed; empty: none have.
    """

    manifest: ManifestRef
    input: str
    execution: str
    nothing: str = ""


def claim(run: RunRow, claimed: Sequence[SignalRow], facts: Claim, now_ms: int) -> Transaction:
    """Fix what the run works on; the first writer wins. Without any object the run ends.

    A model without data waits for some; one whose data lie outside the window also for settings.
    """
    if not facts.manifest.objects:
        words = facts.nothing or f"no data yet: nothing of {run.model} is left to read"
        ending = Ending("refused", words, ran=False, empty=not facts.nothing)
        return record_ending(run, ending, now_ms)
    return (
        change(
            run,
            state="claimed",
            manifest=facts.manifest,
            input=facts.input,
            execution=facts.execution,
            claimed_ms=now_ms,
            because=run.because if run.retry_of is not None else because(claimed),
            fresh=sum(s.kind in (DATA, REVIEW) for s in claimed),
            alarms=tuple(sorted({s.parts[0] for s in claimed if s.kind == DRIFT})),
        ),
    )


def mark_started(run: RunRow, now_ms: int) -> Transaction:
    """Note that the execution was started."""
    return (change(run, state="started", started_ms=now_ms),)


def start_failed(run: RunRow, words: str, now_ms: int, *, final: bool) -> Transaction:
    """What to commit when the execution could not be started; empty: try again later.

    ``final``: repeating cannot mend it. A start that keeps failing for reasons that may pass is
    given up as a passing failure, so that the model is never stuck; should it take effect after
    all, the first state's claim check ends it.
    """
    late = now_ms - run.opened_ms >= START_PATIENCE_MS
    if not final and not late:
        return ()
    ending = Ending("failed", f"failed: run {run.number} could not be started: {words}", ran=False)
    return record_ending(run, replace(ending, transient=not final, error="StartRefused"), now_ms)


def _overrides(alone: SignalRow | None) -> dict[str, str]:
    return dict(alone.overrides) if alone else {}
