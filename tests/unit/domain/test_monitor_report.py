"""What ledger and metrics keep of a window's report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial.domain.monitor_report import Figure, ReportInvalid, read_report

WORST = {"name": "age", "value": 0.31, "bound": 0.1, "words": "`age` drifted 0.31 (bound 0.10)"}


def report(**fields: Any) -> dict[str, Any]:
    """A report of 500 rows in which one feature drifted."""
    return {
        "version": 1,
        "rows": 500,
        "labelled_rows": 20,
        "worst": WORST,
        "violations": [WORST],
        "metrics": [
            {"name": "feature_data_age", "value": 38.1},
            {"name": "feature_baseline_drift_age", "value": 0.31, "dimensions": {"Label": "x"}},
        ],
        "empty": False,
        "notes": [],
        **fields,
    }


def test_a_window_with_violations() -> None:
    """Counts, the worst figure and its words; single figures only where they are asked for."""
    read = read_report(report(), per_feature=False)
    found = read.found
    assert (found.state, found.rows, found.labelled, found.violations) == ("done", 500, 20, 1)
    assert found.words == WORST["words"]
    assert (read.worst, read.figures) == (0.31, ())
    kept = json.loads(found.figures)
    assert kept["worst"] == {"name": "age", "value": 0.31, "bound": 0.1}
    assert kept["violations"] == [WORST["words"]]
    drift = "feature_baseline_drift_age[Label=x]"
    assert kept["figures"] == {drift: 0.31, "feature_data_age": 38.1}
    every = read_report(report(), per_feature=True).figures
    assert every[1] == Figure("feature_baseline_drift_age", 0.31, {"Label": "x"})


@pytest.mark.parametrize("fields", [{"rows": 0}, {"empty": True}])
def test_a_window_without_rows_is_empty(fields: dict[str, Any]) -> None:
    """It sees nothing, whatever else the report says; its first note says why."""
    found = read_report(report(notes=["every line is broken"], **fields), per_feature=True).found
    assert (found.state, found.rows, found.is_blind) == ("empty", 0, True)
    assert found.words == "every line is broken"
    bare = read_report(report(**fields), per_feature=True).found
    assert bare.words == "no row in the window could be looked at"


def test_a_row_keeps_a_few_figures() -> None:
    """Forty figures, those of drift first; the ledger's rows stay small."""
    plain = [{"name": f"feature_data_{i}", "value": i} for i in range(100)]
    drift = [{"name": f"feature_baseline_drift_{i}", "value": 0.5} for i in range(10)]
    kept = json.loads(read_report(report(metrics=plain + drift), per_feature=False).found.figures)
    assert len(kept["figures"]) == 40
    assert all(each["name"] in kept["figures"] for each in drift)


def test_what_is_no_figure_is_left_out() -> None:
    """Texts and infinities are neither kept nor do they fail the window."""
    odd = [
        {"name": "a", "value": "high"},
        {"value": 1},
        {"name": "b", "value": True},
        {"name": "c", "value": float("inf")},
    ]
    read = read_report(report(metrics=odd, worst=None), per_feature=True)
    assert [each.name for each in read.figures] == ["c"]
    assert json.loads(read.found.figures)["figures"] == {}
    assert (read.worst, read.found.words) == (None, "")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no report of version 1"),
        (report(version=2), "no report of version 1"),
        (report(violations=None), "violations is no list"),
        (report(rows=-1), "rows is no count"),
        (report(rows=True), "rows is no count"),
        (report(metrics={}), "metrics is no list"),
    ],
)
def test_what_is_no_report_is_refused(document: Any, words: str) -> None:
    """The window then counts as failed, with these words."""
    with pytest.raises(ReportInvalid, match=words):
        read_report(document, per_feature=False)


def test_words_of_others_are_made_printable() -> None:
    """A column's name cannot turn the direction of a notice."""
    worst = {**WORST, "words": "evil \u202e name " + "x" * 500}
    words = read_report(report(worst=worst), per_feature=False).found.words
    assert "\u202e" not in words
    assert len(words) == 300
