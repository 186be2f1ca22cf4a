"""Which endpoint a request is drawn for."""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import NormalDist

from hypothesis import example, given
from hypothesis import strategies as st
from perennial.domain.ledger.move_rows import WHOLE, Move
from perennial.domain.ledger.rows import Live
from perennial.domain.prediction_route import Route, drawn, instead_of, routes

LIVE = Live("t-live-census", "c1", 1, 7, "arn:7", 1000, settings=3, captured=5)
SHARES = st.integers(0, WHOLE)


def move(permille: int) -> Move:
    """Version 8, which takes over."""
    return Move(2, "t-next-census", 8, "c2", "arn:8", permille, since_ms=9, settings=4, captured=50)


@given(SHARES, st.floats(0, 1, exclude_max=True))
@example(0, 0.0)
@example(1, 0.0)
@example(1, 0.001)
@example(WHOLE, 0.999_999)
def test_a_number_below_the_share_goes_to_the_new_endpoint(permille: int, number: float) -> None:
    """Each request is for exactly one endpoint; with no share nobody meets the new one."""
    route = drawn(routes("census", LIVE, move(permille)), number)
    assert route.endpoint == ("t-next-census" if number * WHOLE < permille else "t-live-census")
    expected = (8, 4, 50, 9) if route.endpoint == "t-next-census" else (7, 3, 5, 1000)
    assert (route.version, route.settings, route.captured, route.since_ms) == expected


@given(st.integers(1, WHOLE - 1), st.integers(0, 2**32))
def test_the_share_that_is_answered_lies_within_binomial_bounds(permille: int, seed: int) -> None:
    """Of 2,000 requests, whatever the share and the numbers: one failure in a hundred million."""
    numbers = random.Random(seed)
    found = routes("census", LIVE, move(permille))
    new = sum(drawn(found, numbers.random()).version == 8 for _ in range(2000))
    share = permille / WHOLE
    # Hoeffding's bound on a binomial number, which holds for every share.
    assert abs(new / 2000 - share) < 0.07
    spread = (2000 * share * (1 - share)) ** 0.5
    if spread > 10:
        chance = NormalDist(2000 * share, spread).cdf(new)
        assert 1e-10 < chance < 1 - 1e-10


@given(SHARES)
def test_shares_add_up(permille: int) -> None:
    """All requests are answered, with or without a live endpoint, as long as one may answer."""
    assert sum(route.permille for route in routes("census", LIVE, move(permille))) == WHOLE
    alone = routes("census", None, move(permille))
    assert [route.permille for route in alone] == ([WHOLE] if permille else [])
    assert [route.permille for route in routes("census", LIVE, None)] == [WHOLE]
    assert routes("census", None, None) == ()


@given(SHARES)
def test_an_endpoint_without_a_share_stands_in_for_nobody(permille: int) -> None:
    """The live one always stands in; the new one only while it has a share."""
    found = routes("census", LIVE, move(permille))
    other = instead_of(found, found[-1])
    assert (other is not None) == (permille > 0)
    new = Route("t-next-census", 8, 4, 9, 50, permille)
    assert instead_of(found, new) == found[-1]
    assert instead_of(routes("census", LIVE, None), found[-1]) is None


@given(st.integers(1, WHOLE - 1))
def test_versions_on_a_shared_endpoint_are_told_apart_by_their_archives(permille: int) -> None:
    """Each stands in for the other; the new one alone is watched by figures of our own."""
    live = replace(LIVE, endpoint="t-shared", kind="multi-model")
    going = replace(move(permille), endpoint="t-shared", kind="multi-model")
    new, old = routes("census", live, going)
    assert (new.target, old.target) == ("census/c2.tar.gz", "census/c1.tar.gz")
    assert (new.guarded, old.guarded) == (2, 0)
    assert instead_of((new, old), new) == old
    assert instead_of((new, old), old) == new
    assert [route.target for route in routes("census", LIVE, move(permille))] == ["", ""]
    assert [route.guarded for route in routes("census", LIVE, move(permille))] == [0, 0]
