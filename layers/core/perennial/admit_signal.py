"""Admit a signal to the ledger, once, however often it is delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain.ledger.admit import Admission, admit, read_known
from perennial.domain.ledger.store import Transaction, read_model
from perennial.domain.manifest import is_selected
from perennial.domain.signals import DATA, Signal

if TYPE_CHECKING:
    from perennial.wiring import Ports

Decision = Literal["new", "known", "ahead", "unknown model", "not selected"]


@dataclass(frozen=True)
class Admitted:
    """What became of a signal. `new` and `known` call for a look at the model."""

    signal: Signal
    decision: Decision

    @property
    def counts(self) -> bool:
        """Whether the ledger holds the signal, so that a run may be due."""
        return self.decision in ("new", "known")


def admit_signal(ports: Ports, signal: Signal) -> Admitted:
    """Admit a signal. One of a model that is not pushed yet, or of an object that the settings
    do not select, is acknowledged: the sweeper's listing finds the object once that changes."""
    decision: Decision = "known"

    def decide() -> Transaction:
        nonlocal decision
        admission = _judge(ports, signal)
        decision = admission if isinstance(admission, str) else admission.status
        return () if isinstance(admission, str) else admission.changes

    commit_change(ports, decide)
    return Admitted(signal, decision)


def _judge(ports: Ports, signal: Signal) -> Admission | Literal["unknown model", "not selected"]:
    model = read_model(ports.ledger, signal.model)
    if model is None:
        return "unknown model"
    if signal.kind == DATA:
        settings = read_settings_of(ports.ledger, model)
        if not is_selected(signal.parts[1], signal.model, settings.data.select):
            return "not selected"
    return admit(signal, model, read_known(ports.ledger, signal), ports.clock())
