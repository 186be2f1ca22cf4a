"""Publish a settings version with its code: the `code` signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.jobs import newest_processing_jobs
from perennial.commit_change import commit_change
from perennial.domain import naming
from perennial.domain.ledger.commands import publish
from perennial.domain.ledger.rows import ModelRow, SettingsRow, model_key, settings_key
from perennial.domain.ledger.store import Transaction
from perennial.look_after import wake_now

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class PublishedSettings:
    """The settings version that holds now, and whether this publication made it."""

    version: int
    changed: bool


def publish_settings(  # noqa: PLR0913, PLR0917  # what a version is made of
    ports: Ports, model: str, settings: str, code: str, code_sha: str, pushed_by: str
) -> PublishedSettings:
    """Publish validated settings (JSON text) and the code at a URI; again changes nothing.

    The version and its signal come to be in one transaction. What holds already is no signal.
    """
    naming.check_model_name(model)
    new = SettingsRow(model, 0, code, code_sha, settings, ports.clock(), pushed_by)
    version = 0

    def decide() -> Transaction:
        nonlocal version
        row = stored_model(ports, model)
        taken = numbers_taken(ports.deployment.stack, model) if row is None else (0, 0)
        version, changes = publish(row, _current(ports, model), new, taken=taken)
        return changes

    # First, so that no model is ever unknown to the sweeper; a listed model without a row is
    # passed over.
    ports.ledger.enlist(model)
    commit_change(ports, decide)
    # A write that took effect although its answer was lost left exactly this row.
    row = _current(ports, model)
    changed = row is not None and (row.pushed_ms, row.pushed_by) == (new.pushed_ms, pushed_by)
    wake_now(ports, model)
    return PublishedSettings(version, changed)


def numbers_taken(stack: str, model: str) -> tuple[int, int]:
    """The highest run and release that jobs of an earlier ledger are of; 0 without any.

    SageMaker keeps the names of jobs for ever. A model whose ledger is new, because its stack was
    deleted with its data and made again, must not give them a second time.
    """
    front = f"{naming.package_group(stack, model)}-"
    runs = _highest(front, naming.is_job_of)
    return runs, _highest(f"{front}r", naming.is_release_job_of)


def _highest(front: str, is_ours: Callable[[str, str], bool]) -> int:
    """The highest number behind `front` in the name of a job that is ours."""
    taken = 0
    for name in newest_processing_jobs(front):
        number = name.removeprefix(front).partition("-")[0]
        if number.isdecimal() and is_ours(front + number, name):
            taken = max(taken, int(number))
    return taken


def stored_model(ports: Ports, model: str) -> ModelRow | None:
    """The model's row, also of a removed model: its counters go on."""
    row = ports.ledger.get(model_key(model))
    return row if isinstance(row, ModelRow) else None


def _current(ports: Ports, model: str) -> SettingsRow | None:
    """The settings that hold now, if the model is not removed."""
    row = stored_model(ports, model)
    if row is None or row.removed_ms is not None or not row.settings:
        return None
    found = ports.ledger.get(settings_key(model, row.settings))
    return found if isinstance(found, SettingsRow) else None
