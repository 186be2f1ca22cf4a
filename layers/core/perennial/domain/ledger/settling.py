"""What becomes of a run's signals when it has ended, and how it frees the model.

Each signal is settled by its own compare-and-swap; the last transaction ends the run row and
frees the model together, under the condition that this run still holds it. Any part may be
repeated by anyone, with old or new readings: what is settled is not claimed any more, and what
was written under another revision conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perennial.domain.errors import Conflict
from perennial.domain.ledger.book import Book
from perennial.domain.ledger.holding import closed_evidence
from perennial.domain.ledger.limits import (
    FIRST_EVIDENCE_HOLD_MS,
    LONGEST_EVIDENCE_HOLD_MS,
    REMEMBER_MS,
    TRANSIENT_PAUSES_MS,
)
from perennial.domain.ledger.rows import (
    VERDICTS,
    ClosedEvidence,
    Ending,
    ModelRow,
    Retry,
    RunRow,
    SignalRow,
    open_key,
)
from perennial.domain.ledger.store import Transaction, absent, change, create, in_chunks, move
from perennial.domain.signals import CODE, DATA, signal_id

MOST_NOTICES = 100


@dataclass(frozen=True)
class Quarantine:
    """An object version that the check refused, why, and its first bad lines in words."""

    parts: tuple[str, str, str]
    reason: str
    first_bad: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The id of its signal."""
        return signal_id(DATA, self.parts)


@dataclass(frozen=True)
class Findings:
    """What a run left behind.

    ``manifest``: the ids of all object versions it read (empty without a manifest).
    ``quarantined``: from the check's report, by id, if there is one. ``known``: the final rows
    (``done#``) that exist for quarantined ids. ``check``: the report's summary.
    """

    manifest: frozenset[str] = frozenset()
    quarantined: Mapping[str, Quarantine] = field(default_factory=dict)
    known: Mapping[str, SignalRow] = field(default_factory=dict)
    check: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settlement:
    """Commit ``transactions``, then read and settle again; or, when none is left, ``free``."""

    transactions: tuple[Transaction, ...] = ()
    free: Transaction = ()


@dataclass(frozen=True)
class _Case:
    """All that decides over one signal of a run that ends."""

    model: ModelRow
    run: RunRow
    ending: Ending
    findings: Findings
    now_ms: int


def settle(book: Book, findings: Findings, now_ms: int) -> Settlement:
    """The next part of settling the open run, whose ending must be recorded."""
    run = book.run
    if run is None or run.ending is None or book.model.open_run != run.number:
        raise Conflict(f"{book.model.model} has no run to settle")
    case = _Case(book.model, run, run.ending, findings, now_ms)
    moves = [_settled(s, case) for s in book.signals if _is_concerned(s, case)]
    if not run.overrides:
        moves.extend(_refused_again(book, case))
    if moves:
        return Settlement(transactions=in_chunks(moves))
    return Settlement(free=free(book.model, run, run.ending, findings, now_ms))


def _is_concerned(signal: SignalRow, case: _Case) -> bool:
    """Whether a signal is settled with this run: it claims it, or it read its very data.

    The second part spares a run of its own to an object whose event came late, after the
    manifest had listed it. What came back from this very run is settled already.
    """
    run = case.run
    if signal.state == "claimed":
        return signal.run == run.number
    if run.overrides or signal.id not in case.findings.manifest:
        return False
    return signal.run != run.number


def _settled(signal: SignalRow, case: _Case) -> Transaction:
    run, outcome = case.run, case.ending.outcome
    bad = case.findings.quarantined.get(signal.id)
    if bad is not None and not run.overrides:
        return _finally(signal, case, "quarantined", bad.reason, bad.first_bad)
    if outcome in VERDICTS and _is_served(signal, case):
        return _finally(signal, case, "consumed", f"run {run.number}: {outcome}")
    if _returns(signal, case):
        return (change(signal, state="pending", reason="", run=run.number, held_ms=0),)
    held = change(
        signal,
        state="held",
        reason=case.ending.words,
        run=run.number,
        held_ms=case.now_ms,
        held_settings=run.settings,
    )
    return (held,)


def _is_served(signal: SignalRow, case: _Case) -> bool:
    """Whether a run that reached its verdict did what the signal asked for."""
    if signal.kind == DATA:
        return signal.id in case.findings.manifest
    if signal.kind == CODE:
        return case.run.settings >= int(signal.parts[0])
    return dict(signal.overrides) == dict(case.run.overrides)


def _returns(signal: SignalRow, case: _Case) -> bool:
    """Whether a signal goes back to pending: not served yet, or the failure may pass."""
    ending = case.ending
    if ending.outcome in VERDICTS or ending.empty or may_pass(case.model, ending):
        return True
    if ending.outcome != "refused" or signal.kind != DATA:
        return False
    return signal.id not in case.findings.manifest


def may_pass(model: ModelRow, ending: Ending) -> bool:
    """Whether a failure is a passing one and has not happened too often in a row."""
    return ending.transient and model.transient_failures < len(TRANSIENT_PAUSES_MS)


def _finally(
    signal: SignalRow, case: _Case, state: str, reason: str, first_bad: tuple[str, ...] = ()
) -> Transaction:
    expires = None if signal.kind == DATA else (case.now_ms + REMEMBER_MS) // 1000
    return move(
        signal,
        state=state,
        reason=reason,
        run=case.run.number,
        settled_ms=case.now_ms,
        first_bad=first_bad,
        expires=expires,
    )


def _refused_again(book: Book, case: _Case) -> list[Transaction]:
    """Quarantine objects that no open signal stands for: consumed before, or never announced."""
    still_open = {signal.id for signal in book.signals}
    moves: list[Transaction] = []
    for found, bad in case.findings.quarantined.items():
        fields: dict[str, Any] = {
            "state": "quarantined",
            "reason": bad.reason,
            "run": case.run.number,
            "first_bad": bad.first_bad,
            "settled_ms": case.now_ms,
        }
        row = case.findings.known.get(found)
        if found in still_open or (row is not None and row.state != "consumed"):
            continue
        if row is not None:
            moves.append((change(row, **fields),))
        else:
            new = SignalRow(book.model.model, found, DATA, bad.parts, {}, case.now_ms)
            # Its event may come at this very moment: then the open signal is settled instead.
            unannounced = absent(open_key(new.model, new.id))
            moves.append((create(replace(new, **fields)), unannounced))
    return moves


def free(
    model: ModelRow, run: RunRow, ending: Ending, findings: Findings, now_ms: int
) -> Transaction:
    """End the run and free the model, once: both rows change in one transaction or none."""
    again = may_pass(model, ending)
    failures = model.transient_failures + 1 if again else 0
    not_before_ms = now_ms + TRANSIENT_PAUSES_MS[model.transient_failures] if again else 0
    freed = change(
        model,
        open_run=None,
        ended_ms=now_ms if ending.ran else model.ended_ms,
        opened_ms=model.opened_ms if ending.ran else _without(model.opened_ms, run.opened_ms),
        transient_failures=failures,
        not_before_ms=not_before_ms,
        has_data=model.has_data and not ending.empty,
        data_run=run.number if _taught(run, ending) else model.data_run,
        closed=_closed(model, run, ending, now_ms),
        retry=_retry_again(model, run, not_before_ms) if again else model.retry,
        notices=(*model.notices, run.number)[-MOST_NOTICES:],
    )
    ended = change(
        run,
        state="ended",
        outcome=ending.outcome,
        error=ending.error,
        cause=ending.cause,
        ended_ms=now_ms,
        check=dict(findings.check),
    )
    return (ended, freed)


def _taught(run: RunRow, ending: Ending) -> bool:
    return ending.outcome in VERDICTS and run.fresh > 0


def _without(moments: tuple[int, ...], moment: int) -> tuple[int, ...]:
    """A run that never started costs nothing of the day's budget."""
    left = list(moments)
    if moment in left:
        left.remove(moment)
    return tuple(left)


def _closed(
    model: ModelRow, run: RunRow, ending: Ending, now_ms: int
) -> tuple[ClosedEvidence, ...]:
    """Close the evidence of alarms whose run kept the champion, each time for twice as long."""
    champion = model.champion
    if ending.outcome not in VERDICTS or champion is None or champion.run >= run.number:
        return model.closed
    others = tuple(each for each in model.closed if each.alarm not in run.alarms)
    closed = []
    for alarm in run.alarms:
        before = closed_evidence(model, alarm)
        hold = min(before.hold_ms * 2, LONGEST_EVIDENCE_HOLD_MS) if before else 0
        hold = hold or FIRST_EVIDENCE_HOLD_MS
        closed.append(ClosedEvidence(alarm, run.number, run.settings, hold, now_ms + hold))
    return (*others, *closed)


def _retry_again(model: ModelRow, run: RunRow, not_before_ms: int) -> Retry | None:
    """A retry that failed in passing is repeated as a retry, with the settings it was for."""
    if run.retry_of is None or model.retry is not None:
        return model.retry
    return Retry(run.number, "Perennial", "a passing failure", not_before_ms)
