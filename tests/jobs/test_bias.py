"""Bias metrics from counts: exact on Adult's test part, and the rules that hold for any counts."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.gates import CONDITIONAL_BIAS, POST_TRAINING_BIAS, PRE_TRAINING_BIAS

from jobs.engine import bias
from jobs.engine.bias import (
    CONDITIONAL,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    Metric,
    measure_value,
    newcombe,
    number,
    table_of,
    wilson,
)
from tests.jobs.exact_bias import Exact, Row

NAMES = (*PRE_TRAINING, *POST_TRAINING)
# Predictions of a LightGBM classifier (200 trees, learning rate 0.05, all 14 columns) trained on
# Adult's training part, for the test part's rows in order: a bit each.
PREDICTIONS = Path(__file__).parent / "adult_test_predictions.hex"
# The same model's figures as published with the design, to four digits.
PUBLISHED = {
    "CI": 0.3341,
    "DPL": 0.1910,
    "DPPL": 0.1744,
    "DI": 0.3239,
    "RD": 0.0591,
    "AD": -0.0995,
    "TE": 0.7085,
}


def measured(rows: list[Row], code: int = 1, names: Iterable[str] = NAMES) -> dict[str, Metric]:
    """Our metrics of rows; code 1 is d, code 0 turns the sides around."""
    groups = sorted({row[1] for row in rows})
    table = table_of(
        (np.array([row[0] for row in rows], dtype=int), 2),
        (np.array([groups.index(row[1]) for row in rows]), len(groups)),
        [np.array([row[i] for row in rows]) for i in (2, 3)],
    )
    return {one.name: one for one in measure_value(table, code, names, conditional=True)}


@pytest.fixture(scope="module")
def adult_rows(mirror: Path) -> list[Row]:
    """Adult's test part: is she a woman, years of schooling, income, predicted income."""
    text = gzip.decompress((mirror / "adult-test.csv.gz").read_bytes()).decode()
    records = [r for r in csv.reader(io.StringIO(text), skipinitialspace=True) if len(r) == 15]
    predicted = np.unpackbits(
        np.frombuffer(bytes.fromhex(PREDICTIONS.read_text()), dtype=np.uint8)
    )[: len(records)]
    return [
        (record[9] == "Female", record[4], record[14].rstrip(".") == ">50K", bool(bit))
        for record, bit in zip(records, predicted, strict=True)
    ]


@pytest.fixture(scope="module")
def adult(adult_rows: list[Row]) -> dict[str, Metric]:
    """Every metric of Adult's test part for sex = Female."""
    return measured(adult_rows)


def test_adult_has_the_known_fractions(adult_rows: list[Row], adult: dict[str, Metric]) -> None:
    """Class imbalance and difference of proportions are pinned to the last digit."""
    exact = Exact(adult_rows).values()
    assert exact["CI"] == Fraction(1813, 5427)
    assert exact["DPL"] == Fraction(312316, 1635335)
    assert adult["CI"].value == 1813 / 5427
    assert adult["DPL"].value == pytest.approx(312316 / 1635335, rel=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_adult_equals_an_exact_computation(
    adult_rows: list[Row], adult: dict[str, Metric], name: str
) -> None:
    """Each metric from its definition in fractions, over the same predictions."""
    exact = Exact(adult_rows).values()[name]
    assert adult[name].value == pytest.approx(float(exact), rel=1e-12)


def test_adult_agrees_with_the_published_figures(adult: dict[str, Metric]) -> None:
    """Four digits that another program computed of the same model."""
    found = {name: round(adult[name].value or 0, 4) for name in PUBLISHED}
    assert found == PUBLISHED


def test_intervals_on_adult_are_narrow_and_sound(adult: dict[str, Metric]) -> None:
    """16,281 rows: each interval holds its value, and women do earn less."""
    for name, metric in adult.items():
        assert metric.interval is not None
        low, high = metric.interval
        assert low <= (metric.value or 0) <= high, name
        assert high - low < (0.1 if name in (*RATES, "CI") else 1.3), name
    low, high = adult["DPL"].interval or (0, 0)
    assert 0.17 < low < high < 0.21


def test_the_gates_know_the_same_names() -> None:
    """What model.yaml may bound is what is measured."""
    assert set(PRE_TRAINING) == set(PRE_TRAINING_BIAS)
    assert set(POST_TRAINING) == set(POST_TRAINING_BIAS)
    assert set(CONDITIONAL) == set(CONDITIONAL_BIAS)


tables = st.lists(
    st.tuples(st.booleans(), st.sampled_from("xyz"), st.booleans(), st.booleans()),
    min_size=1,
    max_size=30,
).filter(lambda rows: len({row[0] for row in rows}) == 2)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_any_counts_equal_the_exact_computation(rows: list[Row]) -> None:
    """Empty cells, infinities and zeros over zeros among them."""
    exact = Exact(rows).values()
    for name, metric in measured(rows).items():
        if metric.value is None:
            missing = name in CONDITIONAL and len({row[2 + (name == "CDDPL")] for row in rows}) == 1
            assert missing or exact[name] is None
            assert metric.error
        else:
            assert metric.value == pytest.approx(float(exact[name]), rel=1e-9, abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(tables)
def test_bounds_and_intervals_of_any_counts(rows: list[Row]) -> None:
    """Rates lie in [-1, 1], divergences above 0, JS below ln 2, and intervals hold the value."""
    for name, metric in measured(rows).items():
        if metric.value is None:
            continue
        assert metric.interval is not None
        assert metric.interval[0] <= metric.value <= metric.interval[1], name
        if name in (*RATES, "CI", *CONDITIONAL):
            assert -1 <= metric.value <= 1
            assert metric.interval[0] >= -1 - 1e-9
            assert metric.interval[1] <= 1 + 1e-9
        if name in ("KL", "JS", "LP", "TVD", "KS", "DI", "GE"):
            assert metric.value >= -1e-12
        if name == "JS":
            assert metric.value <= math.log(2) + 1e-12


@settings(max_examples=40, deadline=None)
@given(tables)
def test_turning_the_sides_negates_differences(rows: list[Row]) -> None:
    """What a facet value suffers is what the others gain; distances stay, DI is inverted."""
    one, other = measured(rows), measured(rows, code=0)
    for name in (*RATES, "CI", *CONDITIONAL, "DCA", "DCR", "TE"):
        outcome = 3 if name == "CDDPL" else 2
        if name in CONDITIONAL and len({(row[1], row[outcome]) for row in rows}) < 2 * len(
            {row[1] for row in rows}
        ):
            continue  # a group without refused or accepted rows has 0/0, which is no share
        value, turned = one[name].value, other[name].value
        assert value is not None
        assert turned is not None
        assert value == pytest.approx(-turned, abs=1e-12), name
    for name in (*RATES, "CI"):
        interval, mirror = one[name].interval, other[name].interval
        assert interval is not None
        assert mirror is not None
        assert interval == pytest.approx((-mirror[1], -mirror[0]), abs=1e-12)
    for name in ("JS", "LP", "TVD", "KS", "GE"):
        assert one[name].value == pytest.approx(other[name].value, abs=1e-12), name
    impact, turned = one["DI"].value, other["DI"].value
    if impact and turned and math.isfinite(impact):
        assert impact * turned == pytest.approx(1)


def test_two_labels_make_the_distances_one() -> None:
    """With two outcomes TVD and KS are |DPL|, and LP is that times the root of two."""
    rows = [(i % 3 == 0, "x", i % 5 == 0, i % 2 == 0) for i in range(60)] + [
        (True, "x", True, True)
    ] * 7
    found = measured(rows)
    gap = abs(found["DPL"].value or 0)
    assert found["TVD"].value == pytest.approx(gap)
    assert found["KS"].value == pytest.approx(gap)
    assert found["LP"].value == pytest.approx(gap * math.sqrt(2))


def test_infinities_are_words() -> None:
    """No positive label on side d makes KL infinite, no accepted row on side a DI."""
    rows = [(False, "x", True, False), (False, "x", False, False)] * 5 + [
        (True, "x", False, True)
    ] * 4
    found = measured(rows)
    assert found["KL"].to_json()["value"] == "Infinity"
    assert found["DI"].to_json()["value"] == "Infinity"
    assert number(-math.inf) == "-Infinity"


def test_values_without_rows_say_so() -> None:
    """A level that does not occur, and one that is all there is, are entries with an error."""
    table = table_of((np.zeros(10, dtype=int), 2), None, [np.arange(10) % 2 == 0])
    for code, words in ((1, "no row has this value"), (0, "every row has this value")):
        found = measure_value(table, code, PRE_TRAINING, conditional=False)
        assert [metric.name for metric in found] == sorted(PRE_TRAINING)
        assert all(metric.value is None and words in metric.error for metric in found)
        assert found[0].to_json() == {
            "name": "CDDL",
            "description": "Conditional Demographic Disparity in Labels (CDDL)",
            "value": None,
            "error": found[0].error,
        }


def test_conditional_metrics_need_a_group() -> None:
    """Without one the others are there all the same."""
    table = table_of((np.arange(10) % 2, 2), None, [np.arange(10) % 3 == 0])
    found = {m.name: m for m in measure_value(table, 1, PRE_TRAINING, conditional=False)}
    assert "bias.group" in found["CDDL"].error
    assert all(metric.value is not None for name, metric in found.items() if name != "CDDL")


def test_newcombe_agrees_with_its_paper() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80, and 9/10 - 3/10, and 10/10 - 0/20."""
    assert newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((9, 10), (3, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe((10, 10), (0, 20)) == pytest.approx((0.6791, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


def test_small_groups_have_wide_intervals() -> None:
    """None accepted of four says little, which a plain bootstrap of a constant would hide."""
    rows = [(False, "x", True, i % 2 == 0) for i in range(1000)] + [(True, "x", True, False)] * 4
    low, high = measured(rows)["DPPL"].interval or (0, 0)
    assert high - low > 0.4


def test_the_bootstrap_of_counts_is_one_of_rows() -> None:
    """Percentiles of TE from rows drawn one by one agree with those of the counts."""
    random = np.random.default_rng(3)
    rows = [(bool(a), "x", bool(b), bool(c)) for a, b, c in random.integers(0, 2, (400, 3))]
    drawn = []
    for _ in range(600):
        table = table_of(
            (np.array(picked := np.array(rows, dtype=object)[random.integers(0, 400, 400)])[:, 0]
             .astype(int), 2),
            None,
            [picked[:, i].astype(bool) for i in (2, 3)],
        )  # fmt: skip
        sides = np.stack([table[0], table[1]]).astype(float)
        drawn.append(float(bias.compute("TE", sides)))
    interval = measured(rows)["TE"].interval
    assert interval is not None
    spread = float(np.std(drawn))
    assert interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.3 * spread)
