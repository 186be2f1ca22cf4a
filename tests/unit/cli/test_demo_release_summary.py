"""What `demo-release` takes for a story that went as told: each departure has a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from perennial.domain.ledger.rows import ReleaseOutcome, ReleaseRow

from cli.demo_load import Asked, Share, figures
from cli.demo_release_summary import Canary, ReleaseSummary, Told


def told(number: int, outcome: ReleaseOutcome, hits: int = 50) -> Told:
    """A release as the demo saw it."""
    row = ReleaseRow("census", number, "approval", number, "arn", 1, 0, 0, outcome=outcome)
    canary = Canary.of(Share(number, hits, 100, 0.5)) if number > 1 else None
    alarm = {"name": "guard-r3-latency"} if number == 3 else {}
    return Told(row, {"passed": True, "checks": []}, canary, alarm)


def summary() -> ReleaseSummary:
    """All as it should be."""
    made = ReleaseSummary("census", "rows", True, 30, 20)
    made.releases = [told(1, "released"), told(2, "released"), told(3, "rolled_back")]
    made.champion = made.live = 2
    made.load = figures([Asked(0.0, 0.01, 1)])
    return made


def test_a_story_as_it_should_be_has_no_objection() -> None:
    """Then, and only then, the exit code is 0."""
    assert summary().objections == []
    assert summary().went_well
    assert summary().document()["went_well"] is True


def _third(**changes: object) -> Callable[[ReleaseSummary], None]:
    def change(found: ReleaseSummary) -> None:
        found.releases[2] = replace(found.releases[2], **changes)  # type: ignore[arg-type]

    return change


def _champion(found: ReleaseSummary) -> None:
    found.champion = 3


def _live(found: ReleaseSummary) -> None:
    found.live = 3


def _failed(found: ReleaseSummary) -> None:
    found.load = figures([Asked(0.0, 0.01, 1), Asked(0.1, 0.01, error="reset")])


def _silent(found: ReleaseSummary) -> None:
    found.load = figures([])


def _share(found: ReleaseSummary) -> None:
    found.releases[1] = told(2, "released", hits=90)


def _outcome(found: ReleaseSummary) -> None:
    found.releases[2] = told(3, "released")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_outcome, "the releases ended released, released, released"),
        (_champion, "champion 3, live version 2"),
        (_live, "champion 2, live version 3"),
        (_share, "the share of release 2 left its bounds"),
        (_failed, "1 of 2 predictions failed"),
        (_silent, "0 of 0 predictions failed"),
        (_third(smoke_test={"passed": False}), "the smoke test of release 3 did not pass"),
        (_third(smoke_test={}), "the smoke test of release 3 did not pass"),
        (_third(canary=None), "no answer was seen during the canary of release 3"),
        (_third(alarm={}), "the latency alarm was not seen in ALARM"),
        (_third(alarm={"name": "guard-r3-errors"}), "the latency alarm was not seen in ALARM"),
    ],
)
def test_each_departure_is_an_objection(
    change: Callable[[ReleaseSummary], None], words: str
) -> None:
    """One thing that went otherwise is one objection that says what."""
    found = summary()
    change(found)
    (objection,) = found.objections
    assert objection.startswith(words)
    assert not found.went_well
