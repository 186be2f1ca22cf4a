"""Ask for a retraining by hand, perhaps with settings of its own for this run only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perennial.admit_signal import admit_signal
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.settings import apply_overrides
from perennial.domain.signals import manual_signal
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


def request_retrain(  # noqa: PLR0913, PLR0917  # what a request is made of
    ports: Ports,
    model: str,
    because: str,
    overrides: Mapping[str, str],
    token: str,
    by: str = "a person",
) -> str:
    """Admit a manual signal, which opens a run as soon as the model is free; the signal's id.

    `token` makes repeating the same request harmless. Raises `NotFound` for an unknown model
    and `SettingsInvalid` for overrides that the settings cannot take.
    """
    settings = read_settings_of(ports.ledger, known_model(ports.ledger, model))
    if overrides:
        apply_overrides(settings, overrides)
    signal = manual_signal(model, token, by=by, because=because, overrides=overrides)
    admit_signal(ports, signal)
    wake_now(ports, model)
    return signal.id
