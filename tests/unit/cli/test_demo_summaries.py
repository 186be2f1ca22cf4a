"""What the demos take for a story that went as told: each departure has a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from perennial.domain.ledger.rows import RunRow
from perennial.read_report import Report

from cli.demo_drift_story import DriftSummary
from cli.demo_drift_stream import Phase, Row
from cli.demo_summary import Summary


def drifted() -> DriftSummary:
    """Traffic that drifted twice, as it should be."""
    made = DriftSummary("census", "rows", True)
    rows = [Row({}, "yes")] * 100
    made.phases = [Phase("as ever", rows), Phase("it stays so", rows)]
    made.phases[-1].answered, made.phases[-1].right, made.phases[-1].first_right = 100, 80, 50
    kinds = ("data-quality", "model-quality")
    made.alarms = [{"monitor": kind, "found": "", "reason": ""} for kind in kinds]
    made.runs = [{"number": n, "outcome": "won", "because": ["drift: it drifted"]} for n in (2, 3)]
    made.cleared = list(kinds)
    return made


def test_a_drift_as_it_should_be_has_no_objection() -> None:
    """Then, and only then, the exit code is 0."""
    assert drifted().objections == []
    assert drifted().document()["went_well"] is True


def _as_good(found: DriftSummary) -> None:
    found.phases[-1].first_right = 80


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.alarms.reverse(), "the alarms that sounded were"),
        (lambda found: found.alarms.append(found.alarms[0]), "the alarms that sounded were"),
        (lambda found: found.runs.pop(), "there are 1 runs"),
        (lambda found: found.runs[0].update(because=["asked by ann"]), "run 2 was not opened by"),
        (lambda found: found.runs[1].update(outcome="lost"), "run 3 ended lost"),
        (lambda found: found.cleared.pop(), "went back to OK were ['data-quality']"),
        (_as_good, "the first champion would have answered as well"),
    ],
)
def test_each_departure_of_a_drift_is_told(
    change: Callable[[DriftSummary], Any], said: str
) -> None:
    """In words, and the summary has not gone well."""
    found = drifted()
    change(found)
    assert any(said in objection for objection in found.objections), found.objections
    assert not found.document()["went_well"]


def looped() -> Summary:
    """The whole loop, as it should be."""
    made = Summary("census", "rows", True)
    for number, outcome in ((1, "won"), (2, "won"), (3, "lost")):
        run = RunRow("census", number, 1, 0, state="ended", outcome=outcome, ended_ms=1)
        made.runs.append((run, Report()))
    made.cards = [{"run": 2}, {"run": 3}]
    made.quarantined = [{"key": "damaged.csv"}]
    return made


def test_a_loop_as_it_should_be_has_no_objection() -> None:
    """Then, and only then, the exit code is 0."""
    assert looped().objections == []
    assert looped().document()["objections"] == []


def _failed(found: Summary) -> None:
    run = RunRow("census", 3, 1, 0, state="ended", outcome="failed", ended_ms=1)
    found.runs[2] = (run, Report())


def _changed(found: Summary) -> None:
    found.kept = False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_failed, "a run ended failed"),
        (lambda found: found.runs.pop(), "there are 2 runs; wanted 3"),
        (lambda found: found.cards.pop(), "there are 1 cards; wanted 2"),
        (lambda found: found.quarantined.clear(), "there are 0 files in quarantine; wanted 1"),
        (_changed, "damage or a loser changed the champion"),
    ],
)
def test_each_departure_of_the_loop_is_told(change: Callable[[Summary], Any], said: str) -> None:
    """In words, and the summary has not gone well."""
    found = looped()
    change(found)
    assert said in found.objections
    assert not found.went_well
