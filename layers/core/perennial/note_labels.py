"""Note that new labels of captured traffic have come: they are news that an alarm can learn from.

Ground truth lies by the hour of its collection, so a look begins in the hour of the newest label
that is known. What is put into an older hour's folder later is training data all the same; it
just opens no run by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws.objects import list_between
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain.ledger.monitors import note_labels
from perennial.domain.ledger.store import Transaction, read_model
from perennial.domain.monitor_windows import hour_folders
from perennial.domain.sources import LABELLED_TRAFFIC, labels_prefix

if TYPE_CHECKING:
    from perennial.wiring import Ports


def note_new_labels(ports: Ports, model: str) -> bool:
    """Note labels that landed since the last look, if the model learns from them."""
    row = read_model(ports.ledger, model)
    if row is None:
        return False
    sources = dict(read_settings_of(ports.ledger, row).data.sources)
    if LABELLED_TRAFFIC not in sources:
        return False
    first = hour_folders(row.labels_ms, row.labels_ms + 1)[0] if row.labels_ms else "0"
    found = list_between(ports.deployment.artifact_bucket, labels_prefix(model), first, "9")
    newest = max((landed_ms for _, landed_ms in found), default=0)

    def decide() -> Transaction:
        known = read_model(ports.ledger, model)
        return () if known is None else note_labels(known, newest)

    return commit_change(ports, decide)
