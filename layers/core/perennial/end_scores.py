"""When earlier versions are scored on a window: let the retrain policy decide, and propose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.domain.settings_monitor import MODEL_QUALITY
from perennial.propose_version import propose_version
from perennial.score_earlier import finish_scoring, look_at_scores, read_scoring
from perennial.weigh_training import weigh_training

if TYPE_CHECKING:
    from perennial.wiring import Ports


def end_scores(ports: Ports, model: str) -> str:
    """Go on with the scoring: `none` is under way, `at work`, `retrain`, `proposed` or `scored`.

    The window stays the one that is scored until all that follows from it is done, so whoever
    dies in between is made up for.
    """
    if read_scoring(ports.ledger, model) is None:
        return "none"
    window = look_at_scores(ports, model)
    if window is None:
        return "at work"
    decision = weigh_training(ports, model, MODEL_QUALITY, window.violations)
    said = "retrain" if decision is not None and decision.train else "scored"
    if said == "scored" and propose_version(ports, model) is not None:
        said = "proposed"
    finish_scoring(ports, window)
    return said
