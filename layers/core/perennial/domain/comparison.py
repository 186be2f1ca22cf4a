"""The gate `champion`: is the candidate at least as good as the model in production?

The figures come from a paired bootstrap (jobs/engine/comparison.py writes comparison.json); what
they mean for the candidate is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from perennial.domain.gates import Gate, GateResult, figure, goal

CHAMPION = "champion"


class ComparisonSettings(Protocol):
    """What the gate needs of the settings' section `gates: {champion: ...}`."""

    @property
    def metric(self) -> str:
        """The figure that is compared."""

    @property
    def margin(self) -> float:
        """How much worse the candidate may be, in the figure's own unit."""


def direction(metric: str) -> int:
    """1 when a larger figure is better, -1 when a smaller one is."""
    return 1 if goal(metric) == "maximize" else -1


def judge_champion(document: Mapping[str, Any] | None, settings: ComparisonSettings) -> GateResult:
    """Judge comparison.json: the lower bound of the difference must lie above -margin.

    With a margin the bound may also be equal to it; with none, two models that predict the same
    do not pass, for nothing shows that the candidate is better. `document` is None when the
    champion could not be compared. Nothing passes unseen: a missing figure fails.
    """
    gate = Gate(CHAMPION, "min", -settings.margin if settings.margin else 0.0)
    if document is None:
        return GateResult(gate, None, False, "the champion could not be compared")
    if document.get("incompatible"):
        reasons = "; ".join(document["incompatible"])
        return GateResult(gate, None, False, f"cannot be compared with the champion: {reasons}")
    lower = document.get("lower")
    if lower is None or not math.isfinite(lower):
        return GateResult(gate, None, False, _unseen_words(document, settings.metric))
    passed = lower >= gate.bound if settings.margin > 0 else lower > gate.bound
    words = _words(document)
    if not passed:
        wanted = f"at least {signed(gate.bound)}" if settings.margin > 0 else "more than 0"
        words += f"; wanted {wanted}"
    return GateResult(gate, lower, passed, words)


def _words(document: Mapping[str, Any]) -> str:
    metric = document["metric"]
    lower_is_better = ", lower is better" if direction(metric) < 0 else ""
    return (
        f"{metric} {figure(document['candidate'])} against the champion's "
        f"{figure(document['champion'])}{lower_is_better}: {signed(document['difference'])}, "
        f"at least {signed(document['lower'])} with {100 * document['confidence']:g} % confidence; "
        f"{_rows(document)}"
    )


def _unseen_words(document: Mapping[str, Any], metric: str) -> str:
    rows = document.get("rows", 0)
    if rows < 2:
        return f"{metric} cannot be compared with the champion's: {_rows(document)}"
    lacking = [
        whose
        for key, whose in ((CHAMPION, "the champion"), ("candidate", "the candidate"))
        if document.get(key) is None
    ]
    if lacking:
        why = f"{' and '.join(lacking)} has none" if len(lacking) == 1 else "neither model has one"
    else:
        why = "too many draws of the rows have none, so it has no lower bound"
    return f"{metric} cannot be compared with the champion's: {why}; {_rows(document)}"


def _rows(document: Mapping[str, Any]) -> str:
    rows = document.get("rows", 0)
    return f"{rows:,} paired row{'' if rows == 1 else 's'}"


def signed(value: float) -> str:
    """A difference as people read it, with its sign: `+0.0047`, `-0.00123`, `0`."""
    if value == 0:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3g}"
