"""What documents say, in a verdict's short form: bounded, finite, and unchanged where shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import changes, findings

from tests.unit.domain import verdict_builders as build

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.text(max_size=300))
def test_short_names_stay_short_and_printable(text: str) -> None:
    """At most eighty characters in one line."""
    assert len(findings.short(text)) <= findings.LONGEST_NAME
    assert findings.short(text).isprintable()


def test_cut_names_stay_distinct() -> None:
    """Two long levels that begin alike are two names."""
    assert findings.short("x" * 100 + "a") != findings.short("x" * 100 + "b")


@given(st.lists(st.integers(), min_size=1, max_size=1000))
def test_thinned_curves_keep_their_ends(points: list[int]) -> None:
    """At most 101 points, in order, the first and the last among them."""
    kept = findings.thinned(points)
    assert len(kept) <= 101
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(points) > 101 or kept == points


@pytest.mark.parametrize("key", ["learning", "gap", "latency_ms", "calibration", "residuals"])
@given(value=JSON)
def test_an_odd_part_of_an_evaluation_is_no_crash_of_the_judge(key: str, value: Any) -> None:
    """The figures decide; what is only shown is left out, or the document is refused by name."""
    document = build.evaluation()
    document["perennial"][key] = value
    try:
        read = findings.read_evaluation(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        return
    json.dumps(dict(read.sections), allow_nan=False)


def test_figures_that_are_none_stay_none() -> None:
    """NaN and infinity never enter the verdict, and never pass a gate."""
    document = build.evaluation()
    document["perennial"]["metrics"]["auc"] = float("nan")
    read = findings.read_evaluation(document)
    assert read.shown["auc"] is None
    assert json.dumps(dict(read.shown), allow_nan=False)


def test_bias_keeps_intervals_of_what_it_shows() -> None:
    """An infinite figure is told as text and has no interval."""
    read = findings.read_bias(build.bias())
    assert read.shown["DI:sex=Male"] == "Infinity"
    assert read.metrics["DI:sex=Male"] == float("inf")
    assert set(read.intervals) < set(read.shown)
    assert read.intervals["DPPL:sex=Female"] == [0.1744 - 0.02, 0.1744 + 0.025]


def test_figures_stand_where_people_look_for_them() -> None:
    """Overall figures in the problem's order, then facets as set, numeric groups by size."""
    names = ["rows", "auc", "auc:age=<30", "auc:age=30-45", "f1:age=<30", "auc:sex=M", "auc:sex=F"]
    figures = dict.fromkeys([*sorted(names), "own"], 1.0)
    facets = build.settings().facets
    assert list(findings.ordered(figures, ("auc", "f1", "rows"), facets)) == [
        *("auc", "rows", "own"),
        *("auc:sex=F", "auc:sex=M"),
        *("auc:age=<30", "f1:age=<30", "auc:age=30-45"),
    ]


def test_attributions_of_several_labels_are_their_mean() -> None:
    """One figure a feature, the largest first."""
    labels = {
        f"label{i}": {"global_shap_values": {"a": 0.1 + i, "b": 0.2}, "expected_value": 0}
        for i in range(2)
    }
    read = findings.read_explanations({"explanations": {"kernel_shap": labels}})
    assert read is not None
    assert list(read["global"].items()) == [("a", (0.1 + 1.1) / 2), ("b", 0.2)]
    assert read["features"] == 2


def test_a_comparison_keeps_its_figures_and_says_less() -> None:
    """No more than forty figures and five windows; words are one line each."""
    document = build.comparison(
        windows=build.comparison()["windows"] * 3,
        metrics={f"m{i}": {"champion": 1.0} for i in range(99)},
        changes=["a\nb"],
    )
    read = findings.read_comparison(document)
    assert (len(read["windows"]), len(read["metrics"])) == (5, 40)
    assert read["changes"] == ["a�b"]
    assert read["lower"] == document["lower"]


@pytest.mark.parametrize("key", ["metric", "rows", "lower", "difference", "confidence"])
def test_half_a_comparison_is_none(key: str) -> None:
    """What lacks a part that the gate or the card needs is not read."""
    document = build.comparison()
    del document[key]
    with pytest.raises(KeyError):
        findings.read_comparison(document)


def test_report_tells_producers_leaks_and_conflicts() -> None:
    """Shares of rows, largest first; rows without a folder have no producer."""
    document = build.report()
    document["leaks"] = [{"feature": "fnlwgt", "words": "fnlwgt equals income in each of 9 rows"}]
    read = findings.read_report(document, "incoming/census/")
    assert list(read.producers) == ["acme", "bureau/north", findings.NO_PRODUCER]
    assert sum(read.producers.values()) == pytest.approx(1)
    assert (read.leaks, read.conflicts) == (("fnlwgt",), 12)
    assert read.notes == ("fnlwgt equals income in each of 9 rows",)
    assert read.data["objects"] == {"read": 3, "good": 3}


def test_a_report_without_producers_counts_its_objects() -> None:
    """Reports of before name each object and its rows."""
    document = build.report()
    del document["producers"]
    read = findings.read_report(document, "incoming/census/")
    assert read.producers == {
        findings.NO_PRODUCER: 201 / 303,
        "bureau/north": 101 / 303,
        "acme": 1 / 303,
    }


def test_producers_beyond_the_fiftieth_are_one() -> None:
    """A thousand devices do not fill a verdict."""
    document = build.report()
    document["producers"] = {f"device-{i:04}": 1 for i in range(1000)}
    read = findings.read_report(document, "incoming/census/")
    assert len(read.producers) == 51
    assert read.producers[findings.OTHERS] == pytest.approx(0.95)


OLD = {
    "train": {"hyperparameters": {"rounds": 200, "eta": 0.1}, "seed": 0},
    "data": {"columns": [{"name": "age", "type": "int"}], "identity": []},
}
NEW = {
    "train": {"hyperparameters": {"rounds": 300, "leaves": 31}, "seed": 0},
    "data": {"columns": [{"name": "age", "type": "int", "min": 17}], "identity": ["age"]},
}


def test_changed_settings_are_told_hyperparameters_first() -> None:
    """Each key with the value before and after."""
    assert changes.settings_changes(OLD, NEW) == [
        "hyperparameters.eta: 0.1 → not set",
        "hyperparameters.leaves: not set → 31",
        "hyperparameters.rounds: 200 → 300",
        "data.columns.age.min: not set → 17",
        "data.identity: none → age",
    ]
    assert changes.settings_changes(OLD, OLD) == []


def test_changed_code_data_and_columns_are_told() -> None:
    """Digests, counts and producers; what is not known is not told."""
    before = changes.read_before(
        {
            "candidate": {"code_digest": "a"},
            "data": {"rows": {"training": 30_000}},
            "producers": {"acme": 1.0},
        }
    )
    after = {"rows": {"training": 39_069, "holdout": 5}}
    assert changes.data_changes(before, after, ["bureau"]) == [
        "training rows: 30,000 → 39,069",
        "producer bureau is new",
        "producer acme is gone",
    ]
    of_version_1 = changes.read_before({"candidate": {"code_digest": "a"}})
    assert changes.data_changes(of_version_1, after, ["bureau"]) == []
    assert changes.code_changes("a" * 64, "b" * 64) == ["code: aaaaaaaaaaaa → bbbbbbbbbbbb"]
    assert changes.code_changes("", "b" * 64) == changes.code_changes("b", "b") == []
    assert changes.prepared_changes(
        {"prepared": [{"name": "a"}, {"name": "b"}]}, {"prepared": [{"name": "b"}, {"name": "c"}]}
    ) == ["prepare makes another column: c", "prepare no longer makes the column a"]


def test_many_changes_are_cut_and_counted() -> None:
    """Each once, sixty at most."""
    told = changes.told([*(f"change {i}" for i in range(100)), "change 1"])
    assert len(told) == 61
    assert told[-1] == "and 40 more"
