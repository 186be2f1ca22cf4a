"""Prices: a dated table, and never a zero for what is not known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import prices

INSTANCES = st.sampled_from(sorted(prices.USD_PER_HOUR))


def test_an_hour_costs_the_price() -> None:
    """The unit is USD per instance and hour, in seconds."""
    assert prices.LISTED.cost("training", "ml.m5.large", 3600) == 0.115
    assert prices.LISTED.cost("processing", "ml.m5.large", 36) == pytest.approx(0.00115)


@given(INSTANCES, st.floats(0, 1e7), st.floats(0, 1e7))
def test_cost_grows_with_the_seconds(instance: str, one: float, other: float) -> None:
    """Two jobs cost what one job of their seconds together does."""
    together = prices.LISTED.cost("training", instance, one + other)
    apart = [prices.LISTED.cost("training", instance, seconds) for seconds in (one, other)]
    assert together == pytest.approx(sum(each for each in apart if each is not None))


def test_an_unknown_instance_has_no_cost() -> None:
    """Unknown is None, which is shown as unknown; zero would be a lie."""
    assert prices.LISTED.cost("training", "ml.z9.large", 3600) is None


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_seconds_that_are_none_are_refused(seconds: float) -> None:
    """A clock that went backwards does not earn money."""
    with pytest.raises(ValueError, match="no seconds"):
        prices.LISTED.cost("training", "ml.m5.large", seconds)


def test_an_unknown_kind_is_refused() -> None:
    """Endpoint hours have other prices than jobs."""
    with pytest.raises(ValueError, match="no kind of job"):
        prices.LISTED.cost("hosting", "ml.m5.large", 1)


def test_own_prices_take_the_place_of_the_table() -> None:
    """A Region's or an agreement's prices come with a date of their own."""
    own = prices.read_prices({"date": "2026-01-02", "usd_per_hour": {"ml.m5.large": 2}})
    assert own.cost("training", "ml.m5.large", 1800) == 1.0
    assert own.cost("training", "ml.m5.xlarge", 1800) is None
    assert own.date == "2026-01-02"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected an object"),
        ({"usd_per_hour": {"ml.m5.large": 1}}, "date is None"),
        ({"date": "today", "usd_per_hour": {"ml.m5.large": 1}}, "expected a day"),
        ({"date": "2026-01-02", "usd_per_hour": {}}, "no object of instance types"),
        ({"date": "2026-01-02", "usd_per_hour": {"m5.large": 1}}, "no instance type"),
        ({"date": "2026-01-02", "usd_per_hour": {"ml.m5.large": True}}, "expected USD"),
        ({"date": "2026-01-02", "usd_per_hour": {"ml.m5.large": -1}}, "expected USD"),
        ({"date": "2026-01-02", "usd_per_hour": {"ml.m5.large": math.nan}}, "expected USD"),
    ],
)
def test_bad_prices_are_named(document: Any, words: str) -> None:
    """A mistake in somebody's table says where it is."""
    with pytest.raises(prices.BadPrices, match=words):
        prices.read_prices(document)
