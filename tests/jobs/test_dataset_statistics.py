"""Statistics and suggested constraints of a dataset, batch by batch."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.statistics import (
    NumericSummary,
    TextSummary,
    constraints_document,
    statistics_document,
    suggested_completeness,
)

NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=50)


@given(st.lists(NUMBERS, max_size=6))
def test_moments_of_batches_are_those_of_the_whole(batches: list[list[float]]) -> None:
    """However the rows are cut."""
    summary = NumericSummary(integral=False)
    for batch in batches:
        summary.add(np.array(batch), missing=1)
    whole = np.array([value for batch in batches for value in batch])
    assert summary.missing == len(batches)
    assert summary.present == len(whole)
    if len(whole):
        assert summary.mean == pytest.approx(whole.mean(), rel=1e-9, abs=1e-6)
        assert summary.total == pytest.approx(whole.sum(), rel=1e-9, abs=1e-5)
        assert summary.deviation == pytest.approx(whole.std(), rel=1e-6, abs=1e-4)


def test_numbers_far_from_zero_keep_their_digits() -> None:
    """The sum of squares would lose the spread of timestamps altogether."""
    summary = NumericSummary(integral=True)
    for batch in np.array_split(1.7e12 + np.arange(1000.0), 7):
        summary.add(batch)
    assert summary.deviation == pytest.approx(np.arange(1000.0).std(), rel=1e-9)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=40), max_size=6))
def test_rare_texts_go_first_and_kept_counts_are_nearly_right(batches: list[list[str]]) -> None:
    """A summary of three texts: counts are never too big, and too small by at most `lost`."""
    summary = TextSummary(most=3)
    for batch in batches:
        summary.add(Counter(batch))
    whole = Counter(text for batch in batches for text in batch)
    assert summary.present == sum(whole.values())
    assert summary.distinct == len(whole)
    for text, count in summary.counts.items():
        assert whole[text] - summary.lost <= count <= whole[text]
    if len(whole) <= 3:
        assert summary.is_exact
        assert summary.counts == whole


def test_very_many_texts_take_bounded_memory_and_their_number_is_estimated() -> None:
    """100,000 different identifiers, counted to within a few per cent."""
    summary = TextSummary()
    for start in range(0, 100_000, 10_000):
        summary.add({f"id-{i}": 1 for i in range(start, start + 10_000)} | {"often": 5})
        assert len(summary.counts) <= summary.most
    assert not summary.is_exact
    assert summary.distinct == pytest.approx(100_001, rel=0.05)
    assert summary.statistics("id")["string_statistics"]["distribution"]["categorical"]["buckets"][
        0
    ] == {"value": "often", "count": 50}
    assert "string_constraints" not in summary.constraints("id", [])


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_data_keep_their_own_suggested_completeness(present: int, missing: int) -> None:
    """The suggestion lies between nothing and what was seen; nothing missing asks for all."""
    suggested = suggested_completeness(present, missing)
    seen = present / (present + missing) if present + missing else 0
    assert 0 <= suggested <= seen
    assert (suggested == 1) == (present > 0 and not missing)


def test_completeness_leaves_room_for_chance() -> None:
    """94 % of 1,000 rows: the lower end of the 95 % interval, as Deequ's rule."""
    assert suggested_completeness(940, 60) == 0.92
    assert suggested_completeness(190, 810) == 0.0


def test_the_documents_are_model_monitors() -> None:
    """A golden pair: each kind of feature, written exactly as the reference has it."""
    age, job, empty, text = (
        NumericSummary(integral=True),
        TextSummary(),
        NumericSummary(integral=False),
        TextSummary(),
    )
    age.add(np.array([1.0, 2.0, 3.0, math.nan]))
    job.add({"b": 2, "a": 2}, missing=0)
    empty.add(np.array([]), missing=4)
    text.add({"free words": 4})
    features = {"age": age, "job": job, "empty": empty, "text": text}
    statistics = statistics_document(4, features)
    assert statistics["version"] == 0.0
    assert statistics["dataset"] == {"item_count": 4}
    first = statistics["features"][0]
    assert list(first) == ["name", "inferred_type", "numerical_statistics"]
    numeric = first["numerical_statistics"]
    kll = numeric.pop("distribution")["kll"]
    assert numeric == {
        "common": {"num_present": 3, "num_missing": 1},
        "mean": 2.0, "sum": 6.0, "std_dev": math.sqrt(2 / 3), "min": 1.0, "max": 3.0,
    }  # fmt: skip
    assert kll["sketch"] == {"parameters": {"c": 0.64, "k": 2048.0}, "data": [[1.0, 2.0, 3.0]]}
    assert kll["buckets"][0] == {"lower_bound": 1.0, "upper_bound": 1.2, "count": 1.0}
    assert [bucket["count"] for bucket in kll["buckets"]] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert statistics["features"][1] == {
        "name": "job",
        "inferred_type": "String",
        "string_statistics": {
            "common": {"num_present": 4, "num_missing": 0},
            "distinct_count": 2.0,
            "distribution": {
                "categorical": {"buckets": [{"value": "a", "count": 2}, {"value": "b", "count": 2}]}
            },
        },
    }
    assert statistics["features"][2]["inferred_type"] == "Unknown"
    assert constraints_document(features, {"job": ["c"]}) == {
        "version": 0.0,
        "features": [
            {
                "name": "age",
                "inferred_type": "Integral",
                "completeness": 0.32,
                "num_constraints": {"is_non_negative": True},
            },
            {
                "name": "job",
                "inferred_type": "String",
                "completeness": 1.0,
                "string_constraints": {"domains": ["a", "b", "c"]},
            },
            {"name": "empty", "inferred_type": "Unknown", "completeness": 0.0},
            {"name": "text", "inferred_type": "String", "completeness": 1.0},
        ],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": 0.1,
                "categorical_drift_method": "LInfinity",
            },
        },
    }
