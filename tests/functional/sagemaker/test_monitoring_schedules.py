"""Model Monitor's schedules on the local cloud: definitions, executions, its analyzer's files."""

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker.container.images import MODEL_MONITOR
from tests.functional.sagemaker.hosting import Hosting
from tests.functional.sagemaker.test_endpoint_capture import HEADERS, serve

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


class Monitored:
    """An endpoint whose capture some definitions watch."""

    def __init__(self, hosting: Hosting) -> None:
        self.hosting = hosting
        self.place = f"capture-{uuid.uuid4().hex[:6]}"
        modes = ("Input", "Output")
        self.endpoint = serve(hosting, self.place, modes, CaptureContentTypeHeader=HEADERS)
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

    def schedule(self, definition: str, **when: str) -> str:
        """A schedule of its own for a definition; its name."""
        name = self.hosting.name("schedule")
        self.hosting.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=name,
            MonitoringScheduleConfig={
                "ScheduleConfig": when,
                "MonitoringJobDefinitionName": definition,
                "MonitoringType": "DataQuality",
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
