"""Releases: from a decision that a version shall be live to what the ledger says is live.

As with runs, a caller loops: read the book, ask :func:`next_step`, carry it out, again; on
``Conflict`` it reads again. Each step may be repeated by anyone after a crash.

1. a decision (approval, repetition, rollback) waits on the model row (:func:`request`); the newest
   decision wins, in whatever order decisions are heard of;
2. the release row is opened and the model taken, in one transaction (:class:`OpenRelease`);
3. the execution is started under the release's own name (:class:`StartRelease`), and watched;
4. how it ended is told from the endpoint (:mod:`perennial.domain.release_truth`) and recorded;
5. what it leaves behind is removed, and then one transaction ends the row, frees the model and,
   for a release that ended ``released`` alone, says what is live and who is champion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from perennial.domain.errors import Conflict, NotAllowed
from perennial.domain.ledger.limits import START_PATIENCE_MS
from perennial.domain.ledger.move_rows import EndpointKind
from perennial.domain.ledger.rows import (
    Champion,
    Live,
    ModelRow,
    ReleaseEnding,
    ReleaseRow,
    Wanted,
    release_key,
)
from perennial.domain.ledger.single_flight import refuse_during_test
from perennial.domain.ledger.store import (
    Store,
    Transaction,
    change,
    create,
    read_model,
    read_release,
)

MOST_NOTICES = 100


@dataclass(frozen=True)
class ReleaseBook:
    """A model, and the release that holds it, if one does."""

    model: ModelRow
    release: ReleaseRow | None = None


def read_release_book(store: Store, model: str) -> ReleaseBook | None:
    """Read a model's book; None for an unknown or removed model.

    Raises ``Conflict`` when the release ended between the reads; read again.
    """
    row = read_model(store, model)
    if row is None:
        return None
    if row.open_release is None:
        return ReleaseBook(row)
    release = read_release(store, release_key(model, row.open_release))
    if release is None or release.state == "ended":
        raise Conflict(f"release {row.open_release} of {model} ended while it was read")
    return ReleaseBook(row, release)


@dataclass(frozen=True)
class Request:
    """What becomes of a decision; commit ``changes``, which may be empty.

    ``new``: it goes next. ``known``: it was heard of before, or what it asks for is so already or
    under way. ``superseded``: a newer decision was heard of first.
    """

    decision: Literal["new", "known", "superseded"]
    changes: Transaction = ()


def request(book: ReleaseBook, wanted: Wanted) -> Request:
    """Hear of an approval. The same one counts once; the newest wins."""
    model, champion, release = book.model, book.model.champion, book.release
    heard = (model.decided_ms, model.decided_version)
    order = (wanted.decided_ms, wanted.version)
    if order <= heard:
        return Request("known" if order == heard else "superseded")
    if champion is not None and champion.since_ms >= wanted.decided_ms:
        return Request("known" if champion.arn == wanted.arn else "superseded")
    noted = {"decided_ms": wanted.decided_ms, "decided_version": wanted.version}
    if _is_done(model, wanted) or (release is not None and _does(release, wanted)):
        # What was decided in between, on another version, is taken back with it.
        return Request("known", (change(model, waiting=None, **noted),))
    return Request("new", (change(model, waiting=wanted, **noted),))


def _is_done(model: ModelRow, wanted: Wanted) -> bool:
    """Whether nothing but the wanted version is live or on its way."""
    live = model.live
    return live is not None and live.arn == wanted.arn and model.open_release is None


def _does(release: ReleaseRow, wanted: Wanted) -> bool:
    """Whether the open release brings the wanted version, and nothing keeps it from that."""
    return release.arn == wanted.arn and release.stop is None and release.ending is None


def request_by_person(book: ReleaseBook, wanted: Wanted) -> Transaction:
    """Hear of a repetition or a rollback, which a person asks for; nothing else may be at work."""
    model, release = book.model, book.release
    if release is not None:
        raise NotAllowed(
            f"release {release.number} of {model.model} (version {release.version}) is at work; "
            f"`perennial releases {model.model}` shows it; ask again when it has ended"
        )
    if model.waiting is not None:
        raise NotAllowed(
            f"a release of {model.model} {model.waiting.version} is about to open; ask again when "
            "it has ended"
        )
    refuse_during_test(model, "a release")
    order = max((model.decided_ms, model.decided_version), (wanted.decided_ms, wanted.version))
    noted = {"decided_ms": order[0], "decided_version": order[1]}
    return (change(model, waiting=wanted, **noted),)


def rollback_of(model: ModelRow, by: str, because: str, now_ms: int) -> Wanted:
    """The wish for the last good configuration; raises ``NotAllowed`` when there is none."""
    before, live = model.previous, model.live
    if live is None:
        raise NotAllowed(f"{model.model} has no endpoint in production, so nothing to roll back")
    if before is None:
        raise NotAllowed(
            f"no earlier good configuration of {model.model} is kept; `perennial release "
            f"{model.model} --version <n>` brings another approved version into production"
        )
    return Wanted(
        kind="rollback",
        version=before.version,
        arn=before.arn,
        decided_ms=now_ms,
        run=before.run,
        settings=before.settings,
        digest=before.digest,
        by=by,
        because=because,
        config=before.config,
    )


def forget_wish(model: ModelRow, arn: str) -> Transaction:
    """Drop a waiting version whose approval was taken back; empty if it does not wait."""
    waiting = model.waiting
    if waiting is None or waiting.arn != arn or waiting.kind == "rollback":
        return ()
    return (change(model, waiting=None),)


@dataclass(frozen=True)
class OpenRelease:
    """Open release ``number`` for ``wanted``: :func:`open_release` with the names of AWS."""

    model: ModelRow
    wanted: Wanted
    number: int


@dataclass(frozen=True)
class DropWish:
    """Commit ``changes``: the wish came true meanwhile, or a newer one did."""

    changes: Transaction


@dataclass(frozen=True)
class StartRelease:
    """Start ``release.execution`` with ``release.input``, then :func:`mark_started`."""

    release: ReleaseRow


@dataclass(frozen=True)
class WatchRelease:
    """It is at work: describe its execution and the endpoint, and record its ending if it is over.

    With ``release.stop`` set and the execution still running, stop it.
    """

    release: ReleaseRow


@dataclass(frozen=True)
class RecordReleaseEnding:
    """Commit ``changes``: the release ends before it starts."""

    changes: Transaction


@dataclass(frozen=True)
class SettleRelease:
    """Remove what it leaves behind, then commit :func:`free`."""

    release: ReleaseRow


@dataclass(frozen=True)
class Rest:
    """Nothing is to be released."""


ReleaseStep: TypeAlias = (
    OpenRelease
    | DropWish
    | StartRelease
    | WatchRelease
    | RecordReleaseEnding
    | SettleRelease
    | Rest
)


def next_step(book: ReleaseBook, now_ms: int) -> ReleaseStep:
    """What to do next about a model's releases."""
    release = book.release
    if release is None:
        return _next_wish(book.model)
    if release.ending is not None:
        return SettleRelease(release)
    if release.state == "started":
        return WatchRelease(release)
    if release.stop is not None:
        return RecordReleaseEnding(record_ending(release, stopped(release), now_ms))
    return StartRelease(release)


def _next_wish(model: ModelRow) -> ReleaseStep:
    wanted, champion = model.waiting, model.champion
    if wanted is None or model.ab is not None:
        return Rest()  # an approval waits for the end of an A/B test
    is_late = champion is not None and champion.since_ms > wanted.decided_ms
    if is_late or (wanted.kind == "approval" and _is_done(model, wanted)):
        return DropWish((change(model, waiting=None),))
    return OpenRelease(model, wanted, model.last_release + 1)


@dataclass(frozen=True)
class ReleaseNames:
    """How AWS knows a release: its execution's ARN and input, the endpoint, the configuration.

    `kind`: of the endpoint. `moves`: traffic goes over to it from another one, or from none.
    `captured`: the percentage of its requests that `predict` records.
    """

    execution: str
    input: str
    endpoint: str
    config: str
    kind: EndpointKind = "instances"
    moves: bool = False
    captured: int = 0


def open_release(
    step: OpenRelease, names: ReleaseNames, now_ms: int
) -> tuple[ReleaseRow, Transaction]:
    """Take the model for the next release (single flight: by compare-and-swap)."""
    model, wanted = step.model, step.wanted
    row = ReleaseRow(
        model=model.model,
        number=step.number,
        kind=wanted.kind,
        version=wanted.version,
        arn=wanted.arn,
        settings=model.settings,
        decided_ms=wanted.decided_ms,
        opened_ms=now_ms,
        run=wanted.run,
        trained=wanted.settings,
        digest=wanted.digest,
        by=wanted.by,
        because=wanted.because,
        input=names.input,
        execution=names.execution,
        endpoint=names.endpoint,
        config=wanted.config or names.config,
        before=model.live,
        endpoint_kind=names.kind,
        moves=names.moves,
        captured=names.captured,
    )
    taken = change(model, waiting=None, last_release=row.number, open_release=row.number)
    return row, (taken, create(row))


def mark_started(release: ReleaseRow, now_ms: int) -> Transaction:
    """Note that the execution was started."""
    return (change(release, state="started", started_ms=now_ms),)


def start_failed(release: ReleaseRow, words: str, now_ms: int, *, final: bool) -> Transaction:
    """What to commit when the execution could not be started; empty: try again later.

    ``final``: repeating cannot mend it. Should a start that was given up take effect after all,
    the first state's claim check ends it.
    """
    if not final and now_ms - release.opened_ms < START_PATIENCE_MS:
        return ()
    ending = ReleaseEnding(
        "failed",
        f"failed: release {release.number} could not be started: {words}",
        error="StartRefused",
        config=release.before.config if release.before else "",
    )
    return record_ending(release, ending, now_ms)


def stopped(release: ReleaseRow) -> ReleaseEnding:
    """The ending of a release that was stopped before it changed anything."""
    stop = release.stop
    words = "stopped by hand, outside Perennial"
    if stop is not None:
        words = f"stopped by {stop.by}: {stop.because}"
    if release.is_withdrawn:
        words = f"withdrawn: {stop.because if stop else 'the version is not approved any more'}"
    config = release.before.config if release.before else ""
    return ReleaseEnding(
        "withdrawn" if release.is_withdrawn else "stopped", words, error="Stopped", config=config
    )


def record_ending(release: ReleaseRow, ending: ReleaseEnding, now_ms: int) -> Transaction:
    """Fix how the release ended, once; empty if that is recorded already."""
    if release.ending is not None:
        return ()
    return (change(release, ending=replace(ending, at_ms=now_ms)),)


def live_after(model: ModelRow, release: ReleaseRow) -> tuple[Live | None, Live | None]:
    """What is live, and the last good configuration before it, once a release has ended.

    A rollback leaves none before it: what it rolled back from was not good.
    """
    ending = release.ending
    if ending is None or ending.outcome != "released":
        return model.live, model.previous
    live = Live(
        endpoint=release.endpoint,
        config=release.config,
        release=release.number,
        version=release.version,
        arn=release.arn,
        since_ms=ending.at_ms,
        run=release.run,
        digest=release.digest,
        settings=release.trained,
        kind=release.endpoint_kind,
        captured=release.captured,
    )
    before = model.live
    if release.kind == "rollback" or before is None or before.config == live.config:
        return live, None
    return live, before


def left_over(model: ModelRow, release: ReleaseRow) -> tuple[str, ...]:
    """The configurations that nothing needs once the release has ended, in order.

    Never the one that the endpoint was seen to serve, and none that may be gone back to.
    """
    ending = release.ending
    kept = {each.config for each in live_after(model, release) if each is not None}
    if ending is not None:
        kept.add(ending.config)
    known = [release.config, *(each.config for each in (model.live, model.previous) if each)]
    return tuple(sorted({config for config in known if config} - kept))


def free(model: ModelRow, release: ReleaseRow, now_ms: int) -> Transaction:
    """End the release and free the model, once: both rows change in one transaction or none."""
    ending = release.ending
    if ending is None or model.open_release != release.number or release.state == "ended":
        raise Conflict(f"release {release.number} of {model.model} is not to be settled")
    live, previous = live_after(model, release)
    champion = _champion_after(model, release, ending)
    is_new = champion is not None and (model.champion is None or champion.arn != model.champion.arn)
    freed = change(
        model,
        open_release=None,
        move=None,
        live=live,
        previous=previous,
        champion=champion,
        closed=() if is_new else model.closed,
        release_notices=(*model.release_notices, release.number)[-MOST_NOTICES:],
    )
    ended = change(
        release,
        state="ended",
        ended_ms=now_ms,
        outcome=ending.outcome,
        words=ending.words,
        error=ending.error,
        cause=ending.cause,
        token="",
    )
    return (ended, freed)


def _champion_after(model: ModelRow, release: ReleaseRow, ending: ReleaseEnding) -> Champion | None:
    if ending.outcome != "released":
        return model.champion
    return Champion(
        version=release.version,
        arn=release.arn,
        digest=release.digest,
        run=release.run,
        settings=release.trained,
        since_ms=release.decided_ms,
    )


def adopt(model: ModelRow, wanted: Wanted, names: ReleaseNames, now_ms: int) -> Transaction:
    """Record what is live already as what is live: a release that took place elsewhere.

    ``names.endpoint`` is empty for a version that serves nowhere: it becomes champion alone.
    Empty if that is recorded already.
    """
    if model.open_release is not None or model.waiting is not None:
        raise NotAllowed(
            f"a release of {model.model} is at work or about to open; adopt when it has ended"
        )
    refuse_during_test(model, "an adoption")
    live = model.live
    is_live = live is not None and (live.config, live.arn) == (names.config, wanted.arn)
    is_champion = model.champion is not None and model.champion.arn == wanted.arn
    if is_champion and (is_live or not names.endpoint):
        return ()
    step = OpenRelease(model, wanted, model.last_release + 1)
    opened, _ = open_release(step, names, now_ms)
    words = f"adopted by {wanted.by}: {wanted.because}"
    ending = ReleaseEnding("released", words, config=names.config, at_ms=now_ms)
    ended = replace(
        opened,
        state="ended",
        ending=ending,
        ended_ms=now_ms,
        outcome=ending.outcome,
        words=words,
    )
    live, previous = live_after(model, ended) if names.endpoint else (model.live, model.previous)
    changed = change(
        model,
        last_release=ended.number,
        live=live,
        previous=previous,
        champion=_champion_after(model, ended, ending),
        closed=(),
        decided_ms=max(model.decided_ms, wanted.decided_ms),
        decided_version=wanted.version
        if wanted.decided_ms >= model.decided_ms
        else model.decided_version,
    )
    return (changed, create(ended))


def forget_endpoint(model: ModelRow) -> Transaction:
    """Note that nothing is live any more, for the endpoint is removed; empty if nothing was."""
    if model.open_release is not None:
        raise NotAllowed(
            f"release {model.open_release} of {model.model} is at work; it has to end first"
        )
    refuse_during_test(model, "the removal of its endpoint")
    if model.live is None and model.previous is None:
        return ()
    return (change(model, live=None, previous=None, scaling_words=""),)
