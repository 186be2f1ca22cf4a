"""Describe a model as the ledger knows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from perennial.domain.errors import NotFound
from perennial.domain.ledger.rows import (
    DONE_SK,
    OPEN_SK,
    Champion,
    ModelRow,
    Paused,
    SettingsRow,
    settings_key,
)
from perennial.domain.ledger.store import Store, read_model, read_signals
from perennial.domain.settings import Settings

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class ModelDescription:
    """A model's state: what holds, what waits, and how many signals are in which state."""

    model: str
    settings: int
    code_sha: str
    pushed_ms: int
    pushed_by: str
    paused: Paused | None
    champion: Champion | None
    last_run: int
    open_run: int | None
    ended_ms: int
    pending: int
    held: Mapping[str, int]
    claimed: int
    quarantined: int
    excluded: int


def describe_model(ports: Ports, model: str) -> ModelDescription:
    """The model's state; raises `NotFound` for one that was never pushed, or removed."""
    row = known_model(ports.ledger, model)
    settings = read_settings(ports.ledger, row)
    opened = read_signals(ports.ledger, model, OPEN_SK)
    done = Counter(signal.state for signal in read_signals(ports.ledger, model, DONE_SK))
    states = Counter(signal.state for signal in opened)
    return ModelDescription(
        model=model,
        settings=row.settings,
        code_sha=settings.code_sha,
        pushed_ms=settings.pushed_ms,
        pushed_by=settings.pushed_by,
        paused=row.paused,
        champion=row.champion,
        last_run=row.last_run,
        open_run=row.open_run,
        ended_ms=row.ended_ms,
        pending=states["pending"],
        held=Counter(signal.reason for signal in opened if signal.state == "held"),
        claimed=states["claimed"],
        quarantined=done["quarantined"],
        excluded=done["excluded"],
    )


def known_model(store: Store, model: str) -> ModelRow:
    """The model's row; raises `NotFound` in words for people."""
    row = read_model(store, model)
    if row is None:
        raise NotFound(f"there is no model '{model}'; `perennial push models/{model}` makes one")
    return row


def read_settings(store: Store, row: ModelRow, version: int | None = None) -> SettingsRow:
    """A settings version of a model, else the newest; raises `NotFound`."""
    number = row.settings if version is None else version
    found = store.get(settings_key(row.model, number))
    if not isinstance(found, SettingsRow):
        raise NotFound(f"there is no settings version {number} of {row.model}")
    return found


def read_settings_of(store: Store, row: ModelRow, version: int | None = None) -> Settings:
    """A settings version of a model as settings; raises `NotFound`."""
    return parsed_settings(read_settings(store, row, version).settings, row.model)


@lru_cache(maxsize=64)
def parsed_settings(text: str, model: str) -> Settings:
    """A settings row's document as settings; a warm function parses each version once."""
    return Settings.from_json(json.loads(text), project=model)
