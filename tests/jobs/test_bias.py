"""Bias metrics from counts: exact on Adult's test part, and the rules that hold for any counts."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

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

Row = tuple[bool, str, bool, bool]  # is it d, its group, its label, its prediction


class Exact:
    """The metrics by their definitions, from counts of rows, in fractions."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.counts = Counter(rows)

    def n(self, **wanted: Any) -> int:
        """How many rows agree with what is wanted of d, group, label, predicted."""
        keys = ("d", "group", "label", "predicted")
        return sum(
            count
            for row, count in self.counts.items()
            if all(row[keys.index(key)] == value for key, value in wanted.items())
        )

    def ratio(self, part: int, whole: int) -> Fraction | float:
        """0/0 is 0, x/0 infinite."""
        return Fraction(part, whole) if whole else math.inf if part else Fraction(0)

    def gap(self, part: dict[str, bool], whole: dict[str, bool], sign: int = 1) -> Any:
        """The ratio on side a less that on side d."""
        a, d = (
            self.ratio(self.n(d=side, **part), self.n(d=side, **whole)) for side in (False, True)
        )
        return Fraction(0) if a == d else sign * (a - d)

    def shares(self, d: bool) -> list[Fraction]:
        """The distribution of the labels on a side."""
        return [Fraction(self.n(d=d, label=label), self.n(d=d)) for label in (False, True)]

    def conditional(self, outcome: str) -> Any:
        """The mean of the groups' disparities, weighted by their rows."""
        total = Fraction(0)
        for group in {row[1] for row in self.counts}:
            disparity = [
                self.ratio(
                    self.n(d=True, group=group, **{outcome: kind}),
                    self.n(group=group, **{outcome: kind}),
                )
                for kind in (False, True)
            ]
            total += self.n(group=group) * (disparity[0] - disparity[1])
        return total / self.n()

    def divergence(self, one: list[Fraction], other: list[Fraction]) -> float:
        """Kullback and Leibler's, in nats."""
        if any(p and not q for p, q in zip(one, other, strict=True)):
            return math.inf
        return math.fsum(p * math.log(p / q) for p, q in zip(one, other, strict=True) if p)

    def values(self) -> dict[str, Any]:
        """Every metric."""
        yes, no = {"label": True}, {"label": False}
        hat, naught = {"predicted": True}, {"predicted": False}
        a, d = self.shares(False), self.shares(True)
        middle = [(p + q) / 2 for p, q in zip(a, d, strict=True)]
        gaps = [abs(p - q) for p, q in zip(a, d, strict=True)]
        right = [
            Fraction(self.n(d=s, **yes, **hat) + self.n(d=s, **no, **naught), self.n(d=s))
            for s in (False, True)
        ]
        rows, benefits = self.n(), {2: self.n(**no, **hat), 0: self.n(**yes, **naught)}
        benefits[1] = rows - benefits[2] - benefits[0]
        mean = Fraction(sum(b * n for b, n in benefits.items()), rows)
        accepted = [self.ratio(self.n(d=s, **hat), self.n(d=s)) for s in (True, False)]
        return {
            "CI": Fraction(self.n(d=False) - self.n(d=True), rows),
            "DPL": self.gap(yes, {}),
            "KL": self.divergence(a, d),
            "JS": (self.divergence(a, middle) + self.divergence(d, middle)) / 2,
            "LP": math.sqrt(sum(gap**2 for gap in gaps)),
            "TVD": sum(gaps) / 2,
            "KS": max(gaps),
            "CDDL": self.conditional("label"),
            "DPPL": self.gap(hat, {}),
            "DI": accepted[0] / accepted[1] if accepted[1] else math.inf if accepted[0] else 0,
            "DCA": self.gap(yes, hat),
            "DCR": self.gap(no, naught, -1),
            "RD": self.gap(yes | hat, yes),
            "SD": self.gap(no | naught, no, -1),
            "DAR": self.gap(yes | hat, hat),
            "DRR": self.gap(no | naught, naught, -1),
            "AD": right[0] - right[1],
            "CDDPL": self.conditional("predicted"),
            "TE": self.gap(yes | naught, no | hat, -1),
            "GE": sum(n * ((b / mean) ** 2 - 1) for b, n in benefits.items()) / (2 * rows)
            if mean
            else None,
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
