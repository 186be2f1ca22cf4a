"""The model card of a run, as a page or as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.objects import get_bytes
from perennial.describe_run import describe_run
from perennial.domain import naming
from perennial.domain.errors import NotFound

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Card:
    """Where a card lies and what it holds."""

    uri: str
    body: bytes


def card_uri(ports: Ports, model: str, run: int, form: str = "html") -> str:
    """Where a run's card lies once it is judged; `form` is `html` or `md`."""
    bucket = ports.deployment.artifact_bucket
    return f"s3://{bucket}/{naming.run_base(model, run)}/verdict/card.{form}"


def read_card(ports: Ports, model: str, run: int, form: str = "html") -> Card:
    """The card of a run; raises `NotFound` in words when the run wrote none."""
    row = describe_run(ports, model, run)
    uri = card_uri(ports, model, run, form)
    try:
        return Card(uri, get_bytes(uri))
    except NotFound:
        state = row.outcome or row.state
        raise NotFound(f"run {run} of {model} has no card: it wrote no verdict ({state})") from None
