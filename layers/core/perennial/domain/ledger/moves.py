"""Moves: the model's requests go over to a second endpoint by shares, and back at once.

A move is opened when its release is about to change production, and closed in the transaction
that ends the release. In between only the release's own execution gives it more of the requests;
anyone who ends the release takes them away again, in one transaction with the ending, so that
nobody who read the release before can give it more afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from perennial.domain.errors import NotClaimed
from perennial.domain.ledger.move_rows import WHOLE, EndpointKind, Move
from perennial.domain.ledger.rows import Live, ModelRow, ReleaseEnding, ReleaseRow, Wanted
from perennial.domain.ledger.store import Transaction, change

#: How long the machine waits before each look at a move. Looks are counted, and not times compared,
#: so that a bake is never shorter than asked for, whichever clock is fast.
LOOK_SECONDS = 20
#: How long whoever divides requests may go on by an older reading while a move is open.
BELIEVED_MS = 5_000
#: An endpoint that lost its requests is removed so much later.
LEAVE_MS = 15_000

Strategy: TypeAlias = Literal["canary", "linear", "all-at-once"]
#: What a release asks of its traffic next.
Next: TypeAlias = Literal["wait", "shift", "done", "back"]


@dataclass(frozen=True)
class Place:
    """Where a release goes: onto the present `endpoint`, or beside it (`moves`), and of what kind.

    `captured`: the percentage of its requests that `predict` records.
    """

    endpoint: str
    kind: EndpointKind = "instances"
    moves: bool = False
    captured: int = 0


def place_of(
    model: ModelRow,
    wanted: Wanted,
    asked: tuple[EndpointKind, int],
    slots: Mapping[str, str],
    shared: str,
) -> Place:
    """Where the wanted version goes. `asked`: kind and captured percentage by the settings.

    `slots` names the other place of each, and the first one for "" and what is none of them. A
    rollback brings back what was there, kind and all. SageMaker updates an endpoint of instances
    under guard; what is serverless, before or after, gets an endpoint of its own. `shared` is the
    one endpoint of all models that share theirs.
    """
    live, before = model.live, model.previous
    kind, captured = asked
    if wanted.kind == "rollback" and before is not None:
        kind, captured = before.kind, before.captured
    present = live.endpoint if live is not None else ""
    if kind == "instances" and (live is None or live.kind == "instances"):
        return Place(present or slots[""])
    if kind == "multi-model":
        return Place(shared, kind, moves=True, captured=captured)
    return Place(slots.get(present, slots[""]), kind, moves=True, captured=captured)


def open_move(model: ModelRow, release: ReleaseRow) -> Transaction:
    """Note where the release will take the requests, none so far; empty if that is noted."""
    if not release.moves or move_of(model, release) is not None:
        return ()
    move = Move(
        release=release.number,
        endpoint=release.endpoint,
        version=release.version,
        config=release.config,
        arn=release.arn,
        settings=release.trained,
        kind=release.endpoint_kind,
        captured=release.captured,
    )
    return (change(model, move=move),)


def move_of(model: ModelRow, release: ReleaseRow) -> Move | None:
    """The release's own move; None before it is opened."""
    move = model.move
    return move if move is not None and move.release == release.number else None


def next_share(strategy: Strategy, share: float, permille: int, *, alone: bool) -> int:
    """The thousandths after `permille`; `share` is the settings' own, a fraction.

    `alone`: nothing else answers, so all requests go there at once.
    """
    step = round(share * WHOLE)
    if alone or strategy == "all-at-once" or (strategy == "canary" and permille):
        return WHOLE
    return min(permille + step, WHOLE)


def shift(  # noqa: PLR0913  # the rows, the strategy's own figures, and the time
    model: ModelRow,
    release: ReleaseRow,
    strategy: Strategy,
    share: float,
    *,
    step: int,
    alone: bool,
    now_ms: int,
) -> Transaction:
    """Give the move the share after its `step`-th; empty if it has that, or is turned back.

    So a repeated call shifts once. Raises `NotClaimed` without an open move.
    """
    move = _open(model, release)
    if move.turned_back or move.permille >= WHOLE or move.step != step:
        return ()
    permille = next_share(strategy, share, move.permille, alone=alone)
    moved = replace(move, permille=permille, step=move.step + 1, since_ms=now_ms)
    return (change(model, move=moved),)


@dataclass(frozen=True)
class Watched:
    """What is to be done about a move, and what to commit before."""

    next: Next
    changes: Transaction = ()


def is_over(bake_s: int, looks: int) -> bool:
    """Whether a step has baked for so many seconds after so many looks at it."""
    return looks * LOOK_SECONDS >= bake_s


def watch(
    model: ModelRow, release: ReleaseRow, *, is_baked: bool, trouble: str, now_ms: int
) -> Watched:
    """Judge a move at work. `trouble`: what speaks against it, in words; empty: nothing.

    `is_baked`: its present share has been watched for as long as the settings ask for. Trouble
    takes its requests away at once and for good. Raises `NotClaimed` without a move.
    """
    move = _open(model, release)
    if move.turned_back:
        return Watched("back")
    if move.baked:
        return Watched("done")
    if trouble:
        return Watched("back", turn_back(model, release, trouble, now_ms))
    if not is_baked:
        return Watched("wait")
    if move.permille < WHOLE:
        return Watched("shift")
    return Watched("done", (change(model, move=replace(move, baked=True)),))


def turn_back(model: ModelRow, release: ReleaseRow, words: str, now_ms: int) -> Transaction:
    """Take every request away from the release's endpoint; empty if that is done, or no move."""
    move = move_of(model, release)
    if move is None or move.turned_back:
        return ()
    back = replace(move, permille=0, turned_back=True, words=words, since_ms=now_ms)
    return (change(model, move=back),)


def end_move(
    model: ModelRow, release: ReleaseRow, ending: ReleaseEnding, now_ms: int
) -> Transaction:
    """What goes with the ending of a release: one that was not released answers no request."""
    if ending.outcome == "released":
        return ()
    return turn_back(model, release, ending.words, now_ms)


def leaves_until(model: ModelRow, release: ReleaseRow) -> int:
    """Until when the endpoint that lost the requests may still be asked (milliseconds; 0: never).

    The one that a release leaves, or its own when it was turned back.
    """
    move = move_of(model, release)
    return move.since_ms + LEAVE_MS if move is not None and move.step > 0 else 0


def endpoint_left(release: ReleaseRow) -> str:
    """The endpoint that nobody asks any more once a release has ended; empty: none.

    After a move that is the one before it, or the release's own when it was not released. One that
    several models share is asked by others: `archives_kept` tells what a release leaves there.
    """
    before, ending = release.before, release.ending
    if not release.moves or ending is None:
        return ""
    if ending.outcome != "released":
        return release.endpoint if release.endpoint_kind != "multi-model" else ""
    if before is None or before.kind == "multi-model" or before.endpoint == release.endpoint:
        return ""
    return before.endpoint


def archives_kept(live: Live | None) -> frozenset[str]:
    """The configurations of a model whose archives stay where several models share an endpoint.

    Only what is live: a rollback brings its archive again, from the registry's.
    """
    return frozenset({live.config} if live is not None and live.kind == "multi-model" else ())


def moving_words(move: Move | None, live: Live | None) -> str:
    """How the requests are divided, in words; empty: nothing divides them."""
    if move is None:
        return ""
    rest = f"the others to version {live.version}" if live is not None else "nothing else answers"
    return (
        f"{100 * move.share:g}% of the predictions go to version {move.version} "
        f"({move.endpoint}), {rest}"
    )


def _open(model: ModelRow, release: ReleaseRow) -> Move:
    move = move_of(model, release)
    if move is None:
        raise NotClaimed(f"release {release.number} of {release.model} moves no traffic")
    return move
