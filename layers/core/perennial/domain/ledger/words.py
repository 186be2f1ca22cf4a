"""Signals and reasons in words, for run rows, notices and ``perennial why``."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.domain.ledger.rows import Retry, SignalRow
from perennial.domain.signals import CODE, DATA, DRIFT, MANUAL, REVIEW, SCHEDULE
from perennial.domain.text import printable

MOST_LINES = 20
LONGEST_LINE = 300


def describe(signal: SignalRow) -> str:
    """One line that names a signal; keys and reasons were written by others."""
    return printable(_described(signal))


def _described(signal: SignalRow) -> str:
    evidence = signal.evidence
    match signal.kind:
        case "data":
            return f"data: {signal.parts[1]} (version {signal.parts[2]})"
        case "schedule":
            reason = f": {evidence['reason']}" if evidence.get("reason") else ""
            return f"schedule {signal.parts[0]}: {signal.parts[1]}{reason}"
        case "drift":
            return _drift(signal)
        case "review":
            answers = evidence.get("answers")
            return f"review: {answers} new answers" if answers is not None else "review: an answer"
        case "code":
            return f"code: settings {signal.parts[0]}, pushed by {evidence.get('by', '?')}"
    set_words = ", ".join(f"{name}={value}" for name, value in signal.overrides.items())
    with_words = f" with {set_words}" if set_words else ""
    return f"asked by {evidence.get('by', '?')}{with_words}: {evidence.get('because', '')}"


def _drift(signal: SignalRow) -> str:
    evidence, alarm = signal.evidence, signal.parts[0]
    if evidence.get("found"):
        return f"drift: {evidence['found']} in {evidence.get('window', 'a window')} (alarm {alarm})"
    return f"drift: alarm {alarm}: {evidence.get('reason', '')}".rstrip(": ")


def because(signals: Sequence[SignalRow], retry: Retry | None = None) -> tuple[str, ...]:
    """Why a run was opened, in a few lines; many data signals become one."""
    lines = []
    if retry is not None:
        lines.append(f"retry of run {retry.run}, asked by {retry.by}: {retry.because}")
    data = [s for s in signals if s.kind == DATA]
    others = [s for s in signals if s.kind != DATA]
    order = {MANUAL: 0, CODE: 1, DRIFT: 2, REVIEW: 3, SCHEDULE: 4}
    lines.extend(describe(s) for s in sorted(others, key=lambda s: (order[s.kind], s.admitted_ms)))
    if len(data) == 1:
        lines.append(describe(data[0]))
    elif data:
        first = min(data, key=lambda s: s.parts)
        lines.append(f"data: {len(data):,} objects, the first {first.parts[1]}")
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more reasons"]
    return tuple(printable(line[:LONGEST_LINE]) for line in lines)
