"""The demo's client: every request counts once, at a constant rate, with honest figures."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.demo_load import Asked, Load, Share, figures, quantile


def test_every_request_is_counted_once_and_none_is_repeated() -> None:
    """An answer, an error of the client's and a wrong answer are one request each."""
    asked: list[int] = []
    enough = threading.Event()

    def ask(number: int) -> int:
        asked.append(number)
        if number >= 8:
            enough.set()
        if number % 3 == 1:
            raise ConnectionResetError("gone")
        return 1 + number % 2

    with Load(ask, 500) as load:
        assert enough.wait(30)
    found = figures(load.asked)
    assert sorted(asked) == list(range(len(asked)))
    assert found.sent == len(asked)
    failed = sum(number % 3 == 1 for number in asked)
    assert (found.failed, found.errors) == (failed, {"ConnectionResetError: gone": failed})
    assert sum(each.answers for each in found.by_version.values()) == found.sent - failed


def test_a_server_that_does_not_answer_holds_up_no_other_request() -> None:
    """Requests go on while earlier ones wait, and the waiting counts as latency."""
    release, others = threading.Event(), threading.Event()

    def ask(number: int) -> int:
        if number == 0:
            assert release.wait(30)
        elif number == 5:
            others.set()
        return 1

    with Load(ask, 500) as load:
        assert others.wait(30)
        assert all(each.seconds < 30 for each in load.asked)
        release.set()
    slowest = max(load.asked, key=lambda each: each.seconds)
    assert slowest.due == min(each.due for each in load.asked)


def test_a_share_counts_answers_between_two_moments() -> None:
    """Failures and requests that were due before or after do not count."""
    load = Load(lambda _: 1, 1)
    load._asked = [
        Asked(0.9, 0.1, 2),
        Asked(1.0, 0.1, 2),
        Asked(1.5, 3.0, 1),
        Asked(1.6, 0.1, error="reset"),
        Asked(2.1, 0.1, 2),
    ]
    share = load.share(2, 0.5, 1.0, 2.0)
    assert (share.hits, share.answers, share.measured) == (1, 2, 0.5)
    load.stop()


@pytest.mark.parametrize(
    ("hits", "answers", "within"),
    [(50, 100, True), (69, 100, True), (71, 100, False), (29, 100, False), (0, 0, False)],
)
def test_bounds_are_four_standard_deviations(hits: int, answers: int, within: bool) -> None:
    """Of 100 answers at one half they are 30 and 70; no answer shows nothing."""
    assert Share(2, hits, answers, 0.5).is_within is within


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_time_that_enough_others_do_not_exceed(
    times: list[float], q: float
) -> None:
    """It is one of the times, at least a share q of them is not above it, and none below is."""
    found = quantile(sorted(times), q)
    assert found in times
    assert sum(each <= found for each in times) >= q * len(times) - 1e-9
    assert sum(each < found for each in times) < q * len(times) + 1e-9


def test_no_times_have_no_quantile() -> None:
    """Nothing was answered: nought, not an error at the end of a demo."""
    assert quantile([], 0.99) == 0
    assert figures([]).sent == 0
