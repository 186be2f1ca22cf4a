"""Record what a window's job found: in the ledger, as metrics, and as a signal where it stays so.

The ledger comes first, so that whoever hears of the alarm finds what it is about; the window
stays open until its figures are published. Whoever dies in between is made up for: publishing
them again changes no alarm.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeGuard

from perennial.aws.alarms import ALARM, alarm_states
from perennial.aws.monitor_metrics import Metric, publish
from perennial.commit_change import commit_change
from perennial.domain import naming
from perennial.domain.errors import Conflict
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, monitor_key
from perennial.domain.ledger.monitors import (
    Found,
    close_window,
    is_waiting,
    note_found,
    withdraw_alarm,
)
from perennial.domain.ledger.rows import OPEN_SK
from perennial.domain.ledger.store import Transaction, read_model, read_signals
from perennial.domain.signals import drift_body
from perennial.look_after import wake_now
from perennial.note_labels import note_new_labels
from perennial.score_earlier import ask_to_score
from perennial.weigh_training import weigh_training

if TYPE_CHECKING:
    from perennial.domain.monitor_report import Report
    from perennial.wiring import Ports


def record_window(
    ports: Ports, window: WindowRow, found: Found, report: Report | None = None
) -> bool:
    """Record a window's end once; False when it was recorded before."""
    alarm = naming.monitor_alarm(ports.deployment.stack, window.model, window.kind)
    # As it was before this window could change it: one that sounds already sends no event again.
    was_sounding = alarm_states([alarm]).get(alarm) == ALARM

    def note() -> Transaction:
        row = ports.ledger.get(window.key)
        return note_found(_head(ports, window), row, found, ports.clock()) if is_row(row) else ()

    def close() -> Transaction:
        row = ports.ledger.get(window.key)
        return close_window(_head(ports, window), row) if is_row(row) else ()

    is_new = commit_change(ports, note)
    token = naming.token(ports.deployment.stack)
    publish(token, window.model, window.kind, metrics_of(window, found, report))
    if not found.is_blind:
        note_new_labels(ports, window.model)
        if not found.violations:
            withdraw(ports, window.model, alarm)
        elif was_sounding:
            admit_again(ports, window, found, alarm)
    commit_change(ports, close)
    if not found.is_blind and not _is_scored(ports, window):
        weigh_training(ports, window.model, window.kind, found.violations)
    return is_new


def _is_scored(ports: Ports, window: WindowRow) -> bool:
    """Whether earlier versions are scored first, which is asked for; then the policy decides."""
    head = _head(ports, window)
    if head is None or head.scoring_ms != window.end_ms:
        return False
    ask_to_score(ports, window.model)
    return True


def is_row(row: object) -> TypeGuard[WindowRow]:
    """Whether the ledger still has the window."""
    return isinstance(row, WindowRow)


def _head(ports: Ports, window: WindowRow) -> MonitorRow | None:
    row = ports.ledger.get(monitor_key(window.model, window.kind))
    return row if isinstance(row, MonitorRow) else None


def metrics_of(window: WindowRow, found: Found, report: Report | None) -> list[Metric]:
    """What a window publishes. A short one in which nothing came says nothing at all."""
    if found.is_blind:
        is_cut = found.state != "failed" and not window.is_whole
        return [] if is_cut else [Metric("blind", 1.0)]
    figures = [
        Metric("blind", 0.0),
        Metric("violations", float(found.violations)),
        Metric("rows", float(found.rows)),
    ]
    if report is None:
        return figures
    if report.worst is not None:
        figures.append(Metric("worst_drift", report.worst))
    return figures + [Metric(each.name, each.value, each.dimensions) for each in report.figures]


def publish_cleared(ports: Ports, model: str, kind: str) -> None:
    """A new version is live, which has a baseline of its own: nothing is held against it yet."""
    publish(naming.token(ports.deployment.stack), model, kind, [Metric("violations", 0.0)])


def withdraw(ports: Ports, model: str, alarm: str) -> None:
    """Settle what waits of an alarm that a window without violations brings back to OK."""
    signals = read_signals(ports.ledger, model, OPEN_SK)
    for transaction in withdraw_alarm(signals, alarm, ports.clock()):
        try:
            ports.ledger.commit(transaction)
        except Conflict:
            continue  # a run has claimed it meanwhile, and answers it


def admit_again(ports: Ports, window: WindowRow, found: Found, alarm: str) -> None:
    """An alarm that stays in ALARM sends no event: let the ledger look at it once more.

    What waits is looked at again; what a run has settled is admitted anew.
    """
    model = read_model(ports.ledger, window.model)
    if model is None:
        return
    if is_waiting(read_signals(ports.ledger, window.model, OPEN_SK), alarm):
        wake_now(ports, window.model)
        return
    worst = json.loads(found.figures).get("worst") or {}
    body = drift_body(
        window.model,
        window.kind,
        alarm,
        window.end_ms,
        reason=f"still in ALARM: {found.words}",
        worst=worst.get("value"),
    )
    ports.signals.send_text(body)
