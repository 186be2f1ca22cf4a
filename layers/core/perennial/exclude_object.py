"""Keep an object out of every coming run, or take it in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws.objects import find_current
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.domain.errors import NotFound
from perennial.domain.ledger.admit import read_known
from perennial.domain.ledger.commands import exclude
from perennial.domain.ledger.store import Transaction
from perennial.domain.signals import Signal, data_signal

if TYPE_CHECKING:
    from perennial.wiring import Ports


def exclude_object(ports: Ports, model: str, key: str, because: str, by: str) -> None:
    """Exclude the current version of an object; a later version of the key is a new object.

    Raises `NotFound`, and `NotAllowed` while a run reads it.
    """
    signal = current_signal(ports, model, key)

    def decide() -> Transaction:
        known = read_known(ports.ledger, signal)
        return exclude(signal, known, by, because, ports.clock())

    commit_change(ports, decide)


def current_signal(ports: Ports, model: str, key: str) -> Signal:
    """The signal of the current version of a landed object; raises `NotFound`."""
    known_model(ports.ledger, model)
    bucket = ports.deployment.landing_bucket
    version = find_current(bucket, key)
    if version is None:
        raise NotFound(f"there is no object {key!r} in the landing bucket {bucket}")
    return data_signal(model, version)
