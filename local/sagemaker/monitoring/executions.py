"""One execution of a monitoring schedule: what was captured in its time, judged by a job."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from local.sagemaker.container.images import MERGER
from local.sagemaker.container.objects import split_uri
from local.sagemaker.endpoints.service import Endpoints
from local.sagemaker.errors import SageMakerError
from local.sagemaker.monitoring.definitions import (
    DATA_QUALITY,
    MODEL_QUALITY,
    Definitions,
    read_offsets,
)
from local.sagemaker.processing import ProcessingJob, ProcessingJobs
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

log = logging.getLogger(__name__)
BASELINE = "/opt/ml/processing/baseline"
CODE = "/opt/ml/processing/code/preprocessing"
#: The words of AWS's own executions for which nothing was captured.
NO_DATA = "Job inputs had no data"
VIOLATED = "CompletedWithViolations"
GROUND_TRUTH = "/opt/ml/processing/groundtruth"
FORMATS = {
    DATA_QUALITY: {
        "sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}
    },
    MODEL_QUALITY: {"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}},
}
#: Where the container's figures go: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor.html
NAMESPACES = {
    DATA_QUALITY: "aws/sagemaker/Endpoints/data-metrics",
    MODEL_QUALITY: "aws/sagemaker/Endpoints/model-metrics",
}


@dataclass
class Execution:
    """One execution; `job` is None until there is one, and for good when there is nothing to do."""

    record: Record
    job: ProcessingJob | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Record:
        """What the listing shows now: its job's status, and whether the job found violations."""
        with self.lock:
            shown = dict(self.record)
            job = self.job
        if job is None:
            return shown
        found = job.snapshot()
        status = found["ProcessingJobStatus"]
        if status == "Completed" and str(found.get("ExitMessage", "")).startswith(VIOLATED):
            status = VIOLATED
        reason = found.get("FailureReason")
        return {
            **shown,
            "MonitoringExecutionStatus": status,
            "LastModifiedTime": found["LastModifiedTime"],
            "ProcessingJobArn": found["ProcessingJobArn"],
            **({"FailureReason": reason} if reason else {}),
        }

    def fail(self, reason: str) -> None:
        """End without a job."""
        with self.lock:
            self.record["MonitoringExecutionStatus"] = "Failed"
            self.record["FailureReason"] = reason[:1024]
            self.record["LastModifiedTime"] = round(time.time(), 3)


class Executor:
    """Starts the jobs of executions."""

    def __init__(
        self, runtime: JobRuntime, endpoints: Endpoints, processing: ProcessingJobs
    ) -> None:
        self._runtime = runtime
        self._endpoints = endpoints
        self._processing = processing

    def run(
        self,
        execution: Execution,
        definitions: Definitions,
        schedule: Mapping[str, str],
        span: tuple[float, float],
    ) -> None:
        """Start the execution's job over what was captured in `span`, machine time.

        `schedule` has its name and ARN, and `once` if its times are given and not shifted.
        """
        try:
            definition = definitions.find(execution.record["MonitoringJobDefinitionName"])
            given = definition[f"{definitions.kind}JobInput"]["EndpointInput"]
            if not schedule.get("once"):
                span = self._shifted(given, span)
            inputs = self._captured(given, span)
            mark = secrets.token_hex(12)
            if inputs and definitions.kind == MODEL_QUALITY:
                inputs = self._merged(execution, definition, span, inputs, mark)
            if not inputs:
                execution.fail(NO_DATA)
                return
            told = {**schedule, "mark": mark}
            request = _request(definitions.kind, definition, told, span, inputs)
            job = self._processing.admit(request)
        except SageMakerError as error:
            execution.fail(f"{error.code}: {error.message}")
            return
        except Exception as error:  # else it would stay Pending for ever
            log.exception("execution of %s", schedule["name"])
            execution.fail(f"InternalServerError: the local cloud failed: {error}")
            return
        with execution.lock:
            execution.job = job
        job.start()

    def _shifted(self, given: Record, span: tuple[float, float]) -> tuple[float, float]:
        """The time that a definition's offsets name, back from an execution's own."""
        begin, end = read_offsets(given)
        if not begin:
            return span
        clock, at = self._runtime.cloud.clock, self._runtime.cloud.clock.service_at(span[1])
        return clock.real_at(at - begin), clock.real_at(at - end)

    def _merged(
        self,
        execution: Execution,
        definition: Record,
        span: tuple[float, float],
        captured: Mapping[str, str],
        mark: str,
    ) -> dict[str, str]:
        """The hours' prefixes of answers with their ground truth, which a job of its own merges.

        Ground truth counts that was collected from the window's beginning until now.
        """
        uri = definition["ModelQualityJobInput"]["GroundTruthS3Input"]["S3Uri"].rstrip("/")
        hours = [hour for hour in _hours(span[0], time.time()) if self._holds(f"{uri}/{hour}/")]
        if not hours:
            return {}
        truth = {f"{uri}/{hour}": f"{GROUND_TRUTH}/{hour}" for hour in hours}
        job = self._processing.admit(_merge_request(definition, span, captured, truth, mark))
        with execution.lock:
            execution.record["MonitoringExecutionStatus"] = "InProgress"
        over = threading.Event()
        job.start()
        self._runtime.watch(job.key, over)
        over.wait()
        found = job.snapshot()
        if found["ProcessingJobStatus"] != "Completed":
            reason = found.get("FailureReason", found["ProcessingJobStatus"])
            raise SageMakerError("ClientError", f"the merge of ground truth failed: {reason}")
        target = _target(definition, MODEL_QUALITY)["S3Uri"].rstrip("/")
        merged = {f"{target}/merge/{_below(path)}": path for path in captured.values()}
        return {place: path for place, path in merged.items() if self._holds(f"{place}/")}

    def _captured(self, given: Record, span: tuple[float, float]) -> dict[str, str]:
        """The hours' prefixes that hold something, and where each goes below the input's place."""
        endpoint, place = given["EndpointName"], given["LocalPath"]
        record = self._endpoints.find(endpoint).record
        config = self._endpoints.configs.find(record["EndpointConfigName"])
        capture = config.get("DataCaptureConfig")
        if not capture:
            raise SageMakerError(
                "ValidationException", f"Endpoint {endpoint} has no data capture enabled."
            )
        uri = str(capture["DestinationS3Uri"]).rstrip("/")
        found = {}
        for variant in (each["VariantName"] for each in config["ProductionVariants"]):
            for hour in _hours(*span):
                below = f"{endpoint}/{variant}/{hour}"
                if self._holds(f"{uri}/{below}/"):
                    found[f"{uri}/{below}"] = f"{place}/{below}"
        return found

    def _holds(self, uri: str) -> bool:
        bucket, prefix = split_uri(uri)
        listed = self._runtime.s3().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        return bool(listed.get("KeyCount"))


def _hours(start: float, end: float) -> list[str]:
    hour = datetime.fromtimestamp(start, UTC).replace(minute=0, second=0, microsecond=0)
    found = []
    while hour.timestamp() < end:
        found.append(f"{hour:%Y/%m/%d/%H}")
        hour += timedelta(hours=1)
    return found


def _request(
    kind: str,
    definition: Record,
    schedule: Mapping[str, str],
    span: tuple[float, float],
    captured: Mapping[str, str],
) -> Record:
    """The processing job, by the contract of Model Monitor's containers."""
    application = definition[f"{kind}AppSpecification"]
    baseline = definition[f"{kind}BaselineConfig"]
    endpoint = definition[f"{kind}JobInput"]["EndpointInput"]["EndpointName"]
    output = definition[f"{kind}JobOutputConfig"]
    target = output["MonitoringOutputs"][0]["S3Output"]
    at = datetime.fromtimestamp(span[1], UTC)
    files = {
        "constraints": (baseline["ConstraintsResource"]["S3Uri"], f"{BASELINE}/constraints"),
    }
    if baseline.get("StatisticsResource"):
        files["statistics"] = (baseline["StatisticsResource"]["S3Uri"], f"{BASELINE}/stats")
    script = application.get("RecordPreprocessorSourceUri")
    if script:
        files["preprocessor"] = (script, CODE)
    place = f"{endpoint}/{schedule['name']}/{at:%Y/%m/%d/%H}"
    key = {"KmsKeyId": output["KmsKeyId"]} if output.get("KmsKeyId") else {}
    return {
        "ProcessingJobName": f"{_title(kind)}-monitoring-{at:%Y%m%d%H%M}-{schedule['mark']}",
        "MonitoringScheduleArn": schedule["arn"],
        "ProcessingInputs": [
            *(_input(f"endpoint_input_{n}", *each) for n, each in enumerate(captured.items(), 1)),
            *(_input(name, *each) for name, each in files.items()),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "monitoring_output",
                    "S3Output": {
                        "S3Uri": f"{target['S3Uri'].rstrip('/')}/{place}",
                        "LocalPath": target["LocalPath"],
                        "S3UploadMode": target.get("S3UploadMode", "Continuous"),
                    },
                }
            ],
            **key,
        },
        "ProcessingResources": definition["JobResources"],
        "StoppingCondition": definition["StoppingCondition"],
        "AppSpecification": {"ImageUri": application["ImageUri"]},
        "Environment": _environment(definition, kind, schedule["name"], span, files),
        "NetworkConfig": definition.get("NetworkConfig", {}),
        "RoleArn": definition["RoleArn"],
        # Not SageMaker's own member: no answer shows it, the job's figures go there.
        "metrics_namespace": NAMESPACES[kind],
    }


def _environment(
    definition: Record,
    kind: str,
    schedule: str,
    span: tuple[float, float],
    files: Mapping[str, tuple[str, str]],
) -> dict[str, str]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-contract-inputs.html"""
    given = definition[f"{kind}JobInput"]["EndpointInput"]
    target = definition[f"{kind}JobOutputConfig"]["MonitoringOutputs"][0]["S3Output"]
    script = files.get("preprocessor")
    quality = _quality(definition) if kind == MODEL_QUALITY else {}
    return {
        "dataset_format": json.dumps(FORMATS[kind]),
        "dataset_source": given["LocalPath"],
        "output_path": target["LocalPath"],
        "publish_cloudwatch_metrics": "Enabled",
        **definition[f"{kind}AppSpecification"].get("Environment", {}),
        "sagemaker_endpoint_name": given["EndpointName"],
        "sagemaker_monitoring_schedule_name": schedule,
        "start_time": _moment(span[0]),
        "end_time": _moment(span[1]),
        "baseline_constraints": _file(*files["constraints"]),
        **quality,
        **({"baseline_statistics": _file(*files["statistics"])} if "statistics" in files else {}),
        **({"record_preprocessor_script": _file(*script)} if script else {}),
    }


def _quality(definition: Record) -> dict[str, str]:
    """What an analyzer of merged answers is told beside the rest."""
    given = definition["ModelQualityJobInput"]["EndpointInput"]
    names = {
        "InferenceAttribute": "inference_attribute",
        "ProbabilityAttribute": "probability_attribute",
        "ProbabilityThresholdAttribute": "probability_threshold_attribute",
    }
    return {
        "analysis_type": "MODEL_QUALITY",
        "problem_type": definition["ModelQualityAppSpecification"]["ProblemType"],
        **{told: str(given[name]) for name, told in names.items() if name in given},
    }


def _merge_request(
    definition: Record,
    span: tuple[float, float],
    captured: Mapping[str, str],
    truth: Mapping[str, str],
    mark: str,
) -> Record:
    """The processing job that merges answers and ground truth, as AWS's own logs show it."""
    given = definition["ModelQualityJobInput"]["EndpointInput"]
    target = _target(definition, MODEL_QUALITY)
    at = datetime.fromtimestamp(span[1], UTC)
    output = definition["ModelQualityJobOutputConfig"]
    key = {"KmsKeyId": output["KmsKeyId"]} if output.get("KmsKeyId") else {}
    place = {
        "S3Uri": f"{target['S3Uri'].rstrip('/')}/merge",
        "LocalPath": target["LocalPath"],
        "S3UploadMode": "EndOfJob",
    }
    return {
        "ProcessingJobName": f"groundtruth-merge-{at:%Y%m%d%H%M}-{mark}",
        "ProcessingInputs": [
            *(_input(f"groundtruth_input_{n}", *each) for n, each in enumerate(truth.items(), 1)),
            *(_input(f"endpoint_input_{n}", *each) for n, each in enumerate(captured.items(), 1)),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "result", "S3Output": place}],
            **key,
        },
        "ProcessingResources": definition["JobResources"],
        "StoppingCondition": definition["StoppingCondition"],
        "AppSpecification": {"ImageUri": MERGER},
        "Environment": {
            "dataset_source": given["LocalPath"],
            "ground_truth_source": GROUND_TRUTH,
            "output_path": target["LocalPath"],
        },
        "NetworkConfig": definition.get("NetworkConfig", {}),
        "RoleArn": definition["RoleArn"],
    }


def _target(definition: Record, kind: str) -> Record:
    found: Record = definition[f"{kind}JobOutputConfig"]["MonitoringOutputs"][0]["S3Output"]
    return found


def _title(kind: str) -> str:
    return kind.replace("Q", "-q").lower()


def _below(path: str) -> str:
    """Endpoint, variant and hour at the end of an input's place."""
    return "/".join(path.split("/")[-6:])


def _input(name: str, uri: str, path: str) -> Record:
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source}


def _file(uri: str, folder: str) -> str:
    return f"{folder}/{uri.rpartition('/')[2]}"


def _moment(seconds: float) -> str:
    """A moment of the container contract; with its fraction, for the cloud's clock may hurry."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace(".000", "").replace("+00:00", "Z")


def new_record(name: str, definition: str, kind: str, endpoint: str, at: float) -> Record:
    """An execution's record as it begins."""
    now = round(time.time(), 3)
    return {
        "MonitoringScheduleName": name,
        "ScheduledTime": round(at, 3),
        "CreationTime": now,
        "LastModifiedTime": now,
        "MonitoringExecutionStatus": "Pending",
        "EndpointName": endpoint,
        "MonitoringJobDefinitionName": definition,
        "MonitoringType": kind,
    }
