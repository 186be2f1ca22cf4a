"""What SageMaker Model Monitor is asked for, and how its answers' times are read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import naming
from perennial.domain.monitor_job import Place
from perennial.domain.run_input import Network
from perennial.domain.sagemaker_monitor import (
    Execution,
    Subject,
    Watch,
    constraints_of,
    judged_span,
    nothing_done,
    now_schedule,
    schedule_expression,
    watch,
    window_of,
)
from perennial.domain.settings_monitor import FeatureWatch, Monitor, Monitoring

from tests.statemachines.aws_api import mistakes

HOUR, HOUR_MS = 3600, 3_600_000
LONGEST = "a" * 19 + "b"
MONITOR = Monitor("data-quality", HOUR, 0, HOUR, 0)
QUALITY = Monitor("model-quality", 2 * HOUR, 0, 2 * HOUR, 24 * HOUR)
SUBJECT = Subject(LONGEST, 10**9, 7, f"dev-perenn-live-{LONGEST}", "s3://b/base", ("age",), ("?",))
NETWORK = Network(subnets=("subnet-1",), security_groups=("sg-1",), isolated=True)
PLACE = Place(
    "dev-perennial-of-somebody",
    "bucket",
    "468650794304.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer",
    "arn:aws:iam::123456789012:role/job",
    "arn:aws:kms:eu-west-1:123456789012:key/1",
    NETWORK,
    {"team": "x"},
)
CONSTRAINTS: dict[str, Any] = {
    "version": 0.0,
    "features": [{"name": "age", "inferred_type": "Integral", "completeness": 1.0}],
    "monitoring_config": {
        "distribution_constraints": {
            "comparison_threshold": 0.1,
            "comparison_method": "Robust",
            "categorical_comparison_threshold": 0.1,
            "categorical_drift_method": "LInfinity",
        }
    },
    "perennial": {"kept_edits": []},
}


def asked(subject: Subject = SUBJECT, monitor: Monitor = MONITOR, place: Place = PLACE) -> Watch:
    """A watch of the longest names."""
    return watch(subject, Monitoring((monitor,), provider="sagemaker"), monitor, place, CONSTRAINTS)


def test_requests_are_what_aws_takes() -> None:
    """Patterns, enumerations and lengths by botocore's model, with the longest names."""
    found = asked()
    assert mistakes("sagemaker", "createDataQualityJobDefinition", dict(found.definition)) == []
    assert mistakes("sagemaker", "createMonitoringSchedule", dict(found.schedule)) == []
    once = {
        **found.schedule,
        "MonitoringScheduleConfig": {
            **found.schedule["MonitoringScheduleConfig"],
            "ScheduleConfig": now_schedule(0, 90_000),
        },
    }
    assert mistakes("sagemaker", "createMonitoringSchedule", once) == []
    assert naming.parse_watch_name(found.name, "dev-perenn") == (LONGEST, "data-quality")
    for kind in naming.MONITOR_KINDS:
        name = naming.watch_name(PLACE.stack, LONGEST, kind, "now" + "f" * 8)
        assert len(name) <= 63
        assert naming.parse_watch_name(name, "dev-perenn") == (LONGEST, kind)
        assert naming.parse_watch_name(name, "dev") is None


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_model_quality_is_asked_with_its_paths_and_offsets(problem: str) -> None:
    """Where answers have their prediction, how long labels are waited for, where they lie; and the
    settings' bounds in place of the baseline's."""
    monitor = replace(QUALITY, bounds=(("accuracy", "min", 0.8), ("fpr", "max", 0.2)))
    subject = replace(SUBJECT, problem=problem, labels="s3://b/labels/m/")
    found = watch(subject, Monitoring((monitor,), provider="sagemaker"), monitor, PLACE, {})
    assert mistakes("sagemaker", "createModelQualityJobDefinition", dict(found.definition)) == []
    assert mistakes("sagemaker", "createMonitoringSchedule", dict(found.schedule)) == []
    given = found.definition["ModelQualityJobInput"]
    assert given["GroundTruthS3Input"] == {"S3Uri": "s3://b/labels/m/"}
    source = given["EndpointInput"]
    assert (source["StartTimeOffset"], source["EndTimeOffset"]) == ("-PT26H", "-PT24H")
    assert source["InferenceAttribute"] == "$.predictions[0].prediction"
    assert ("ProbabilityAttribute" in source) == (problem == "binary")
    (text,) = found.files.values()
    ((section, bounds),) = json.loads(text).items()
    assert section.startswith(problem)
    assert bounds == {
        "accuracy": {"threshold": 0.8, "comparison_operator": "LessThanThreshold"},
        "fpr": {"threshold": 0.2, "comparison_operator": "GreaterThanThreshold"},
    }
    bare = watch(subject, Monitoring((QUALITY,)), QUALITY, PLACE, {"x_constraints": {}})
    assert json.loads(next(iter(bare.files.values()))) == {"x_constraints": {}}
    assert bare.name != found.name


def test_key_network_and_role_reach_the_job() -> None:
    """Volume, outputs, subnets and isolation, and the files that the definition names."""
    found = asked()
    definition = found.definition
    assert definition["JobResources"]["ClusterConfig"]["VolumeKmsKeyId"] == PLACE.kms_key
    assert definition["DataQualityJobOutputConfig"]["KmsKeyId"] == PLACE.kms_key
    assert definition["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert definition["NetworkConfig"]["VpcConfig"]["Subnets"] == ["subnet-1"]
    assert definition["RoleArn"] == PLACE.role
    baseline = definition["DataQualityBaselineConfig"]
    script = definition["DataQualityAppSpecification"]["RecordPreprocessorSourceUri"]
    uris = {f"s3://bucket/{key}" for key in found.files}
    assert uris == {baseline["ConstraintsResource"]["S3Uri"], script}
    assert baseline["StatisticsResource"]["S3Uri"] == "s3://b/base/statistics.json"


def test_another_content_is_another_definition() -> None:
    """A definition cannot be changed: what differs has another name, and what does not the same."""
    others = [
        asked(replace(SUBJECT, version=8)),
        asked(replace(SUBJECT, endpoint="other")),
        asked(monitor=replace(MONITOR, every=2 * HOUR)),
        asked(monitor=replace(MONITOR, distance=0.2)),
        asked(monitor=replace(MONITOR, per_feature=True)),
        asked(place=replace(PLACE, image="other")),
        asked(place=replace(PLACE, network=Network())),
    ]
    names = {asked().name, *(each.name for each in others)}
    assert asked().name == asked().name
    assert len(names) == len(others) + 1


@pytest.mark.parametrize(
    ("every", "offset", "expression"),
    [
        (1, 0, "cron(0 * ? * * *)"),
        (24, 3, "cron(0 3 ? * * *)"),
        (6, 2, "cron(0 2/6 ? * * *)"),
        (12, 0, "cron(0 0/12 ? * * *)"),
    ],
)
def test_times_are_in_model_monitors_forms(every: int, offset: int, expression: str) -> None:
    """Hourly, daily at an hour, or every so many hours from an hour on."""
    assert schedule_expression(replace(MONITOR, every=every * HOUR, offset=offset * HOUR)) == (
        expression
    )


def test_the_settings_go_before_the_baselines_constraints() -> None:
    """Bounds and method for all; a person's own word in the file stays; one feature is silent."""
    monitor = replace(
        MONITOR, distance=0.3, method="simple", features=(("age", FeatureWatch(evaluate=False)),)
    )
    found = constraints_of(CONSTRAINTS, monitor)
    comparison = found["monitoring_config"]["distribution_constraints"]
    assert comparison["comparison_threshold"] == 0.3
    assert comparison["comparison_method"] == "Simple"
    override = found["features"][0]["monitoring_config_overrides"]
    assert override == {"evaluate_constraints": "Disabled"}
    assert "perennial" not in found
    edited = json.loads(json.dumps(CONSTRAINTS))
    edited["monitoring_config"]["distribution_constraints"]["comparison_threshold"] = 0.7
    kept = constraints_of(edited, monitor)["monitoring_config"]["distribution_constraints"]
    assert kept["comparison_threshold"] == 0.7
    assert kept["categorical_comparison_threshold"] == 0.3
    chi = constraints_of(CONSTRAINTS, replace(MONITOR, method="chi-squared"))
    chosen = chi["monitoring_config"]["distribution_constraints"]
    assert chosen["categorical_drift_method"] == "ChiSquared"


def test_an_executions_time_is_what_its_job_was_told() -> None:
    """Also with the blanks of AWS's own example; without a job it is what the schedule says."""
    execution = Execution("s", 10 * HOUR_MS, "Failed")
    told = {"start_time": "1970-01-01T08: 30: 00Z", "end_time": "1970-01-01T09:00:00.250Z"}
    assert window_of(execution, MONITOR, told) == (8.5 * HOUR_MS, 9 * HOUR_MS + 250)
    for wrong in ({}, {"start_time": "x", "end_time": "y"}, {**told, "end_time": "1970-01-01"}):
        assert window_of(execution, MONITOR, wrong) == (9 * HOUR_MS, 10 * HOUR_MS)


def test_without_a_job_a_delayed_window_ended_so_much_before() -> None:
    """Its offsets count back from the time that it was due."""
    execution = Execution("s", 30 * HOUR_MS, "Failed")
    assert window_of(execution, QUALITY, {}) == (4 * HOUR_MS, 6 * HOUR_MS)


@given(*(st.integers(0, 50) for _ in range(4)), st.sampled_from(naming.MONITOR_KINDS))
def test_windows_never_span_a_release_nor_overlap(
    start: int, length: int, since: int, until: int, kind: str
) -> None:
    """What is judged lies in the execution's time, after the release, after the last window; a
    kind whose container cannot tell versions apart gets no hour that a release cut."""
    found = judged_span((start, start + length), kind, since, until)
    if found is None:
        is_cut = start < since and kind != "data-quality"
        assert is_cut or start + length <= max(start, since, until)
        return
    assert max(start, since, until) == found[0] < found[1] == start + length


def test_what_ended_without_a_job_is_empty_or_failed() -> None:
    """Nothing captured is no failure."""
    assert nothing_done("Job inputs had no data").state == "empty"
    failed = nothing_done("ClientError: no such role")
    assert failed.state == "failed"
    assert "no such role" in failed.words
