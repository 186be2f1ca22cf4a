"""Carry out what the rules of releases ask for, step by step, until nothing is to be done.

As with runs (`perennial.advance`), this loop is all there is to opening and ending releases: the
function that hears of an approval, the one that hears of an execution's end, the sweeper and the
command line run it alike.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from perennial.aws.machine import Execution, describe
from perennial.describe_model import read_settings_of
from perennial.domain import naming, shared_naming
from perennial.domain.errors import Rejected, Retryable, Terminal
from perennial.domain.ledger import releases
from perennial.domain.ledger.moves import Place, end_move, move_of, place_of
from perennial.domain.ledger.releases import ReleaseBook, ReleaseNames, read_release_book
from perennial.domain.ledger.rows import ModelRow, ReleaseRow, Wanted
from perennial.domain.move_truth import outcome_of_move
from perennial.domain.release_truth import AtWork, SeenExecution, outcome_of
from perennial.domain.settings import Endpoint
from perennial.repeat_steps import repeat_steps
from perennial.see_place import is_gone, see_live, see_target

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_STEPS = 400  # a release takes about ten; the others wait a second each
# StartExecution and DescribeExecution need not agree at once.
GONE_AFTER_MS = 120_000


@dataclass(frozen=True)
class ReleaseAdvance:
    """What one pass did for a model's releases, and why it stopped there.

    `watching`: this release is at work, `words` say on what. `unfinished`: this one is over, but
    what it leaves behind is still being removed; repeat later. `scaling`: why the endpoint does
    not scale yet as it should.
    """

    model: str
    opened: tuple[int, ...] = ()
    started: tuple[int, ...] = ()
    ended: tuple[ReleaseRow, ...] = ()
    watching: int | None = None
    unfinished: int | None = None
    words: str = ""
    scaling: str = ""


@dataclass
class _Pass:
    """One pass under way. `last_state_of`: the release whose execution asks in its last state."""

    ports: Ports
    model: str
    may_open: bool
    may_settle: bool
    until: float
    last_state_of: int | None
    done: ReleaseAdvance = field(init=False)

    def __post_init__(self) -> None:
        self.done = ReleaseAdvance(self.model)


def advance_releases(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    *,
    may_open: bool = True,
    may_settle: bool = True,
    patience_s: float = 0,
    last_state_of: int | None = None,
) -> ReleaseAdvance:
    """Repeat the next step of the model's releases until there is none now.

    `may_open`: also open and start releases. `may_settle`: also remove what an ended one leaves
    behind, and free its model; the caller must have the rights to. `patience_s`: how long to wait
    for what comes to rest by itself. `last_state_of`: this release's own execution asks, in its
    last state.
    """
    until = time.monotonic() + patience_s
    now = _Pass(ports, model, may_open, may_settle, until, last_state_of)
    repeat_steps(lambda: _step(now), f"the releases of {model}", MOST_STEPS)
    return now.done


def _step(now: _Pass) -> bool:
    """Take one step; True when there is nothing more to do now."""
    book = read_release_book(now.ports.ledger, now.model)
    if book is None:
        return True
    step = releases.next_step(book, now.ports.clock())
    match step:
        case releases.DropWish() | releases.RecordReleaseEnding():
            now.ports.ledger.commit(step.changes)
            return False
        case releases.OpenRelease() | releases.StartRelease():
            return not now.may_open or _bring_about(now, step)
        case releases.WatchRelease():
            return _watch(now, book)
        case releases.SettleRelease():
            return _settle(now, book)
    return True


def names_of(ports: Ports, row: ModelRow, wanted: Wanted, opened_ms: int) -> ReleaseNames:
    """What the next release is called in AWS; its input tells it from one of an earlier ledger."""
    stack, model, number = ports.deployment.stack, row.model, row.last_release + 1
    place = _place(ports, row, wanted)
    prefix = naming.release_prefix(stack, model, number)
    document = {"model": model, "release": number, "prefix": prefix, "opened_ms": opened_ms}
    return ReleaseNames(
        execution=naming.execution_arn(ports.deployment.release_machine_arn, prefix),
        input=json.dumps(document, sort_keys=True, separators=(",", ":")),
        endpoint=place.endpoint,
        config=prefix,
        kind=place.kind,
        moves=place.moves,
        captured=place.captured,
    )


def _place(ports: Ports, row: ModelRow, wanted: Wanted) -> Place:
    """Where a release goes by the newest settings; without an endpoint its plan refuses it."""
    stack = ports.deployment.stack
    endpoint = read_settings_of(ports.ledger, row).release.endpoint or Endpoint()
    captured = round(100 * endpoint.capture) if endpoint.kind != "instances" else 0
    places = (naming.live_endpoint(stack, row.model), naming.next_endpoint(stack, row.model))
    slots = {each: naming.other_slot(stack, row.model, each) for each in ("", *places)}
    shared = shared_naming.endpoint(stack)
    return place_of(row, wanted, (endpoint.kind, captured), slots, shared)


def _bring_about(now: _Pass, step: releases.OpenRelease | releases.StartRelease) -> bool:
    """Take the model for its next release, or start the one that was opened."""
    if isinstance(step, releases.StartRelease):
        return _start(now, step.release)
    now_ms = now.ports.clock()
    names = names_of(now.ports, step.model, step.wanted, now_ms)
    _, changes = releases.open_release(step, names, now_ms)
    now.ports.ledger.commit(changes)
    now.done = replace(now.done, opened=(*now.done.opened, step.number))
    return False


def _start(now: _Pass, release: ReleaseRow) -> bool:
    """Start the release's execution, or give up on it as the rules say."""
    ports = now.ports
    try:
        ports.release_machine.start(release.execution.rsplit(":", 1)[-1], release.input)
    except (Retryable, Terminal) as error:
        is_final = isinstance(error, Rejected)
        changes = releases.start_failed(release, str(error), ports.clock(), final=is_final)
        if not changes:
            raise
        ports.ledger.commit(changes)
        return False
    ports.ledger.commit(releases.mark_started(release, ports.clock()))
    now.done = replace(now.done, started=(*now.done.started, release.number))
    return False


def _watch(now: _Pass, book: ReleaseBook) -> bool:
    """Look after the release at work; True while it goes on."""
    ports, now_ms, release = now.ports, now.ports.clock(), book.release
    if release is None:  # the step says that there is one
        return True
    if now.last_state_of == release.number:
        # Its own execution asks, so it runs, and may not be allowed to look at itself.
        return _judge(now, book.model, release, SeenExecution("RUNNING", is_over=True))
    found = describe(release.execution)
    if found is None and now_ms - (release.started_ms or now_ms) < GONE_AFTER_MS:
        now.done = replace(now.done, watching=release.number, words="it was just started")
        return True
    _push_on(ports, release, found)
    return _judge(now, book.model, release, _seen(found))


def _judge(
    now: _Pass, model: ModelRow, release: ReleaseRow, execution: SeenExecution | None
) -> bool:
    """Record how the release ended, by the endpoint; True while it goes on."""
    ports, now_ms = now.ports, now.ports.clock()
    seen = see_target(ports, release)
    if release.moves:
        before = release.before
        ending = outcome_of_move(
            release,
            move_of(model, release),
            seen,
            execution,
            now_ms,
            is_before_gone=before is not None and is_gone(see_live(ports, release.model, before)),
        )
    else:
        ending = outcome_of(release, seen, execution, now_ms)
    if isinstance(ending, AtWork):
        now.done = replace(now.done, watching=release.number, words=ending.words)
        return not _waits(now, execution)
    turned_back = end_move(model, release, ending, now_ms)
    ports.ledger.commit((*releases.record_ending(release, ending, now_ms), *turned_back))
    now.done = replace(now.done, watching=None, words="")
    return False


def _push_on(ports: Ports, release: ReleaseRow, found: Execution | None) -> None:
    """Stop an execution that shall stop; repeat a person's answer that may have been lost."""
    if found is None or found.is_over:
        return
    if release.stop is not None:
        ports.release_machine.stop(
            release.execution,
            error="Withdrawn" if release.is_withdrawn else "Stopped",
            cause=release.stop.because,
        )
    elif release.approved_by and release.token and release.updating_ms is None:
        ports.release_machine.answer(release.token)


def _waits(now: _Pass, execution: SeenExecution | None) -> bool:
    """Whether to look again soon: the execution is over, and there is patience left."""
    if (execution is not None and not execution.is_over) or time.monotonic() >= now.until:
        return False
    time.sleep(1)
    return True


def _seen(found: Execution | None) -> SeenExecution | None:
    if found is None:
        return None
    return SeenExecution(
        status=found.status,
        is_over=found.is_over,
        error=found.error,
        cause=found.cause,
        stopped_ms=found.stopped_ms or 0,
    )


def _settle(now: _Pass, book: releases.ReleaseBook) -> bool:
    """Settle the release that is over; True when something of it is still being removed."""
    if not now.may_settle:
        now.done = replace(now.done, unfinished=book.model.open_release, words="to be settled")
        return True
    from perennial.settle_release import settle_release  # noqa: PLC0415  # spares a cold start

    settled = settle_release(now.ports, book, is_at_work=now.last_state_of is not None)
    if settled.row is not None:
        now.done = replace(now.done, ended=(*now.done.ended, settled.row), unfinished=None)
        return False
    now.done = replace(now.done, unfinished=book.model.open_release, words=settled.words)
    if time.monotonic() < now.until:
        time.sleep(1)
        return False
    return True
