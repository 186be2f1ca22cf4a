"""SageMaker Model Monitor's schedules: what it is asked for, and how its times are read.

A job definition is of one version: its baseline, its columns, its endpoint. It cannot be changed,
so its name tells its content by a digest, and another content is another definition. The
schedule has the definition's name.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from perennial.domain import naming
from perennial.domain.capture_record import script
from perennial.domain.ledger.monitors import Found
from perennial.domain.monitor_job import Place
from perennial.domain.run_input import network_parts
from perennial.domain.settings_monitor import (
    DATA_QUALITY,
    HOUR,
    MODEL_QUALITY,
    SECOND_MS,
    Monitor,
    Monitoring,
)

DAY_MS = 24 * HOUR * SECOND_MS
#: A look by hand judges at least so much.
SHORTEST_MS = SECOND_MS
#: What SageMaker calls each kind.
TYPES = {DATA_QUALITY: "DataQuality", MODEL_QUALITY: "ModelQuality"}
#: What it calls each problem, and that problem's part of a constraints file.
PROBLEMS = {
    "binary": ("BinaryClassification", "binary_classification_constraints"),
    "multiclass": ("MulticlassClassification", "multiclass_classification_constraints"),
    "regression": ("Regression", "regression_constraints"),
}
#: Where an answer has what it predicts (docs/serving.md), of requests of one row.
PREDICTION, SCORE = "$.predictions[0].prediction", "$.predictions[0].score"
ENDPOINT_PATH = "/opt/ml/processing/input/endpoint"
OUTPUT_PATH = "/opt/ml/processing/output"
METHODS = {"robust": "Robust", "simple": "Simple"}
LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
#: What SageMaker says of an execution for which nothing was captured; it starts no job.
NO_DATA = "Job inputs had no data"
#: Executions that are over, by status.
COMPLETED = ("Completed", "CompletedWithViolations")
OVER = (*COMPLETED, "Failed", "Stopped")


@dataclass(frozen=True)
class Subject:
    """The live version that a schedule watches. `baseline` is its folder of the kind, and `labels`
    the prefix of the ground truth, both URIs."""

    model: str
    release: int
    version: int
    endpoint: str
    baseline: str
    features: tuple[str, ...]
    missing: tuple[str, ...] = ()
    problem: str = ""
    labels: str = ""


@dataclass(frozen=True)
class Watch:
    """A schedule with its definition, and the files that the definition names, by key."""

    name: str
    kind: str
    definition: Mapping[str, Any]
    schedule: Mapping[str, Any]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Execution:
    """One execution of a schedule: `job` is its processing job's name, empty without one."""

    schedule: str
    scheduled_ms: int
    status: str
    job: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in OVER


def watch(
    subject: Subject,
    monitoring: Monitoring,
    monitor: Monitor,
    place: Place,
    constraints: Mapping[str, Any],
) -> Watch:
    """What has to be there for a monitor of the live version.

    `constraints` are those of the version's baseline; what the settings say goes before them.
    """
    rules = _rules(constraints, monitor, subject.problem)
    files = {"constraints.json": json.dumps(rules, indent=2)}
    if monitor.kind == DATA_QUALITY:
        files["record.py"] = script(subject.features, subject.missing, subject.version)
    parts = [
        *(vars(subject).values()),
        *files.values(),
        schedule_expression(monitor),
        monitor.delay,
        _resources(monitoring, place),
        [place.image, place.role, place.kms_key, network_parts(place.network)["other_jobs"]],
        sorted(place.tags.items()),
        monitor.per_feature,
    ]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    name = naming.watch_name(place.stack, subject.model, monitor.kind, digest[:10])
    base = f"monitoring/{subject.model}/{monitor.kind}/watch/{name}"
    return Watch(
        name,
        monitor.kind,
        _definition(name, base, subject, monitoring, monitor, place),
        schedule(name, monitor.kind, {"ScheduleExpression": schedule_expression(monitor)}, place),
        {f"{base}/{file}": text for file, text in files.items()},
    )


def schedule(
    definition: str, kind: str, when: Mapping[str, str], place: Place, name: str = ""
) -> dict[str, Any]:
    """CreateMonitoringSchedule's parameters; without a name of its own it has the definition's."""
    return {
        "MonitoringScheduleName": name or definition,
        "MonitoringScheduleConfig": {
            "ScheduleConfig": dict(when),
            "MonitoringJobDefinitionName": definition,
            "MonitoringType": TYPES[kind],
        },
        "Tags": _tags(place),
    }


def schedule_expression(monitor: Monitor) -> str:
    """When windows on the monitor's grid are over, in the only forms that Model Monitor takes.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-schedule-expression.html
    """
    hours, first = monitor.every // HOUR, monitor.offset // HOUR
    if hours == 1:
        return "cron(0 * ? * * *)"
    if hours == 24:
        return f"cron(0 {first} ? * * *)"
    return f"cron(0 {first}/{hours} ? * * *)"


def now_schedule(start_ms: int, now_ms: int) -> dict[str, str]:
    """The times of a schedule that runs once, at once, over what came since `start_ms`."""
    seconds = max(1, (now_ms - start_ms) // SECOND_MS)
    return {
        "ScheduleExpression": "NOW",
        "DataAnalysisStartTime": f"-PT{seconds}S",
        "DataAnalysisEndTime": "-PT0S",
    }


def window_of(
    execution: Execution,
    monitor: Monitor,
    environment: Mapping[str, str],
    asked: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """The time span that an execution judged, in milliseconds since 1970.

    Its job is told it (`start_time` and `end_time` of the container contract); without a job, or
    where these are missing, it is what was `asked` for once, or what the schedule says.
    """
    given = [_moment_ms(environment.get(name, "")) for name in ("start_time", "end_time")]
    if given[0] is not None and given[1] is not None and given[0] < given[1]:
        return given[0], given[1]
    if asked is not None:
        return asked
    end_ms = execution.scheduled_ms - monitor.delay * SECOND_MS
    return end_ms - monitor.window * SECOND_MS, end_ms


def judged_span(
    span: tuple[int, int], kind: str, since_ms: int, until_ms: int
) -> tuple[int, int] | None:
    """The part of an execution's time that is a window of the live version; None: no part.

    Until `until_ms` all was judged before. Of an execution that began before the version was live
    (`since_ms`) the version's own answers count where the container tells them from others', which
    the record preprocessor does for data quality alone.
    """
    start, end = span
    if start < since_ms and kind != DATA_QUALITY:
        return None
    start = max(start, since_ms, until_ms)
    return (start, end) if start < end else None


def quality_constraints(
    constraints: Mapping[str, Any], monitor: Monitor, problem: str
) -> dict[str, Any]:
    """The bounds of figures that count: those of the settings if there are any, else the file's."""
    found = copy.deepcopy(dict(constraints))
    found.pop("perennial", None)
    if monitor.bounds:
        found[PROBLEMS[problem][1]] = {
            name: {"threshold": bound, "comparison_operator": LESS if key == "min" else GREATER}
            for name, key, bound in monitor.bounds
        }
    return found


def nothing_done(reason: str) -> Found:
    """What an execution without a job found: nothing was captured, or why it failed."""
    if reason == NO_DATA:
        return Found("empty", words="nothing was captured in this time")
    return Found("failed", words=f"SageMaker started no job: {reason}")


def constraints_of(constraints: Mapping[str, Any], monitor: Monitor) -> dict[str, Any]:
    """The constraints that count: the baseline's file with what the settings say.

    As for our own jobs, what a person changed in the file for all features goes before the
    settings for all, and the settings for one feature before everything.
    """
    found = copy.deepcopy(dict(constraints))
    found.pop("perennial", None)  # our own notes; the container knows no such key
    config = found.setdefault("monitoring_config", {})
    comparison = config.setdefault("distribution_constraints", {})
    for key in ("comparison_threshold", "categorical_comparison_threshold"):
        if comparison.get(key, DEFAULT_DISTANCE) == DEFAULT_DISTANCE:
            comparison[key] = monitor.distance
    if monitor.method == "chi-squared":
        comparison["categorical_drift_method"] = "ChiSquared"
    elif comparison.get("comparison_method", "Robust") == "Robust":
        comparison["comparison_method"] = METHODS[monitor.method]
    silent = {name for name, each in monitor.features if not each.evaluate}
    for feature in found.get("features", []):
        if feature.get("name") in silent:
            feature["monitoring_config_overrides"] = {
                **feature.get("monitoring_config_overrides", {}),
                "evaluate_constraints": "Disabled",
            }
    return found


#: What a baseline writes for all features, and nobody decided.
DEFAULT_DISTANCE = 0.1


def _definition(  # noqa: PLR0913, PLR0917  # all that a definition is made of
    name: str,
    base: str,
    subject: Subject,
    monitoring: Monitoring,
    monitor: Monitor,
    place: Place,
) -> dict[str, Any]:
    """CreateDataQualityJobDefinition's parameters, or CreateModelQualityJobDefinition's."""
    root = f"s3://{place.bucket}/{base}"
    key = {"KmsKeyId": place.kms_key} if place.kms_key else {}
    title = TYPES[monitor.kind]
    parts = _quality_parts if monitor.kind == MODEL_QUALITY else _data_parts
    baseline, application, source, more = parts(root, subject, monitor)
    return {
        "JobDefinitionName": name,
        f"{title}BaselineConfig": {
            "ConstraintsResource": {"S3Uri": f"{root}/constraints.json"},
            **baseline,
        },
        f"{title}AppSpecification": {
            "ImageUri": place.image,
            **application,
            "Environment": {
                "publish_cloudwatch_metrics": "Enabled" if monitor.per_feature else "Disabled"
            },
        },
        f"{title}JobInput": {
            "EndpointInput": {
                "EndpointName": subject.endpoint,
                "LocalPath": ENDPOINT_PATH,
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
                **source,
            },
            **more,
        },
        f"{title}JobOutputConfig": {
            "MonitoringOutputs": [
                {
                    "S3Output": {
                        "S3Uri": f"{root}/output",
                        "LocalPath": OUTPUT_PATH,
                        "S3UploadMode": "EndOfJob",
                    }
                }
            ],
            **key,
        },
        "JobResources": _resources(monitoring, place),
        "NetworkConfig": network_parts(place.network)["other_jobs"],
        "RoleArn": place.role,
        "StoppingCondition": {"MaxRuntimeInSeconds": monitoring.max_seconds},
        "Tags": _tags(place),
    }


Parts = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]


def _data_parts(root: str, subject: Subject, _monitor: Monitor) -> Parts:
    """Of a data-quality definition: baseline, application, source, and other inputs."""
    statistics = {"StatisticsResource": {"S3Uri": f"{subject.baseline}/statistics.json"}}
    return statistics, {"RecordPreprocessorSourceUri": f"{root}/record.py"}, {}, {}


def _quality_parts(_root: str, subject: Subject, monitor: Monitor) -> Parts:
    """Of a model-quality definition: SageMaker merges answers and ground truth by itself."""
    hours = monitor.delay // HOUR
    source: dict[str, Any] = {
        "InferenceAttribute": PREDICTION,
        "StartTimeOffset": f"-PT{monitor.window // HOUR + hours}H",
        "EndTimeOffset": f"-PT{hours}H",
    }
    if subject.problem == "binary":
        source |= {"ProbabilityAttribute": SCORE, "ProbabilityThresholdAttribute": 0.5}
    truth = {"GroundTruthS3Input": {"S3Uri": subject.labels}}
    return {}, {"ProblemType": PROBLEMS[subject.problem][0]}, source, truth


def _rules(constraints: Mapping[str, Any], monitor: Monitor, problem: str) -> dict[str, Any]:
    if monitor.kind == MODEL_QUALITY:
        return quality_constraints(constraints, monitor, problem)
    return constraints_of(constraints, monitor)


def _resources(monitoring: Monitoring, place: Place) -> dict[str, Any]:
    volume = {"VolumeKmsKeyId": place.kms_key} if place.kms_key else {}
    return {
        "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": monitoring.instance,
            "VolumeSizeInGB": monitoring.volume_gb,
            **volume,
        }
    }


def _tags(place: Place) -> Sequence[Mapping[str, str]]:
    return [{"Key": name, "Value": value} for name, value in place.tags.items()]


def _moment_ms(text: str) -> int | None:
    """A moment of the container contract, like 2026-11-20T10:00:00Z; None for what is none.

    AWS's own example has blanks in it.
    """
    try:
        found = datetime.fromisoformat(text.replace(" ", "").replace("Z", "+00:00"))
    except ValueError:
        return None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return round(aware.timestamp() * 1000)
