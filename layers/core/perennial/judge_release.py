"""Judge a version against a champion that its verdict never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import objects
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import naming
from perennial.domain.comparison import judge_champion
from perennial.domain.errors import Rejected, Stale
from perennial.domain.ledger.ending import LONGEST_WORDS
from perennial.domain.ledger.release_claims import note_figures
from perennial.domain.ledger.store import Transaction
from perennial.own_release import own_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Judged:
    """That the version wins against the present champion, in words."""

    words: str


def judge_release(ports: Ports, model: str, release: int, execution: str) -> Judged:
    """Read the release's comparison and hold it against the gate of the version's own settings.

    Raises `Stale`, with the figures in words, when the version does not win.
    """
    row = own_release(ports, model, release, execution)
    settings = read_settings_of(
        ports.ledger, known_model(ports.ledger, model), row.trained or row.settings
    )
    if settings.comparison is None:
        raise Rejected(f"settings {row.trained} of {model} compare with no champion")
    root = f"s3://{ports.deployment.artifact_bucket}"
    uri = f"{root}/{naming.release_base(model, release)}/comparison/comparison.json"
    result = judge_champion(objects.get_json(uri), settings.comparison)
    if not result.passed:
        raise Stale(
            f"{model} {row.version} does not win against the present champion: {result.words}. To "
            f"release it all the same: perennial release {model} --version {row.version}"
        )

    def note() -> Transaction:
        fresh = own_release(ports, model, release, execution)
        return note_figures(fresh, {"judged_again": result.words[:LONGEST_WORDS]})

    commit_change(ports, note)
    return Judged(result.words)
