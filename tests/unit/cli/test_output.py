"""The words for times, sizes and numbers."""

from __future__ import annotations

import pytest

from cli.output import ago, count, duration, plain, size, until
from cli.target import Target


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (38.9, "38 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3_600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_300, "2 d 4 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    """Two units at most, none that is zero."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (408_969, "409 kB"), (12_300_000, "12 MB")],
)
def test_sizes_read_as_people_say_them(number: int, words: str) -> None:
    """Decimal units, one digit after the point below ten."""
    assert size(number) == words


def test_times_are_told_from_now() -> None:
    """What lies behind is 'ago', what lies ahead is 'in', what is due is 'now'."""
    assert ago(1_000_000, now=1_180) == "3 min ago"
    assert ago(None) == "-"
    assert until(1_000_000, now=1_180) == "now"
    assert until(1_180_000, now=1_000).startswith("in 3 min (")


def test_nouns_agree_with_their_number() -> None:
    """One signal, two signals."""
    assert [count(1, "signal"), count(32_561, "row")] == ["1 signal", "32,561 rows"]


def test_documents_hold_plain_values() -> None:
    """Dataclasses and tuples become what JSON knows."""
    found = plain({"target": Target("perennial", "eu-west-1"), "rows": (1, 2)})
    assert found == {
        "target": {"stack": "perennial", "region": "eu-west-1", "cloud": None, "profile": None},
        "rows": [1, 2],
    }
