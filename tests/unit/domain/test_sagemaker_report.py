"""The report that is made of Model Monitor's files."""

from __future__ import annotations

from typing import Any

import pytest
from perennial.domain.monitor_report import ReportInvalid, read_report
from perennial.domain.sagemaker_report import Files, data_quality_report, model_quality_report

HEAD = {
    "kind": "data-quality",
    "model": "m",
    "model_version": 7,
    "window": {"start_ms": 0, "end_ms": 1},
}


def numbers(name: str, *levels: list[float]) -> dict[str, Any]:
    """A numeric feature with a sketch of these levels."""
    sketch = {"data": list(levels)}
    statistics = {"distribution": {"kll": {"sketch": sketch}}}
    return {"name": name, "numerical_statistics": statistics}


def texts(name: str, **counts: int) -> dict[str, Any]:
    """A text feature."""
    buckets = [{"value": text, "count": count} for text, count in counts.items()]
    return {
        "name": name,
        "string_statistics": {"distribution": {"categorical": {"buckets": buckets}}},
    }


def statistics(*features: dict[str, Any], rows: int = 100) -> dict[str, Any]:
    """A statistics.json."""
    return {"dataset": {"item_count": rows}, "features": list(features)}


def constraints(**comparison: Any) -> dict[str, Any]:
    """A constraints.json that compares plainly."""
    return {
        "features": [{"name": "age", "completeness": 0.95}],
        "monitoring_config": {
            "distribution_constraints": {"comparison_method": "Simple", **comparison}
        },
    }


THEN = statistics(numbers("age", [10.0, 20.0], [30.0]), texts("city", Rome=3, Oslo=1))
# Of weights 1, 1 and 2: half of the values are at most 20; now three quarters are.
NOW = statistics(numbers("age", [10.0, 20.0, 20.0, 30.0]), texts("city", Rome=1, Oslo=1))


def violation(check: str, words: str, name: str = "age") -> dict[str, str]:
    """One entry of constraint_violations.json."""
    return {"feature_name": name, "constraint_check_type": check, "description": words}


def made(found: Any, now: Any = NOW, rules: Any = None) -> dict[str, Any]:
    """A report of these violations."""
    files = Files(now, found, constraints() if rules is None else rules, THEN)
    return data_quality_report(HEAD, files)


def test_without_violations_the_nearest_figure_is_told() -> None:
    """Distances are worked out anew: of numbers by the sketches' weights, of texts by shares."""
    for none in ({"violations": []}, None):
        report = made(none)
        assert report["violations"] == []
        figures = {each["name"]: each["value"] for each in report["metrics"]}
        assert figures == {
            "feature_baseline_drift_age": pytest.approx(0.25),
            "feature_baseline_drift_city": pytest.approx(0.25),
        }
        assert report["worst"]["words"] == (
            "nearest its bound: `age` drifted 0.25 from its baseline (bound 0.10)"
        )
        read = read_report(report, per_feature=True)
        assert (read.found.state, read.found.rows, read.found.violations) == ("done", 100, 0)
        assert read.worst == pytest.approx(0.25)
    assert report["figures"]["city"]["texts"] == ["Rome", "Oslo"]
    assert sum(report["figures"]["age"]["now"]) == pytest.approx(1)


def test_violations_have_figure_bound_and_words() -> None:
    """The worst is first; each kind's words tell its figure; a picture knows what fired."""
    report = made(
        {
            "violations": [
                violation("completeness_check", "Value: 0.5 does not meet the constraint!"),
                violation("baseline_drift_check", "distance: 0.9 exceeds threshold: 0.1", "city"),
                violation("data_type_check", "Observed: Only 99.5% of data is Integral."),
                violation("missing_column_check", "There are missing columns.", "gone"),
            ]
        }
    )
    found = {each["check"]: (each["value"], each["bound"]) for each in report["violations"]}
    assert found == {
        "baseline_drift_check": (0.9, 0.1),
        "completeness_check": (0.5, 0.95),
        "data_type_check": (pytest.approx(0.995), 1.0),
        "missing_column_check": (0.0, 1.0),
    }
    assert report["worst"]["words"] == "`city` drifted 0.90 from its baseline (bound 0.10)"
    assert report["figures"]["city"]["fires"] is True
    assert report["figures"]["age"]["fires"] is False
    assert read_report(report, per_feature=False).found.violations == 4


def test_robust_distances_leave_room_for_chance() -> None:
    """Deequ's correction for few rows; texts by chi-squared have no distance to tell."""
    robust = made(None, rules=constraints(comparison_method="Robust"))
    assert all(each["value"] == 0 for each in robust["metrics"])
    chi = made(None, rules=constraints(categorical_drift_method="ChiSquared"))
    assert [each["name"] for each in chi["metrics"]] == ["feature_baseline_drift_age"]
    assert "now" in chi["figures"]["city"]


def test_a_window_without_rows_is_empty() -> None:
    """Lines that another version answered are no rows."""
    report = made(None, statistics(rows=0))
    assert read_report(report, per_feature=False).found.state == "empty"


MEASURED = {
    "dataset": {"item_count": 50},
    "regression_metrics": {
        "mae": {"value": 1.5, "standard_deviation": "NaN"},
        "r2": {"value": 0.4},
        "rmse": {"value": "NaN"},
    },
}
BOUNDS = {
    "regression_constraints": {
        "mae": {"threshold": 1.0, "comparison_operator": "GreaterThanThreshold"},
        "r2": {"threshold": 0.5, "comparison_operator": "LessThanThreshold"},
    }
}


def test_figures_of_labelled_answers_and_their_bounds() -> None:
    """The worst is what is farthest beyond its bound, as a share of it; without violations what is
    nearest; a figure without a value is none."""
    words = {"constraint_check_type": "GreaterThanThreshold", "description": "Metric mae …"}
    found = {"violations": [{"metric_name": "r2"}, {**words, "metric_name": "mae"}]}
    report = model_quality_report(HEAD, Files(MEASURED, found, BOUNDS, None))
    assert [each["words"] for each in report["violations"]] == [
        "mae is 1.5 (bound 1)",
        "r2 is 0.4 (bound 0.5)",
    ]
    assert {each["name"]: each["value"] for each in report["metrics"]} == {"mae": 1.5, "r2": 0.4}
    read = read_report(report, per_feature=True)
    assert (read.found.labelled, read.found.violations, read.worst) == (50, 2, 1.5)
    calm = model_quality_report(HEAD, Files(MEASURED, None, BOUNDS, None))
    assert calm["worst"]["words"] == "nearest its bound: mae is 1.5 (bound 1)"
    odd = {"violations": [{"metric_name": "ep", "description": "Metric ep with -0.1"}]}
    other = model_quality_report(HEAD, Files(MEASURED, odd, BOUNDS, None))
    assert other["worst"]["words"] == "ep: Metric ep with -0.1"
    empty = {"dataset": {"item_count": 0}, "regression_metrics": {}}
    nothing = model_quality_report(HEAD, Files(empty, None, BOUNDS, None))
    assert read_report(nothing, per_feature=False).found.state == "empty"
    with pytest.raises(ReportInvalid, match="no section of metrics"):
        model_quality_report(HEAD, Files({"dataset": {"item_count": 1}}, None, BOUNDS, None))


@pytest.mark.parametrize(
    ("found", "now"),
    [
        ({}, NOW),
        ({"violations": [1]}, NOW),
        (None, {"features": []}),
        (None, {"dataset": {"item_count": 1}}),
        (None, []),
    ],
)
def test_files_that_are_none_are_refused(found: Any, now: Any) -> None:
    """Then the window has failed, in words."""
    with pytest.raises(ReportInvalid, match="json has no"):
        made(found, now)
