"""Send delayed ground truth: files in AWS's layout, which monitors and later runs read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.objects import put_bytes
from perennial.describe_model import known_model, read_settings_of
from perennial.domain.ground_truth import ground_truth_lines, labels_key
from perennial.domain.sources import LABELLED_TRAFFIC, labels_prefix
from perennial.look_after import wake_now
from perennial.note_labels import note_new_labels

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Requests in one object: a part of what a job reads at once.
MOST_IN_ONE = 50_000


@dataclass(frozen=True)
class SentLabels:
    """What was sent: requests and single labels, and the objects that hold them.

    `is_learned`: whether runs of the model learn from labelled traffic.
    """

    model: str
    requests: int
    labels: int
    uris: tuple[str, ...]
    is_learned: bool


def allowed_labels(ports: Ports, model: str) -> tuple[str, ...]:
    """The labels that the model's settings know; empty for numbers. Raises `NotFound`."""
    settings = read_settings_of(ports.ledger, known_model(ports.ledger, model))
    column = settings.data.column(settings.label)
    return (*column.levels, *(spelling for spelling, _ in column.aliases))


def send_labels(
    ports: Ports, model: str, labels: Sequence[tuple[str, tuple[str, ...]]]
) -> SentLabels:
    """Send labels by the id of their request; a later label of a request replaces an earlier one.

    Raises `NotFound` for an unknown model.
    """
    settings = read_settings_of(ports.ledger, known_model(ports.ledger, model))
    uris = []
    for start in range(0, len(labels), MOST_IN_ONE):
        part = labels[start : start + MOST_IN_ONE]
        key = labels_key(labels_prefix(model), ports.clock(), uuid.uuid4().hex)
        body = ground_truth_lines(part).encode()
        uris.append(
            put_bytes(
                ports.deployment.artifact_bucket, key, body, content_type="application/jsonlines"
            )
        )
    is_learned = LABELLED_TRAFFIC in dict(settings.data.sources)
    if note_new_labels(ports, model):
        wake_now(ports, model)
    return SentLabels(
        model, len(labels), sum(len(each) for _, each in labels), tuple(uris), is_learned
    )
