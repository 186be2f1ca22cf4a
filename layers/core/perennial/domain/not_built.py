"""Settings that are understood but that nothing acts on yet: refused by name, never ignored."""

from __future__ import annotations

from perennial.domain.settings import Settings, SettingsInvalid
from perennial.domain.settings_reader import Mistake


def refuse_not_built(settings: Settings) -> None:
    """Raise `SettingsInvalid` for what this version of Perennial cannot carry out."""
    train = settings.train
    found = [
        Mistake(path, f"{value}, which this version cannot run yet", wanted)
        for path, value, wanted in (
            ("train.algorithm", train.algorithm, "no value: model.py trains"),
            ("train.image", train.image, "no value: model.py trains"),
        )
        if value
    ]
    if found:
        raise SettingsInvalid(settings.project, found)
