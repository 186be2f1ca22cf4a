"""End the release of an execution that is over, tell people, and open what waits for its end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from perennial.advance_releases import ReleaseAdvance, advance_releases
from perennial.aws.machine import describe
from perennial.domain.ledger.rows import ReleaseRow, release_key
from perennial.domain.ledger.store import read_release
from perennial.look_after import wake_now
from perennial.tell_releases import tell_releases

if TYPE_CHECKING:
    from perennial.wiring import Ports

Decision = Literal["ended", "at work", "not ours", "over before"]


@dataclass(frozen=True)
class EndedRelease:
    """What became of an execution's release: `row` is its row, if it has one.

    `at work`: the endpoint or something else of it still changes, as `words` say, and the sweeper
    goes on. `not ours`: no release of the ledger has this execution.
    """

    decision: Decision
    model: str = ""
    row: ReleaseRow | None = None
    words: str = ""


def end_release(ports: Ports, execution: str, *, patience_s: float = 0) -> EndedRelease:
    """End the release that an execution (an ARN) works for, if it is over; repeatable by anyone.

    `patience_s`: how long to wait for what comes to rest by itself.
    """
    found = describe(execution)
    named = _named(found.input) if found is not None else None
    key = release_key(*named) if named else None
    row = read_release(ports.ledger, key) if key is not None else None
    if row is None or row.execution != execution:
        # Started by hand with another name: it holds no claim, and its first state ends it.
        return EndedRelease("not ours")
    patience_s = patience_s if row.state != "ended" else 0
    done = look_after_releases(ports, row.model, patience_s=patience_s)
    after = read_release(ports.ledger, row.key)
    if after is not None and after.state != "ended":
        return EndedRelease("at work", row.model, after, done.words)
    is_first = any(each.number == row.number for each in done.ended)
    return EndedRelease("ended" if is_first else "over before", row.model, after)


def look_after_releases(
    ports: Ports, model: str, *, may_settle: bool = True, patience_s: float = 0
) -> ReleaseAdvance:
    """Take the next steps of the model's releases, tell people, and reopen what alarms wait for.

    `may_settle`: also see that what is live scales as its release asks for.
    """
    done = advance_releases(ports, model, may_settle=may_settle, patience_s=patience_s)
    # Also when another process freed the model: it may have died before it told anybody.
    tell_releases(ports, model)
    if any(each.outcome == "released" for each in done.ended):
        wake_now(ports, model)
    if may_settle:
        from perennial.keep_scaling import keep_scaling  # noqa: PLC0415  # spares a cold start

        done = replace(done, scaling=keep_scaling(ports, model))
    return done


def release_counts(done: ReleaseAdvance) -> dict[str, int]:
    """How many releases a pass opened, started and ended, in all and by outcome."""
    found = Counter({"ReleasesOpened": len(done.opened), "ReleasesStarted": len(done.started)})
    for row in done.ended:
        found["ReleasesEnded"] += 1
        found[f"Releases{(row.outcome or 'failed').title().replace('_', '')}"] += 1
    return {name: number for name, number in found.items() if number}


def _named(text: str) -> tuple[str, int] | None:
    """Model and release that an execution's input names."""
    try:
        document = json.loads(text)
        return str(document["model"]), int(document["release"])
    except (ValueError, KeyError, TypeError):
        return None
