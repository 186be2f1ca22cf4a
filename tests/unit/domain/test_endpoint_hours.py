"""How long each release served, by the ledger alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.endpoint_hours import served
from perennial.domain.ledger.rows import ReleaseRow

from tests.unit.domain.ledger_builders import HOUR, NOW
from tests.unit.domain.release_builders import ended, live


def over(outcome: str, at_ms: int = NOW, **fields: Any) -> ReleaseRow:
    """A release that ended at this time."""
    row = ended(outcome, ending={"at_ms": at_ms}, **fields)
    return replace(row, state="ended", outcome=row.ending.outcome if row.ending else None)


def test_each_serves_until_the_next_goes_live() -> None:
    """In whatever order they are given; what never went live served nobody."""
    first = over("released", NOW - 3 * HOUR, number=1)
    failed = over("failed", NOW - 2 * HOUR, number=2)
    second = over("released", NOW - HOUR, number=3)
    one, two = served([second, failed, first], live(3, 5), NOW)
    assert (one.release.number, one.seconds) == (1, 2 * 3600)
    assert (two.release.number, two.seconds) == (3, 3600)


def test_nobody_noted_when_an_endpoint_was_removed() -> None:
    """So the last release's time is not known, and nothing is made up."""
    row = over("released")
    assert [each.seconds for each in served([row], None, NOW)] == [None]
    assert served([], None, NOW) == ()
    assert served([over("failed")], live(), NOW) == ()


def test_an_adopted_version_without_an_endpoint_serves_nowhere() -> None:
    """It costs no hours."""
    row = over("released", kind="adopt", endpoint="")
    assert served([row], live(), NOW) == ()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_all_times_together_are_the_time_since_the_first(minutes: list[int]) -> None:
    """No second is counted twice or left out."""
    rows = [
        over("released", NOW - HOUR + at * 1000, number=n)
        for n, at in enumerate(sorted(minutes), 1)
    ]
    found = served(rows, live(), NOW)
    assert sum(each.seconds or 0.0 for each in found) == 3600 - min(minutes)
