"""Admit a signal to the ledger, once, however often it is delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain.ledger.admit import Admission, admit, read_known
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction, read_model
from perennial.domain.manifest import is_selected
from perennial.domain.signals import DATA, DRIFT, Signal
from perennial.drift_evidence import with_evidence

if TYPE_CHECKING:
    from perennial.wiring import Ports

Decision = Literal["new", "known", "ahead", "unknown model", "not selected"]
#: A wake that is due sooner may be under way no more: somebody handles it just now.
MARGIN_MS = 2000


@dataclass(frozen=True)
class Admitted:
    """What became of a signal. `is_awaited`: a wake that is under way will look at the model."""

    signal: Signal
    decision: Decision
    is_awaited: bool = False

    @property
    def needs_look(self) -> bool:
        """Whether a run may be due now that the ledger holds the signal."""
        return self.decision in ("new", "known") and not self.is_awaited


def admit_signal(ports: Ports, signal: Signal) -> Admitted:
    """Admit a signal. One of a model that is not pushed yet, or of an object that the settings
    do not select, is acknowledged: the sweeper's listing finds the object once that changes.

    A drift signal takes along what its monitor found.
    """
    if signal.kind == DRIFT:
        signal = with_evidence(ports, signal)
    decision: Decision = "known"
    is_awaited = False

    def decide() -> Transaction:
        nonlocal decision, is_awaited
        model = read_model(ports.ledger, signal.model)
        admission = _judge(ports, signal, model)
        decision = admission if isinstance(admission, str) else admission.status
        is_awaited = model is not None and _is_awaited(signal, model, ports.clock())
        return () if isinstance(admission, str) else admission.changes

    commit_change(ports, decide)
    return Admitted(signal, decision, is_awaited)


def _is_awaited(signal: Signal, model: ModelRow, now_ms: int) -> bool:
    """Whether the wake under way comes soon enough for this signal.

    One more object can only make a burst wait longer, so a look at every one of a thousand would
    read a thousand signals a thousand times and find nothing. All other kinds may be due at once.
    """
    is_under_way = model.wake_ms > now_ms + MARGIN_MS
    return signal.kind == DATA and model.open_run is None and is_under_way


def _judge(
    ports: Ports, signal: Signal, model: ModelRow | None
) -> Admission | Literal["unknown model", "not selected"]:
    if model is None:
        return "unknown model"
    if signal.kind == DATA:
        settings = read_settings_of(ports.ledger, model)
        if not is_selected(signal.parts[1], signal.model, settings.data.select):
            return "not selected"
    return admit(signal, model, read_known(ports.ledger, signal), ports.clock())
