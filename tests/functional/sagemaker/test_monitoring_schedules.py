"""Model Monitor's schedules on the local cloud: definitions, executions, its analyzer's files."""

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker.container.images import MODEL_MONITOR
from tests.functional.sagemaker.hosting import Hosting
from tests.functional.sagemaker.test_endpoint_capture import BYTES, HEADERS

SCRIPT = """
def preprocess_handler(inference_record):
    age, city = inference_record.endpoint_input.data.strip().split(",")
    return {"age": age or None, "city": city}
"""
CONSTRAINTS: dict[str, Any] = {
    "version": 0.0,
    "features": [
        {"name": "age", "inferred_type": "Integral", "completeness": 1.0},
        {
            "name": "city",
            "inferred_type": "String",
            "completeness": 1.0,
            "string_constraints": {"domains": ["Rome", "Paris"]},
        },
    ],
    "monitoring_config": {
        "evaluate_constraints": "Enabled",
        "datatype_check_threshold": 1.0,
        "domain_content_threshold": 1.0,
        "distribution_constraints": {
            "perform_comparison": "Enabled",
            "comparison_threshold": 0.1,
            "comparison_method": "Simple",
        },
    },
}
STATISTICS = {
    "version": 0.0,
    "dataset": {"item_count": 4},
    "features": [
        {
            "name": "age",
            "inferred_type": "Integral",
            "numerical_statistics": {
                "common": {"num_present": 4, "num_missing": 0},
                "distribution": {"kll": {"sketch": {"data": [[], [30.0, 40.0]]}}},
            },
        },
        {
            "name": "city",
            "inferred_type": "String",
            "string_statistics": {
                "common": {"num_present": 4, "num_missing": 0},
                "distribution": {
                    "categorical": {
                        "buckets": [{"value": "Rome", "count": 2}, {"value": "Paris", "count": 2}]
                    }
                },
            },
        },
    ],
}


# A regression whose answers are as our own model server's.
ANSWERS = """
    import json

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        answers = [{"prediction": float(line)} for line in text.split()]
        return json.dumps({"predictions": answers, "version": 7}), "application/json"
"""


class Monitored:
    """An endpoint whose capture some definitions watch."""

    def __init__(self, hosting: Hosting, script: str = BYTES) -> None:
        self.hosting = hosting
        self.place = f"capture-{uuid.uuid4().hex[:6]}"
        self.endpoint = hosting.serve(
            script=script,
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": hosting.uri(self.place),
                "CaptureOptions": [{"CaptureMode": mode} for mode in ("Input", "Output")],
                "CaptureContentTypeHeader": HEADERS,
            },
        )
        for name, content in (
            ("constraints.json", json.dumps(CONSTRAINTS)),
            ("statistics.json", json.dumps(STATISTICS)),
            ("record.py", SCRIPT),
        ):
            hosting.put(f"baseline/{name}", content)

    def definition(self, **more: Any) -> str:
        """A new definition; its name."""
        name = self.hosting.name("watch")
        uri = self.hosting.uri
        self.hosting.sagemaker.create_data_quality_job_definition(
            JobDefinitionName=name,
            **{
                "DataQualityBaselineConfig": {
                    "ConstraintsResource": {"S3Uri": uri("baseline/constraints.json")},
                    "StatisticsResource": {"S3Uri": uri("baseline/statistics.json")},
                },
                "DataQualityAppSpecification": {
                    "ImageUri": MODEL_MONITOR,
                    "RecordPreprocessorSourceUri": uri("baseline/record.py"),
                },
                "DataQualityJobInput": {
                    "EndpointInput": {
                        "EndpointName": self.endpoint,
                        "LocalPath": "/opt/ml/processing/input/endpoint",
                    }
                },
                "DataQualityJobOutputConfig": {
                    "MonitoringOutputs": [
                        {
                            "S3Output": {
                                "S3Uri": uri("reports"),
                                "LocalPath": "/opt/ml/processing/output",
                            }
                        }
                    ]
                },
                "JobResources": {
                    "ClusterConfig": {
                        "InstanceCount": 1,
                        "InstanceType": "ml.m5.large",
                        "VolumeSizeInGB": 20,
                    }
                },
                "RoleArn": self.hosting.role,
                **more,
            },
        )
        return name

    def quality(self, **more: Any) -> str:
        """A new definition for a regression's answers; its name."""
        name, uri = self.hosting.name("quality"), self.hosting.uri
        cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}
        place = {"S3Uri": uri("quality"), "LocalPath": "/opt/ml/processing/output"}
        source = {
            "EndpointName": self.endpoint,
            "LocalPath": "/opt/ml/processing/input_data",
            "InferenceAttribute": "$.predictions[0].prediction",
            **more,
        }
        self.hosting.sagemaker.create_model_quality_job_definition(
            JobDefinitionName=name,
            ModelQualityBaselineConfig={
                "ConstraintsResource": {"S3Uri": uri("baseline/quality.json")}
            },
            ModelQualityAppSpecification={"ImageUri": MODEL_MONITOR, "ProblemType": "Regression"},
            ModelQualityJobInput={
                "EndpointInput": source,
                "GroundTruthS3Input": {"S3Uri": uri("truth")},
            },
            ModelQualityJobOutputConfig={"MonitoringOutputs": [{"S3Output": place}]},
            JobResources={"ClusterConfig": cluster},
            RoleArn=self.hosting.role,
        )
        return name

    def schedule(self, definition: str, kind: str = "DataQuality", **when: str) -> str:
        """A schedule of its own for a definition; its name."""
        name = self.hosting.name("schedule")
        self.hosting.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name,
            MonitoringScheduleConfig={
                "ScheduleConfig": when,
                "MonitoringJobDefinitionName": definition,
                "MonitoringType": kind,
            },
        )
        return name

    def execution(self, schedule: str) -> Any:
        """The newest of the schedule's executions that are over."""
        end = time.monotonic() + 40
        while time.monotonic() < end:
            found = self.hosting.sagemaker.list_monitoring_executions(
                MonitoringScheduleName=schedule
            )["MonitoringExecutionSummaries"]
            under_way = ("Pending", "InProgress")
            over = [each for each in found if each["MonitoringExecutionStatus"] not in under_way]
            if over:
                return over[0]
            time.sleep(0.1)
        raise AssertionError(f"{schedule} has {found}")


@pytest.fixture(scope="module")
def monitored(hosting: Hosting) -> Monitored:
    """One endpoint for the module."""
    return Monitored(hosting)


ONCE = {
    "ScheduleExpression": "NOW",
    "DataAnalysisStartTime": "-PT1H",
    "DataAnalysisEndTime": "-PT0H",
}


def test_what_was_captured_is_judged_once(monitored: Monitored) -> None:
    """A schedule that runs now: nothing captured fails in AWS's words; then the six checks, the
    files below endpoint and schedule, figures in CloudWatch, and the contract's environment."""
    hosting, definition = monitored.hosting, monitored.definition()
    empty = monitored.execution(monitored.schedule(definition, **ONCE))
    assert empty["FailureReason"] == "Job inputs had no data"
    assert "ProcessingJobArn" not in empty
    for line in ("30,Rome", "30,Rome", ",Oslo", "x,Rome"):
        hosting.invoke(monitored.endpoint, f"{line}\n")
    hosting.cloud.idle()
    name = monitored.schedule(definition, **ONCE)
    done = monitored.execution(name)
    assert done["MonitoringExecutionStatus"] == "CompletedWithViolations"
    job = hosting.sagemaker.describe_processing_job(
        ProcessingJobName=done["ProcessingJobArn"].rpartition("/")[2]
    )
    assert job["MonitoringScheduleArn"].endswith(f"monitoring-schedule/{name}")
    assert job["Environment"]["sagemaker_monitoring_schedule_name"] == name
    place = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert place.startswith(hosting.uri(f"reports/{monitored.endpoint}/{name}/20"))
    key = place.removeprefix(hosting.uri(""))
    found = json.loads(hosting.get(f"{key}/constraint_violations.json"))["violations"]
    assert {(each["feature_name"], each["constraint_check_type"]) for each in found} == {
        ("age", "completeness_check"),
        ("age", "data_type_check"),
        ("age", "baseline_drift_check"),
        ("city", "categorical_values_check"),
        ("city", "baseline_drift_check"),
    }
    far = {each["feature_name"]: each["description"] for each in found}
    # Both numbers are 30, where half of the baseline's are 40.
    assert far["age"] == "Baseline drift distance: 0.5 exceeds threshold: 0.1"
    statistics = json.loads(hosting.get(f"{key}/statistics.json"))
    assert statistics["dataset"]["item_count"] == 4
    metrics = hosting.cloud.client("cloudwatch").list_metrics(
        Namespace="aws/sagemaker/Endpoints/data-metrics",
        Dimensions=[{"Name": "MonitoringSchedule", "Value": name}],
    )["Metrics"]
    assert {each["MetricName"] for each in metrics} >= {"feature_data_age", "feature_non_null_city"}


@pytest.mark.long
def test_answers_are_judged_by_what_was_right(hosting: Hosting) -> None:
    """Without ground truth there is nothing to judge; then a job merges it by inference id, and
    the analyzer's figures are held against the bounds. A request of several rows is passed over."""
    monitored = Monitored(hosting, ANSWERS)
    bound = {"threshold": 0.5, "comparison_operator": "GreaterThanThreshold"}
    constraints = {"regression_constraints": {"mae": bound, "mse": {**bound, "threshold": 9}}}
    hosting.put("baseline/quality.json", json.dumps(constraints))
    for name, body in (("a", "1.0"), ("b", "3.0"), ("c", "5.0\n6.0"), ("d", "9.0")):
        hosting.invoke(monitored.endpoint, body, InferenceId=name)
    hosting.cloud.idle()
    definition = monitored.quality()
    empty = monitored.execution(monitored.schedule(definition, "ModelQuality", **ONCE))
    assert empty["FailureReason"] == "Job inputs had no data"
    hour = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    truth = [
        {
            "groundTruthData": {"data": label, "encoding": "CSV"},
            "eventMetadata": {"eventId": event},
            "eventVersion": "0",
        }
        for event, label in (("a", "1"), ("b", "1"), ("c", "[5, 6]"), ("other", "4"))
    ]
    lines = "\n".join(map(json.dumps, truth))
    hosting.put(f"truth/{hour}/labels.jsonl", lines)
    name = monitored.schedule(definition, "ModelQuality", **ONCE)
    done = monitored.execution(name)
    assert done["MonitoringExecutionStatus"] == "CompletedWithViolations", done
    key = f"quality/{monitored.endpoint}/{name}/"
    files = {each.rpartition("/")[2]: json.loads(hosting.get(each)) for each in hosting.keys(key)}
    figures = files["statistics.json"]["regression_metrics"]
    assert files["statistics.json"]["dataset"]["item_count"] == 2
    assert {figure: each["value"] for figure, each in figures.items()} == {
        "mae": 1.0, "mse": 2.0, "rmse": pytest.approx(2**0.5)
    }  # fmt: skip
    (broken,) = files["constraint_violations.json"]["violations"]
    assert broken == {
        "metric_name": "mae",
        "constraint_check_type": "GreaterThanThreshold",
        "description": "Metric mae with 1.0 was GreaterThanThreshold 0.5",
    }
    merged = hosting.keys(f"quality/merge/{monitored.endpoint}/")
    assert len(hosting.get(merged[0]).splitlines()) == 3


@pytest.mark.long
def test_an_hourly_schedule_fires_on_the_clouds_clock(monitored: Monitored) -> None:
    """Its execution judges the hour that is over, as long as it really took; a stopped one rests,
    and nothing is left of a deleted one."""
    sagemaker = monitored.hosting.sagemaker
    definition = monitored.definition()
    name = monitored.schedule(definition, ScheduleExpression="cron(0 * ? * * *)")
    described = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    assert described["MonitoringScheduleStatus"] == "Scheduled"
    cloud = monitored.hosting.cloud
    cloud.control("POST", "/_local/clock", {"factor": 3600})
    try:
        monitored.execution(name)
    finally:
        cloud.control("POST", "/_local/clock", {"factor": 1})
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName=name)
    described = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    assert described["MonitoringScheduleStatus"] == "Stopped"
    assert described["LastMonitoringExecutionSummary"]["MonitoringType"] == "DataQuality"
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name)
    with pytest.raises(ClientError, match="not found"):
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    sagemaker.delete_data_quality_job_definition(JobDefinitionName=definition)
    with pytest.raises(ClientError, match="Could not find job definition"):
        sagemaker.describe_data_quality_job_definition(JobDefinitionName=definition)


def test_what_it_does_not_do_is_refused_by_name(monitored: Monitored) -> None:
    """Offsets, own entry points, other types, other times."""
    with pytest.raises(ClientError, match="ContainerEntrypoint"):
        monitored.definition(
            DataQualityAppSpecification={"ImageUri": MODEL_MONITOR, "ContainerEntrypoint": ["sh"]}
        )
    with pytest.raises(ClientError, match="does not have the image"):
        monitored.definition(DataQualityAppSpecification={"ImageUri": "other"})
    sagemaker = monitored.hosting.sagemaker
    with pytest.raises(ClientError, match="ListModelBiasJobDefinitions"):
        sagemaker.list_model_bias_job_definitions()
    with pytest.raises(ClientError, match="needed together"):
        monitored.quality(StartTimeOffset="-PT2H")
    with pytest.raises(ClientError, match="no offset like"):
        monitored.quality(StartTimeOffset="P2M", EndTimeOffset="-PT1H")
    definition = monitored.definition()
    for when, words in (
        ({"ScheduleExpression": "rate(1 hour)"}, "Invalid ScheduleExpression"),
        ({"ScheduleExpression": "cron(5 * ? * * *)"}, "Invalid ScheduleExpression"),
        ({"ScheduleExpression": "NOW"}, "DataAnalysisStartTime"),
        ({**ONCE, "DataAnalysisStartTime": "-P2D"}, "24 hours"),
    ):
        with pytest.raises(ClientError, match=words):
            monitored.schedule(definition, **when)
    with pytest.raises(ClientError, match="Could not find job definition"):
        monitored.schedule("nothing", **ONCE)
