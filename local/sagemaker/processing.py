"""Processing jobs: S3 in, a container's entry point, S3 out."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import base_environment, command
from local.sagemaker.container.objects import Objects
from local.sagemaker.container.process import Command
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.family import TERMINAL, JobFamily
from local.sagemaker.job import Job, JobFailedError, read_text
from local.sagemaker.monitoring.figures import PLACE as FIGURES
from local.sagemaker.monitoring.figures import publish_figures
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags

log = logging.getLogger(__name__)
DAY = 86_400
ROOT = "/opt/ml/processing/"
EVENT_MEMBERS = [
    "ProcessingJobName",
    "ProcessingJobArn",
    "ProcessingJobStatus",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "NetworkConfig",
    "Environment",
    "RoleArn",
    "ExitMessage",
    "FailureReason",
    "CreationTime",
    "ProcessingStartTime",
    "ProcessingEndTime",
    "LastModifiedTime",
]
# The event spells these enumerations in its own way (seen on AWS's page of event samples).
EVENT_WORDS = {
    "ManifestFile": "MANIFEST_FILE",
    "S3Prefix": "S3_PREFIX",
    "File": "FILE",
    "FullyReplicated": "FULLYREPLICATED",
    "ShardedByS3Key": "SHARDEDBYS3KEY",
    "Continuous": "CONTINUOUS",
    "EndOfJob": "END_OF_JOB",
    "None": "NONE",
    "Gzip": "GZIP",
}
EVENT_ENUMS = frozenset(
    {"S3DataType", "S3InputMode", "S3DataDistributionType", "S3CompressionType", "S3UploadMode"}
)


class ProcessingJob(Job):
    """One processing job."""

    kind = "processing"
    log_group = "/aws/sagemaker/ProcessingJobs"

    def __init__(self, runtime: JobRuntime, name: str, record: Record, tags: Tags) -> None:
        super().__init__(runtime, name, record)
        self._tags = tags
        self._synced: dict[str, dict[str, tuple[int, int]]] = {}
        self._move("InProgress")

    # --- status -----------------------------------------------------------------------------
    def _move(self, status: str) -> None:
        with self.lock:
            self.record["LastModifiedTime"] = round(time.time(), 3)
            self.record["ProcessingJobStatus"] = status
            detail = processing_event(self.record, self._tags.of(self.record["ProcessingJobArn"]))
        name = "SageMaker Processing Job State Change"
        self.cloud.publish_event("aws.sagemaker", name, detail, [detail["ProcessingJobArn"]])

    def running(self) -> None:
        """The container starts."""
        with self.lock:
            self.check_stop()
            self.record["ProcessingStartTime"] = round(time.time(), 3)

    def stopping(self) -> None:
        """Once."""
        with self.lock:
            if self.record["ProcessingJobStatus"] == "InProgress":
                self._move("Stopping")

    def finish(self, status: str, reason: str = "") -> None:
        """The end."""
        with self.lock:
            now = round(time.time(), 3)
            self.record["ProcessingEndTime"] = now
            if reason:
                self.record["FailureReason"] = reason
            if self.record["ProcessingJobStatus"] not in TERMINAL:
                self._move(status)

    # --- work -------------------------------------------------------------------------------
    def kms_key(self) -> str | None:
        """From the output configuration."""
        found: str | None = self.record.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        return found

    def fetch(self, folder: JobFolder, objects: Objects) -> Command:
        """Inputs, output folders, configuration; then the command."""
        folder.make("/opt/ml/output")
        for entry in self.record.get("ProcessingInputs", []):
            self.check_stop()
            source = entry["S3Input"]
            target = folder.make(source["LocalPath"])
            gunzip = source["S3CompressionType"] == "Gzip"
            objects.fetch(source["S3Uri"], source["S3DataType"], target, gunzip=gunzip)
        for output in self._outputs():
            folder.make(output["LocalPath"])
        self._write_configuration(folder)
        spec = self.record["AppSpecification"]
        place = self.runtime.images.environment(spec["ImageUri"])
        network = not self.record.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        environment = {
            **self.runtime.environment(network=network),
            **base_environment(place, folder.scratch),
            "PROCESSING_JOB_NAME": self.name,
            "PROCESSING_JOB_ARN": self.record["ProcessingJobArn"],
            **self.runtime.threads(),
            **self.record.get("Environment", {}),
        }
        if not folder.private:
            environment["SAGEMAKER_BASE_DIR"] = str(folder.ml)
        entry = spec.get("ContainerEntrypoint") or self._own_entry(spec["ImageUri"])
        argv = [*entry, *spec.get("ContainerArguments", [])]
        return command(argv, environment, "/opt/ml", place, network=network)

    def _own_entry(self, image: str) -> tuple[str, ...]:
        found = self.runtime.images.shelf.find(image)
        return found.processing if found is not None else ()

    def _outputs(self) -> list[Mapping[str, Any]]:
        outputs = self.record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return [output["S3Output"] for output in outputs]

    def _write_configuration(self, folder: JobFolder) -> None:
        place = folder.make("/opt/ml/config")
        members = [
            "ProcessingJobArn",
            "ProcessingJobName",
            "AppSpecification",
            "Environment",
            "ProcessingInputs",
            "ProcessingOutputConfig",
            "ProcessingResources",
            "RoleArn",
            "StoppingCondition",
        ]
        job = {name: self.record.get(name) for name in members}
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"]}
        for name, content in (("processingjobconfig", job), ("resourceconfig", hosts)):
            text = folder.as_seen(json.dumps(content))
            (place / f"{name}.json").write_text(text, encoding="utf-8")

    def sync(self, folder: JobFolder, objects: Objects) -> None:
        """Continuous outputs go to S3 while the job runs."""
        for output in self._outputs():
            if output["S3UploadMode"] == "Continuous":
                known = self._synced.setdefault(output["LocalPath"], {})
                objects.store(folder.real(output["LocalPath"]), output["S3Uri"], known)

    def store(self, folder: JobFolder, objects: Objects, code: int | None) -> None:
        """Outputs at the job's end, if it ended well; the exit message in any case."""
        try:
            message = read_text(folder.real("/opt/ml/output/message"))
        except UnicodeDecodeError as error:
            raise JobFailedError("ClientError: /opt/ml/output/message is not UTF-8") from error
        if message:
            with self.lock:
                self.record["ExitMessage"] = message
        self.sync(folder, objects)
        if code != 0:
            return
        for output in self._outputs():
            if output["S3UploadMode"] == "EndOfJob":
                objects.store(folder.real(output["LocalPath"]), output["S3Uri"])
        namespace = self.record.get("metrics_namespace")  # of a monitoring schedule's job
        if namespace:
            for words in publish_figures(self.cloud, folder.real(FIGURES), namespace):
                log.warning("job %s: %s", self.name, words)

    def failure(self, folder: JobFolder, code: int) -> str:
        """SageMaker's words for any failing container."""
        return "AlgorithmError: See job logs for more information"


class ProcessingJobs(JobFamily[ProcessingJob]):
    """CreateProcessingJob and its siblings."""

    kind = "Processing"
    path = "processing-job"
    words = "processing job"
    missing = "Could not find requested job with name: {name}"
    taken = (
        "Job name must be unique within an AWS account and region, and a job with this name "
        "already exists ({arn})"
    )

    def build(self, name: str, record: Record) -> ProcessingJob:
        """The job itself."""
        return ProcessingJob(self.runtime, name, record, self.tags)

    def accept(self, parameters: Record, arn: str) -> Record:
        """Refuse what is not done here, fill in AWS's defaults."""
        record = {name: value for name, value in parameters.items() if name != "Tags"}
        if record.get("ExperimentConfig"):
            raise unsupported("experiments (ExperimentConfig)")
        spec = record["AppSpecification"]
        self.runtime.check_image(spec["ImageUri"])
        image = self.runtime.images.shelf.find(spec["ImageUri"])
        if not spec.get("ContainerEntrypoint") and not (image and image.processing):
            raise unsupported(f"the image's own entry point ({spec['ImageUri']} has none)")
        cluster = record["ProcessingResources"].get("ClusterConfig", {})
        if cluster.get("InstanceCount", 1) != 1:
            raise unsupported("processing on more than one instance (InstanceCount)")
        _check_inputs(record.get("ProcessingInputs", []))
        _check_outputs(record.get("ProcessingOutputConfig", {}).get("Outputs", []))
        record.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", DAY)
        network = record.get("NetworkConfig", {})
        self.runtime.check_isolation(network.get("EnableNetworkIsolation", False))
        self.runtime.check_role(record["RoleArn"])
        record.update(ProcessingJobArn=arn, CreationTime=round(time.time(), 3))
        return record


def _check_inputs(inputs: list[dict[str, Any]]) -> None:
    for entry in inputs:
        name = entry["InputName"]
        if entry.get("AppManaged") or entry.get("DatasetDefinition"):
            raise unsupported(f"an input that is not plain S3 (ProcessingInputs {name})")
        source = entry.get("S3Input")
        if not source or not source.get("LocalPath"):
            raise invalid(f"ProcessingInput {name} needs S3Input with a LocalPath.")
        entry.setdefault("AppManaged", False)
        source.setdefault("S3InputMode", "File")
        source.setdefault("S3DataDistributionType", "FullyReplicated")
        source.setdefault("S3CompressionType", "None")
        if source["S3InputMode"] != "File":
            raise unsupported(f"S3InputMode {source['S3InputMode']} (ProcessingInputs {name})")
        _check_path(source["LocalPath"])
    _check_unique("InputName", [entry["InputName"] for entry in inputs])
    _check_unique("LocalPath", [entry["S3Input"]["LocalPath"] for entry in inputs])


def _check_outputs(outputs: list[dict[str, Any]]) -> None:
    for output in outputs:
        name = output["OutputName"]
        target = output.get("S3Output")
        if output.get("AppManaged") or output.get("FeatureStoreOutput"):
            raise unsupported(f"an output that is not plain S3 (Outputs {name})")
        if not target or not target.get("LocalPath"):
            raise invalid(f"ProcessingOutput {name} needs S3Output with a LocalPath.")
        output.setdefault("AppManaged", False)
        _check_path(target["LocalPath"])
    _check_unique("OutputName", [output["OutputName"] for output in outputs])
    _check_unique("LocalPath", [output["S3Output"]["LocalPath"] for output in outputs])


def _check_path(path: str) -> None:
    if not path.startswith(ROOT) or ".." in path.split("/"):
        raise invalid(f"LocalPath {path} must begin with {ROOT}")


def _check_unique(what: str, values: list[str]) -> None:
    doubles = sorted({value for value in values if values.count(value) > 1})
    if doubles:
        raise invalid(f"{what} must be unique; these are not: {', '.join(doubles)}")


def processing_event(record: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The event's detail: Describe's members, times as epoch milliseconds, its own enumerations."""

    def spelled(name: str, value: Any) -> Any:
        if name.endswith("Time"):
            return int(value * 1000)
        if name in EVENT_ENUMS:
            return EVENT_WORDS.get(value, value)
        if isinstance(value, dict):
            return {key: spelled(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [spelled("", item) for item in value]
        return value

    detail = {name: spelled(name, record[name]) for name in EVENT_MEMBERS if name in record}
    return {**detail, "Tags": dict(tags)}
