"""Carry out what the ledger's rules ask for, step by step, until a model waits.

This loop is all there is to opening and ending runs: the function that admits a signal, the one
that hears of an execution's end, the sweeper and the command line run it alike. It keeps nothing
between two readings; after a lost race, or after another process died at any point, it reads and
decides again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from perennial.aws.machine import Execution, describe
from perennial.domain.errors import Conflict, NotFound, Rejected, Retryable, Terminal
from perennial.domain.ledger import opening
from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.ending import (
    ExecutionEnd,
    ending_of,
    execution_gone,
    record_ending,
)
from perennial.domain.ledger.holding import Waiting
from perennial.domain.ledger.rows import RunRow
from perennial.domain.settings import SettingsInvalid
from perennial.explain_wait import read_limits
from perennial.repeat_steps import repeat_steps

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_STEPS = 100  # a run takes about ten; more would be a rule that never comes to rest
# StartExecution and DescribeExecution need not agree at once.
GONE_AFTER_MS = 120_000
TUNING_FAILED = "TuneFailed"  # what the machine calls a search of which nothing came


@dataclass(frozen=True)
class Advance:
    """What one pass did for a model, and why it stopped there.

    `waiting`: nothing may open now. `watching`: this run is at work. `unfinished`: this run is
    over, but its jobs are still stopping; repeat later. All None: there is no such model.
    """

    model: str
    opened: tuple[int, ...] = ()
    started: tuple[int, ...] = ()
    ended: tuple[RunRow, ...] = ()
    waiting: Waiting | None = None
    watching: int | None = None
    unfinished: int | None = None


@dataclass
class _Pass:
    """One pass under way."""

    ports: Ports
    model: str
    watch: bool
    may_open: bool
    until: float
    done: Advance = field(init=False)

    def __post_init__(self) -> None:
        self.done = Advance(self.model)


def advance(
    ports: Ports,
    model: str,
    *,
    watch: bool = False,
    may_open: bool = True,
    patience_s: float = 0,
) -> Advance:
    """Repeat the model's next step until it waits, works, or cannot be finished now.

    `watch`: ask Step Functions how the run at work is doing, and end it when it is over.
    `may_open`: also open and start runs; without it only what has ended is settled.
    `patience_s`: how long to wait for a run's jobs that are stopping.
    """
    now = _Pass(ports, model, watch, may_open, time.monotonic() + patience_s)
    repeat_steps(lambda: _step(now), model, MOST_STEPS)
    return now.done


def _step(now: _Pass) -> bool:
    """Take one step; True when there is nothing more to do now."""
    book = read_book(now.ports.ledger, now.model)
    if book is None:
        return True
    limits = read_limits(now.ports, book.model)
    step = opening.next_step(book, limits, now.ports.clock())
    match step:
        case Waiting():
            now.done = replace(now.done, waiting=step if now.may_open else None)
            return True
        case opening.Watch():
            return _watch(now, step.run)
        case opening.Settle():
            return _settle(now, book)
        case opening.RecordEnding():
            now.ports.ledger.commit(step.changes)
            return False
        case _:
            return _open(now, step) if now.may_open else _find_started(now, step)


def _open(now: _Pass, step: opening.Step) -> bool:
    """Take one step of opening a run."""
    match step:
        case opening.OpenRun():
            now.ports.ledger.commit(step.changes)
            now.done = replace(now.done, opened=(*now.done.opened, step.run.number))
        case opening.TagSignals():
            for transaction in step.transactions:
                now.ports.ledger.commit(transaction)
        case opening.WriteManifest():
            _write_manifest(now, step)
        case opening.StartExecution():
            _start(now, step.run)
    return False


def _find_started(now: _Pass, step: opening.Step) -> bool:
    """Note a start whose starter died before it could; True when there is none to note."""
    if not isinstance(step, opening.StartExecution) or describe(step.run.execution) is None:
        return True
    now.ports.ledger.commit(opening.mark_started(step.run, now.ports.clock()))
    return False


def _start(now: _Pass, run: RunRow) -> None:
    """Start the run's execution, or give up on it as the rules say."""
    name = run.execution.rsplit(":", 1)[-1]
    try:
        now.ports.machine.start(name, run.input)
    except (Retryable, Terminal) as error:
        _give_up(now, run, error, final=isinstance(error, Rejected))
        return
    now.ports.ledger.commit(opening.mark_started(run, now.ports.clock()))
    now.done = replace(now.done, started=(*now.done.started, run.number))


def _write_manifest(now: _Pass, step: opening.WriteManifest) -> None:
    """Fix what the run works on, or give up on it as the rules say.

    Settings may have changed since somebody asked for a run with overrides, such that the two
    do not go together any more; such a run must end, or its model would wait for ever.
    """
    from perennial.write_manifest import write_manifest  # noqa: PLC0415  # cold start

    try:
        write_manifest(now.ports, step.run, step.claimed)
    except Conflict:
        raise
    except (Retryable, Terminal, SettingsInvalid) as error:
        _give_up(now, step.run, error, final=isinstance(error, (NotFound, SettingsInvalid)))


def _give_up(now: _Pass, run: RunRow, error: Exception, *, final: bool) -> None:
    """Record that the run cannot be started, or raise what may pass."""
    changes = opening.start_failed(run, str(error), now.ports.clock(), final=final)
    if not changes:
        raise error
    now.ports.ledger.commit(changes)


def _watch(now: _Pass, run: RunRow) -> bool:
    """Look after the execution at work; True while it goes on."""
    now.done = replace(now.done, watching=run.number)
    if not now.watch:
        return True
    execution = describe(run.execution)
    now_ms = now.ports.clock()
    if execution is None:
        if now_ms - (run.started_ms or now_ms) < GONE_AFTER_MS:
            return True
        ending = execution_gone(run)
    elif execution.is_over:
        ending = ending_of(run, _end_of(execution))
    else:
        if run.stop is not None:
            now.ports.machine.stop(run.execution, error="Stopped", cause=run.stop.because)
        return True
    now.ports.ledger.commit(record_ending(run, ending, now_ms))
    now.done = replace(now.done, watching=None)
    return False


def _end_of(execution: Execution) -> ExecutionEnd:
    """The end as the execution tells it, and what it does not tell of a search that failed."""
    beneath = None
    if execution.error == TUNING_FAILED:
        from perennial.failed_trials import failed_trials  # noqa: PLC0415  # as in _settle

        beneath = failed_trials(execution.cause)
    return ExecutionEnd(
        execution.status, execution.output, execution.error, execution.cause, beneath
    )


def _settle(now: _Pass, book: Book) -> bool:
    """Settle the run that is over; True when its jobs are still stopping."""
    from perennial.settle_run import settle_run  # noqa: PLC0415  # spares most cold starts 5 ms

    ended = settle_run(now.ports, book)
    if ended is not None:
        now.done = replace(now.done, ended=(*now.done.ended, ended), watching=None)
        return False
    if time.monotonic() < now.until:
        time.sleep(1)
        return False
    now.done = replace(now.done, unfinished=book.model.open_run)
    return True
