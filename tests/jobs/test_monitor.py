"""The four monitors on small windows: what they find, what they write, what they refuse.

All cases run once, in the jobs' environment (`monitor_cases`); each test looks at one of them.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from statemachines.sdk import quiet_import
from tests.jobs.test_baseline import NoCloud, _python

FEATURES = ("age", "job", "member", "share")
REPORT = {
    "version", "kind", "model", "model_version", "window", "rows", "labelled_rows", "late",
    "unmatched_labels", "broken_lines", "worst", "violations", "metrics", "figures", "counts",
    "empty", "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def found(jobs_python: Path) -> dict[str, Any]:
    """The result of every case."""
    done = _python(jobs_python, "-m", "tests.jobs.monitor_cases")
    assert done.returncode == 0, done.stderr[-3000:]
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def checks(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What fired."""
    assert "failure" not in report, report
    return sorted((each["name"], each["check"]) for each in report["violations"])


def test_a_calm_window_fires_nothing_and_is_told_in_full(found: dict[str, Any]) -> None:
    """The report has every key of the contract, AWS's metric names and figures for pictures."""
    report = found["calm"]
    assert set(report) - {"files", "message"} == REPORT
    assert (report["rows"], report["empty"], report["violations"]) == (500, False, [])
    names = {metric["name"] for metric in report["metrics"]}
    assert {"feature_data_age", "feature_non_null_job", "feature_baseline_drift_member"} <= names
    age = report["figures"]["age"]
    assert len(age["bounds"]) == len(age["now"]) + 1
    assert sum(age["now"]) == pytest.approx(1)
    assert sum(age["baseline"]) == pytest.approx(1)
    assert report["message"] == "Completed: Job completed successfully with no violations."
    assert report["worst"]["words"].startswith("nearest its bound: ")


def test_a_drift_is_told_in_numbers_and_words(found: dict[str, Any]) -> None:
    """The feature, its distance and its bound; AWS's file has AWS's words."""
    report = found["drifted"]
    assert checks(report) == [("age", "baseline_drift_check")]
    worst = report["worst"]
    assert worst["words"] == f"`age` drifted {worst['value']:.2f} from its baseline (bound 0.10)"
    assert 0.1 < worst["value"] < worst["plain_distance"]
    assert report["files"]["constraint_violations"]["violations"] == [
        {
            "feature_name": "age",
            "constraint_check_type": "baseline_drift_check",
            "description": f"Baseline drift distance: {worst['value']:.6g} exceeds threshold: 0.1",
        }
    ]


@pytest.mark.parametrize(
    "name", ["bound", "off", "all", "monitoring_config_overrides", "monitoringConfigOverrides"]
)
def test_a_feature_can_have_its_own_bound(found: dict[str, Any], name: str) -> None:
    """In the settings, or in the constraints in any of AWS's spellings."""
    assert checks(found["overridden"][name]) == []


def test_every_encoding_and_format_gives_the_same_figures(found: dict[str, Any]) -> None:
    """CSV, JSON, BASE64, JSON lines and Parquet; one row a request, or all in one."""
    cases = found["encodings"]
    assert len(cases) == 12
    assert cases["csv"][:2] == [None, 40]
    for name, figures in cases.items():
        assert figures == cases["csv"], name


@pytest.mark.parametrize(
    ("name", "rows", "broken", "fired"),
    [
        ("no_objects", 0, 0, []),
        ("empty", 0, 0, []),
        ("one_record", 1, 0, []),
        ("all_missing", 300, 0, [(name, "completeness_check") for name in FEATURES]),
        ("unseen_column", 300, 0, [("shoe", "extra_column_check")]),
        ("lost_column", 300, 0, [("job", "missing_column_check")]),
        ("too_narrow", 300, 50, [("(row)", "missing_column_check")]),
        ("types", 300, 0, [("age", "data_type_check")]),
        ("fractions", 300, 0, [("age", "data_type_check")]),
        ("infinities", 300, 0, [("share", "data_type_check")]),
        (
            "unseen_level", 300, 0,
            [("job", "baseline_drift_check"), ("job", "categorical_values_check")],
        ),
        ("one_unseen_level", 301, 0, []),
        ("half_lines", 300, 10, []),
        ("bytes", 300, 1, []),
        ("binary", 300, 1, []),
        ("half_character", 300, 2, []),
        ("on_the_edge", 301, 0, []),  # the first second is the window's, the last one the next's
        ("cut_gzip", 0, 1, []),
    ],
)  # fmt: skip
def test_bad_input_is_counted_and_judged(
    found: dict[str, Any], name: str, rows: int, broken: int, fired: list[tuple[str, str]]
) -> None:
    """What can be read is; what cannot is counted; one odd row alone fires nothing."""
    report = found["bad"][name]
    assert (report["rows"], report["broken_lines"], report["empty"]) == (rows, broken, not rows)
    assert checks(report) == fired
    assert bool(report["notes"]) == bool(broken)


def test_the_worst_comes_first_and_chance_is_no_drift(found: dict[str, Any]) -> None:
    """What fires is told by its size, then what chance explains, then what is near its bound."""
    cases = found["reports"]
    assert [each["name"] for each in cases["fired"]["violations"]] == ["wild", "mild"]
    assert cases["fired"]["worst"]["words"] == "wild drifted"
    words = cases["chance"]["worst"]["words"]
    assert words == "noise drifted, which chance explains in so few rows"
    assert cases["chance"]["violations"] == []
    assert cases["calm"]["worst"]["words"] == "nearest its bound: calm drifted"
    assert cases["nothing"]["worst"] is None
    # CloudWatch knows neither NaN nor infinity; what has no value is not published.
    assert [each["value"] for each in cases["nothing"]["metrics"]] == [0.5, 2.348543e108]


def test_very_many_categories_are_counted_in_bounded_memory(found: dict[str, Any]) -> None:
    """None of 30,000 is known; the feature has drifted, and the report stays small."""
    report = found["many_categories"]
    fired = checks(report)
    assert ("job", "categorical_values_check") in fired
    assert ("job", "baseline_drift_check") in fired
    assert len(json.dumps(report)) < 20_000


def test_only_the_endpoint_the_window_and_the_version_count(found: dict[str, Any]) -> None:
    """Others in the same prefix do not; a file under the next hour has lines of this one."""
    report = found["places"]["whole"]
    assert report["rows"] == 50 + 5 + 10 + 3
    assert found["places"]["inside"]["rows"] == found["places"]["nobody's"]["rows"] == 68
    assert report["counts"] == {
        "requests": 68,
        "outside_window": 6 + 7,
        "objects_of_other_endpoints": 2,
        "other_versions": 10 + 3,
        "left_out": 0,
    }


NONSENSE = {
    "completeness": "features[age].completeness is 'lots'; expected a number from 0 to 1",
    "share": "features[share].completeness is 7",
    "list": "features is {'age': 1}; expected a list",
    "entry": "features[0] is 'age'; expected an object with a name",
    "twice": "features[4].name is 'age'; expected a name that is there once",
    "method": "comparison_method is 'Best'; expected one of Simple, Robust",
    "threshold": "comparison_threshold is True; expected a number from 0 to 1",
    "switch": "evaluate_constraints is 'maybe'; expected one of Enabled, Disabled",
    "domains": "features[job].string_constraints.domains is 'cook'; expected a list of texts",
    "config": "monitoring_config is []; expected an object",
    "json": "the input constraints.json is no JSON",
    "foreign_setting": "monitor.data-quality.features names shoe",
    "statistics": "features[0] cannot be read",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_constraints_that_are_none_fail_by_the_name_of_the_place(
    found: dict[str, Any], name: str
) -> None:
    """A monitor that cannot judge fails, which is an alarm of its own."""
    assert found["nonsense"][name]["error"] == "SettingsError"
    assert NONSENSE[name] in found["nonsense"][name]["failure"]


def test_a_hook_changes_and_leaves_out_records(found: dict[str, Any]) -> None:
    """`preprocess_record` of the project; one that answers no row, or is not there, is named."""
    cases = found["hook"]
    assert ("age", "baseline_drift_check") in checks(cases["hook"])
    assert cases["hook"]["rows"] + cases["hook"]["counts"]["left_out"] == 500
    assert "asks for preprocess_record() in model.py of shop" in cases["none"]["failure"]
    assert "returned a int, neither a dict nor None" in cases["no_row"]["failure"]


def test_model_quality_is_judged_with_room_for_chance(found: dict[str, Any]) -> None:
    """A worse model fires; a good one, a small window and one without scores do not."""
    cases = found["quality"]
    assert checks(cases["calm"]) == checks(cases["small"]) == checks(cases["unscored"]) == []
    assert {"auc", "accuracy", "f1"} <= {name for name, _ in checks(cases["worse"])}
    assert "auc" not in cases["unscored"]["figures"]
    assert checks(cases["bounded"]) == [("auc", "LessThanThreshold")]
    value = cases["bounded"]["worst"]["value"]
    assert cases["violations"]["violations"] == [
        {
            "constraint_check_type": "LessThanThreshold",
            "description": f"Metric auc with {value:.10g} was LessThanThreshold 0.9999",
            "metric_name": "auc",
        }
    ]
    assert "auc.threshold is 'high'" in cases["nonsense"]["failure"]
    assert "bounds.speed is no bound" in cases["bad_bound"]["failure"]


def test_labelled_rows_are_kept_for_other_versions(found: dict[str, Any]) -> None:
    """Typed as a holdout's, with the live version's loss; a sample of very many; what the columns
    refuse is told; and only where it is asked for."""
    case = found["kept"]
    report = case["report"]
    assert (report["labelled_rows"], report["counts"]["rows_kept"]) == (10, 9)
    assert any("do not fit the model's columns: 1; earlier" in note for note in report["notes"])
    assert len(set(case["identities"])) == 9
    assert all(len(each) == 32 for each in case["identities"])
    first = case["rows"][0]
    assert set(first) == {*FEATURES, "paid"}
    assert isinstance(first["age"], int)
    assert case["live"][-2:] == [1.0, 0.0]  # it said yes and no, and both are no
    assert case["sample"] == [3, 50, 3]
    assert case["not_kept"] is None


def test_another_version_is_held_against_the_live_one_row_by_row(found: dict[str, Any]) -> None:
    """In whatever order its predictions come; both errors, their difference, and its spread."""
    case = found["kept"]
    pair, live = case["pair"], case["live"]
    other = [1.0] + [0.0] * 8
    gains = [mine - theirs for mine, theirs in zip(live, other, strict=True)]
    mean = sum(gains) / 9
    assert (pair["rows"], pair["error"]) == (9, pytest.approx(1 / 9))
    assert pair["live"] == pytest.approx(sum(live) / 9)
    assert pair["gain"] == pytest.approx(mean)
    assert pair["spread"] == pytest.approx((sum((g - mean) ** 2 for g in gains) / 9) ** 0.5)
    assert case["words"].startswith("9 rows: this version errs 0.1111, the live one")
    assert "the predictions are not those of the window's rows" in case["words"]
    # Squared errors 4, 0 and 0, 2 of labels with variance 1: roots of 2 and of 1.
    values = case["values"]
    assert values["gain"] == pytest.approx(2**0.5 - 1)
    assert values["spread"] == pytest.approx(3 / (2**0.5 + 1))


def test_several_classes_and_values_are_judged_too(found: dict[str, Any]) -> None:
    """The other two problem types, calm and worse."""
    cases = found["other_problems"]
    assert checks(cases["classes-calm"]) == checks(cases["values-calm"]) == []
    assert {"accuracy", "weighted_f1"} <= {name for name, _ in checks(cases["classes-worse"])}
    assert {"mae", "rmse", "r2"} <= {name for name, _ in checks(cases["values-worse"])}


def test_labels_are_merged_once_and_the_newest_counts(found: dict[str, Any]) -> None:
    """Of seven requests (one captured twice) three have labels in time; one label replaced
    another, one came late, one is nobody's; three lines and an object cannot be read."""
    report = found["merged"]["merged"]
    told = (report["labelled_rows"], report["late"], report["unmatched_labels"])
    assert told == (3, 1, 1)
    assert report["broken_lines"] == 4
    assert any("damaged.jsonl: the gzip file is damaged" in note for note in report["notes"])
    assert report["counts"]["labels_replaced"] == 1
    assert report["counts"]["captured_twice"] == 1
    alone = found["merged"]["alone"]
    assert (alone["empty"], alone["unmatched_labels"], alone["rows"]) == (True, 2, 0)


def test_bias_fires_only_where_intervals_part(found: dict[str, Any]) -> None:
    """An unfair window does, a tiny one just as unfair does not, nor one within a person's
    bound."""
    cases = found["bias"]
    assert checks(cases["calm"]) == checks(cases["tiny"]) == []
    fired = {name for name, _ in checks(cases["unfair"])}
    assert {"DPL:member=true", "DPPL:member=true"} <= fired
    assert not fired & {"AD:member=true", "CI:member=true"}
    assert "DPPL:member=true" not in {name for name, _ in checks(cases["edited"])}
    assert cases["unlabelled"]["empty"]
    assert "DPPL is 'much'; expected a number" in cases["nonsense"]["failure"]
    worst = cases["unfair"]["worst"]
    assert cases["unfair-violations"]["violations"][0] == {
        "facet": "member",
        "facet_value": worst["facet_value"],
        "metric_name": worst["metric"],
        "constraint_check_type": "bias_drift_check",
        "description": f"Value {worst['value']:.10g} does not meet the constraint requirement",
    }


def test_an_order_of_features_that_changed_fires(found: dict[str, Any]) -> None:
    """By the linear model's exact values; too few rows to know are told, not judged."""
    cases = found["attributed"]
    assert checks(cases["calm"]) == checks(cases["few"]) == []
    assert checks(cases["wild"]) == [("label0", "feature_attribution_drift_check")]
    assert "too few to judge" in cases["few"]["notes"][0]
    assert cases["analysis"]["perennial"]["method"] == "linear"
    value = cases["wild"]["worst"]["value"]
    assert cases["wild-violations"]["violations"] == [
        {
            "label": "label0",
            "metric_name": "shap",
            "constraint_check_type": "feature_attribution_drift_check",
            "description": f"Feature attribution drift {value:.6g} exceeds threshold 0.9",
        }
    ]
    assert "label0.age is 'most'" in cases["nonsense"]["failure"]


def test_a_configuration_that_says_nothing_is_refused(found: dict[str, Any]) -> None:
    """By the key."""
    cases = found["mistakes"]
    for key in ("kind", "window", "capture", "format", "version"):
        assert cases[key]["error"] == "SettingsError"
        assert cases[key]["failure"].startswith("monitor.json: ")


def test_objects_of_s3_are_found_by_endpoint_and_hour(jobs_python: Path, s3: Any) -> None:
    """Whether the prefix is the model's, the variant's, or has no folders of hours at all."""
    answer = {"observedContentType": "text/csv", "encoding": "CSV"}
    sides = {
        "endpointInput": {**answer, "data": "30,0.5,cook,true\n"},
        "endpointOutput": {**answer, "data": "yes,0.7\n"},
    }
    about = {"eventId": "e1", "inferenceTime": "2026-11-18T11:20:00Z"}
    body = json.dumps({"captureData": sides, "eventMetadata": about}) + "\n"
    truth = {"groundTruthData": {"data": "yes", "encoding": "CSV"}, "eventMetadata": about}
    for key in (
        "capture/shop/ep/main/2026/11/18/11/a.jsonl",
        "capture/shop/ep/main/2026/11/18/12/late.jsonl",
        "capture/shop/ep/main/2026/11/18/20/far.jsonl",
        "capture/shop/other/main/2026/11/18/11/a.jsonl",
        "flat/a.jsonl",
    ):
        s3.put_object(Bucket="landing", Key=key, Body=body.encode())
    s3.put_object(Bucket="landing", Key="labels/shop/2026/11/18/13/a.jsonl",
                  Body=json.dumps(truth).encode())  # fmt: skip
    region = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = _python(jobs_python, "-m", "tests.jobs.monitor_cases", "remote", **region)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)["remote"]
    assert [found[name]["rows"] for name in ("model", "variant", "flat", "nothing")] == [2, 2, 1, 0]
    assert found["nothing"]["empty"]
    assert "cannot list s3://no-such-bucket/x/" in found["no_bucket"]["failure"]
    # Labels of later hours count until then; a request that was captured twice counts once.
    assert found["quality"]["labelled_rows"] == 1
    assert found["quality"]["counts"]["captured_twice"] == 1


@pytest.mark.parametrize("name", ["statistics", "constraints", "constraint_violations"])
def test_the_sdk_reads_the_data_quality_files_back(found: dict[str, Any], name: str) -> None:
    """SageMaker's own classes take them, offline, and hold the same documents."""
    with quiet_import():
        sdk = importlib.import_module("sagemaker.model_monitor")
    kind = {
        "statistics": sdk.Statistics,
        "constraints": sdk.Constraints,
        "constraint_violations": sdk.ConstraintViolations,
    }[name]
    document = found["calm"]["files"][name]
    read = kind.from_string(json.dumps(document), sagemaker_session=NoCloud())
    assert read.body_dict == document


@pytest.mark.parametrize(
    ("case", "name"),
    [("quality", "statistics"), ("quality", "violations"), ("bias", "unfair-analysis"),
     ("bias", "unfair-violations"), ("attributed", "analysis"), ("attributed", "wild-violations")],
)  # fmt: skip
def test_the_sdk_reads_the_other_monitors_files_back(
    found: dict[str, Any], case: str, name: str
) -> None:
    """Statistics, analyses and violations of model quality, bias and attribution."""
    with quiet_import():
        sdk = importlib.import_module("sagemaker.model_monitor")
    kind = sdk.ConstraintViolations if "violations" in name else sdk.Statistics
    read = kind.from_string(json.dumps(found[case][name]), sagemaker_session=NoCloud())
    assert read.body_dict == found[case][name]
