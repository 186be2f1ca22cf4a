"""What a drift signal says beside its alarm: what the monitor found, and in which window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perennial.describe_model import read_settings_of
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, monitor_key, window_key
from perennial.domain.ledger.store import read_model
from perennial.domain.monitor_windows import words
from perennial.domain.retrain_policy import HEARS_ALARMS
from perennial.domain.signals import Signal
from perennial.note_labels import note_new_labels

if TYPE_CHECKING:
    from perennial.wiring import Ports


def with_evidence(ports: Ports, signal: Signal) -> Signal:
    """The signal with its monitor's last finding, and how many alarms the settings ask for.

    Labels that have come are noted first: they decide whether there is anything new to learn.
    """
    row = read_model(ports.ledger, signal.model)
    if row is None:
        return signal
    note_new_labels(ports, signal.model)
    retrain = read_settings_of(ports.ledger, row).monitor.retrain
    needed: dict[str, Any] = {"at_least": retrain.at_least} if retrain.at_least > 1 else {}
    if retrain.policy not in HEARS_ALARMS:
        needed["policy"] = retrain.policy
    window = last_finding(ports, signal.model, str(signal.evidence.get("monitor", "")))
    if window is None or not window.violations:
        return replace(signal, evidence={**signal.evidence, **needed})
    found = {"found": window.words, "window": words(window.start_ms, window.end_ms)}
    return replace(signal, evidence={**signal.evidence, **found, **needed})


def last_finding(ports: Ports, model: str, kind: str) -> WindowRow | None:
    """The last window in which the monitor saw something."""
    monitor = ports.ledger.get(monitor_key(model, kind))
    if not isinstance(monitor, MonitorRow) or not monitor.seen_ms:
        return None
    window = ports.ledger.get(window_key(model, kind, monitor.seen_ms))
    return window if isinstance(window, WindowRow) else None
