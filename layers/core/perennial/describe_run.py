"""Describe one run of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.errors import NotFound
from perennial.domain.ledger.rows import RunRow, run_key
from perennial.domain.ledger.store import Store, read_run

if TYPE_CHECKING:
    from perennial.wiring import Ports


def describe_run(ports: Ports, model: str, number: int) -> RunRow:
    """The run's row; raises `NotFound`."""
    return known_run(ports.ledger, model, number)


def known_run(store: Store, model: str, number: int) -> RunRow:
    """The run's row; raises `NotFound` in words for people."""
    row = read_run(store, run_key(model, number))
    if row is None:
        raise NotFound(f"there is no run {number} of {model}; `perennial runs {model}` lists them")
    return row
