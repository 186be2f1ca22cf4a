"""Training jobs: script mode or a container's own entry point, metrics, model.tar.gz."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from local.sagemaker.container import script_mode
from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import ImageError, base_environment, command
from local.sagemaker.container.objects import DataError, Objects, s3_source, unpack_code
from local.sagemaker.container.process import Command
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.family import JobFamily
from local.sagemaker.job import Job, JobFailedError, read_text
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.training_rules import (
    MESSAGES,
    NOT_DONE,
    check_channel,
    check_resources,
    training_event,
)

DAY = 86_400


class TrainingJob(Job):
    """One training job."""

    kind = "training"
    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, runtime: JobRuntime, name: str, record: Record, tags: Tags) -> None:
        super().__init__(runtime, name, record)
        self._tags = tags
        self._synced: dict[str, tuple[int, int]] = {}
        self._decoded = script_mode.decode_hyperparameters(record.get("HyperParameters", {}))
        self._move("InProgress", "Starting")

    # --- status -----------------------------------------------------------------------------
    def _move(self, status: str, secondary: str) -> None:
        with self.lock:
            now = round(time.time(), 3)
            transitions = self.record.setdefault("SecondaryStatusTransitions", [])
            if transitions:
                transitions[-1].setdefault("EndTime", now)
            entry = {"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]}
            if status in ("Completed", "Failed", "Stopped"):
                entry["EndTime"] = now
            transitions.append(entry)
            self.record.update(
                TrainingJobStatus=status, SecondaryStatus=secondary, LastModifiedTime=now
            )
            detail = training_event(self.record, self._tags.of(self.record["TrainingJobArn"]))
        name = "SageMaker Training Job State Change"
        self.cloud.publish_event("aws.sagemaker", name, detail, [detail["TrainingJobArn"]])

    def _advance(self, secondary: str) -> None:
        with self.lock:
            self.check_stop()
            self._move("InProgress", secondary)

    def running(self) -> None:
        """The process starts."""
        self._advance("Training")

    def stopping(self) -> None:
        """Once: a stop request and the job's thread may both say it."""
        with self.lock:
            if self.record["TrainingJobStatus"] == "InProgress":
                self._move("Stopping", "Stopping")

    def finish(self, status: str, reason: str = "") -> None:
        """Times, metrics and the last transition."""
        with self.lock:
            now = round(time.time(), 3)
            self.record["TrainingEndTime"] = now
            started = self.record.setdefault("TrainingStartTime", now)
            seconds = max(1, round(now - started))
            self.record.update(TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds)
            if self.metrics:
                self.record["FinalMetricDataList"] = [
                    {"MetricName": name, "Value": value, "Timestamp": round(moment, 3)}
                    for name, (value, moment) in self.metrics.items()
                ]
            if reason:
                self.record["FailureReason"] = reason
            over_time = status == "Stopped" and self.timed_out
            self._move(status, "MaxRuntimeExceeded" if over_time else status)
        for name, (value, moment) in self.metrics.items():
            dimensions = {"TrainingJobName": self.name}
            self.cloud.put_metric(self.log_group, name, value, dimensions, timestamp=moment)

    # --- work -------------------------------------------------------------------------------
    def kms_key(self) -> str | None:
        """From the output configuration."""
        return self.record["OutputDataConfig"].get("KmsKeyId") or None

    def metric_definitions(self) -> Sequence[Mapping[str, str]]:
        """From the algorithm specification."""
        found: list[Mapping[str, str]] = self.record["AlgorithmSpecification"].get(
            "MetricDefinitions", []
        )
        return found

    def fetch(self, folder: JobFolder, objects: Objects) -> Command:
        """Channels, checkpoints, configuration, code; then the command."""
        with self.lock:
            self.record["TrainingStartTime"] = round(time.time(), 3)
        self._advance("Downloading")
        for seen in ("input/config", "input/data", "model", "output/data", "code", "checkpoints"):
            folder.make(f"/opt/ml/{seen}")
        for channel in self.record.get("InputDataConfig", []):
            self.check_stop()
            source = s3_source(channel)
            target = folder.make(f"/opt/ml/input/data/{channel['ChannelName']}")
            gunzip = channel.get("CompressionType") == "Gzip"
            objects.fetch(source["S3Uri"], source["S3DataType"], target, gunzip=gunzip)
        self._fetch_checkpoints(folder, objects)
        resources = self._write_configuration(folder)
        spec = self.record["AlgorithmSpecification"]
        environment = {
            **self.runtime.environment(network=not self.record["EnableNetworkIsolation"]),
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.record["TrainingJobArn"],
        }
        if spec.get("ContainerEntrypoint"):
            place = self.runtime.images.environment(spec["TrainingImage"])
            argv = [*spec["ContainerEntrypoint"], *spec.get("ContainerArguments", [])]
            code: dict[str, str] = {}
        else:
            argv, code, extra = self._script(folder, objects, resources)
            place = self._layered(spec["TrainingImage"], extra)
        environment |= base_environment(place, folder.scratch)
        environment |= {**self.runtime.threads(), **code}
        environment |= self.record.get("Environment", {})
        if not folder.private:
            environment["SAGEMAKER_BASE_DIR"] = str(folder.ml)
        network = not self.record["EnableNetworkIsolation"]
        return command(argv, environment, script_mode.CODE, place, network=network)

    def _layered(self, image: str, extra: str) -> Any:
        try:
            return self.runtime.images.environment(image, extra)
        except ImageError as error:
            text = f"AlgorithmError: InstallRequirementsError: {error}, exit code: 1"
            raise JobFailedError(text) from error

    def _script(
        self, folder: JobFolder, objects: Objects, resources: Mapping[str, Any]
    ) -> tuple[list[str], dict[str, str], str]:
        try:
            script = script_mode.find_script(self._decoded, self.record.get("Environment", {}))
        except ValueError as error:
            raise JobFailedError(f"AlgorithmError: {error}, exit code: 1") from error
        target = folder.make(script_mode.CODE)
        if script.submit_directory.startswith("s3://"):
            archive = folder.scratch / "sourcedir.tar.gz"
            objects.fetch_object(script.submit_directory, archive)
            unpack_code(archive, target)
            archive.unlink()
        facts = script_mode.Facts(
            job_name=self.name,
            script=script,
            decoded=self._decoded,
            channels=self._channels(),
            resources=resources,
            cpus=self.runtime.cpus(),
        )
        environment = script_mode.sm_environment(facts)
        args = script_mode.arguments(script_mode.user_hyperparameters(self._decoded))
        requirements = target / "requirements.txt"
        extra = requirements.read_text(encoding="utf-8") if requirements.is_file() else ""
        return script_mode.script_command(script, args), environment, extra

    def _channels(self) -> dict[str, dict[str, Any]]:
        mode = self.record["AlgorithmSpecification"]["TrainingInputMode"]
        return {
            channel["ChannelName"]: {
                **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
                "TrainingInputMode": channel.get("InputMode", mode),
                "S3DistributionType": s3_source(channel).get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            for channel in self.record.get("InputDataConfig", [])
        }

    def _write_configuration(self, folder: JobFolder) -> dict[str, Any]:
        kind = self.record["ResourceConfig"]["InstanceType"]
        group = {
            "instance_group_name": "homogeneousCluster",
            "instance_type": kind,
            "hosts": ["algo-1"],
        }
        resources = {
            "current_host": "algo-1",
            "current_instance_type": kind,
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "instance_groups": [group],
            "network_interface_name": "eth0",
        }
        place = folder.real("/opt/ml/input/config")
        files = {
            "hyperparameters.json": self.record.get("HyperParameters", {}),
            "inputdataconfig.json": self._channels(),
            "resourceconfig.json": resources,
        }
        for name, content in files.items():
            (place / name).write_text(json.dumps(content), encoding="utf-8")
        return resources

    def _fetch_checkpoints(self, folder: JobFolder, objects: Objects) -> None:
        config = self.record.get("CheckpointConfig")
        if config:
            target = folder.make(config.get("LocalPath", "/opt/ml/checkpoints"))
            try:
                objects.fetch(config["S3Uri"], "S3Prefix", target)
            except DataError as error:
                if "No S3 objects found" not in str(error):
                    raise

    def sync(self, folder: JobFolder, objects: Objects) -> None:
        """Checkpoints go to S3 while the job runs."""
        config = self.record.get("CheckpointConfig")
        if config:
            source = folder.make(config.get("LocalPath", "/opt/ml/checkpoints"))
            objects.store(source, config["S3Uri"], self._synced)

    def store(self, folder: JobFolder, objects: Objects, code: int | None) -> None:
        """model.tar.gz unless the script failed; output.tar.gz and checkpoints in any case."""
        with self.lock:
            if self.record["TrainingJobStatus"] == "InProgress":
                self._move("InProgress", "Uploading")
        self.sync(folder, objects)
        base = f"{self.record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"
        model, data = folder.make("/opt/ml/model"), folder.make("/opt/ml/output/data")
        if any(data.iterdir()):
            objects.store_archive(data, f"{base}/output.tar.gz", folder.scratch)
        if code not in (None, 0):
            return
        if self.record["OutputDataConfig"].get("CompressionType") == "NONE":
            artifact = f"{base}/model/"
            objects.store(model, artifact)
        else:
            artifact = f"{base}/model.tar.gz"
            objects.store_archive(model, artifact, folder.scratch)
        with self.lock:
            self.record["ModelArtifacts"] = {"S3ModelArtifacts": artifact}

    def failure(self, folder: JobFolder, code: int) -> str:
        """The failure file's text; else what the toolkit says of a script; else nothing."""
        tail = f", exit code: {code}"
        try:
            text = read_text(folder.real("/opt/ml/output/failure"))
        except UnicodeDecodeError:
            text = "the failure file is not UTF-8 text"
        if text is None and self.record["AlgorithmSpecification"].get("ContainerEntrypoint"):
            text = ""
        if text is None:
            last = "\n".join(line for line in self.last_lines[-5:] if line.strip())
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{last}"'
        head = "AlgorithmError: "
        return head + text.strip()[: 1024 - len(head) - len(tail)] + tail


class TrainingJobs(JobFamily[TrainingJob]):
    """CreateTrainingJob and its siblings."""

    kind = "Training"
    missing = "Requested resource not found."
    taken = (
        "Training job names must be unique within an AWS account and region, and a training job "
        "with this name already exists ({arn})"
    )

    def build(self, name: str, record: Record) -> TrainingJob:
        """The job itself."""
        return TrainingJob(self.runtime, name, record, self.tags)

    def accept(self, parameters: Record, arn: str) -> Record:
        """Refuse what is not done here, fill in AWS's defaults."""
        self._refuse_not_done(parameters)
        record = {name: value for name, value in parameters.items() if name != "Tags"}
        record["AlgorithmSpecification"].setdefault("EnableSageMakerMetricsTimeSeries", False)
        for channel in record.get("InputDataConfig", []):
            channel.setdefault("CompressionType", "None")
            channel.setdefault("RecordWrapperType", "None")
            s3_source(channel).setdefault(  # type: ignore[attr-defined] # it is a dict of the request
                "S3DataDistributionType", "FullyReplicated"
            )
        record["OutputDataConfig"].setdefault("KmsKeyId", "")
        record.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", DAY)
        for switch in (
            "EnableNetworkIsolation",
            "EnableInterContainerTrafficEncryption",
            "EnableManagedSpotTraining",
        ):
            record.setdefault(switch, False)
        self.runtime.check_isolation(record["EnableNetworkIsolation"])
        self.runtime.check_role(record["RoleArn"])
        now = round(time.time(), 3)
        record.update(TrainingJobArn=arn, CreationTime=now, ProfilingStatus="Disabled")
        return record

    def _refuse_not_done(self, parameters: Record) -> None:
        for name, words in NOT_DONE.items():
            if parameters.get(name):
                raise unsupported(f"{words} ({name})")
        if not parameters.get("ProfilerConfig", {}).get("DisableProfiler", True):
            raise unsupported("Profiler (ProfilerConfig)")
        spec = parameters.get("AlgorithmSpecification")
        resources = parameters.get("ResourceConfig")
        for name, value in (("algorithmSpecification", spec), ("resourceConfig", resources)):
            if not value:
                raise invalid(
                    f"1 validation error detected: Value null at '{name}' failed to satisfy "
                    "constraint: Member must not be null"
                )
        if not spec or not spec.get("TrainingImage"):
            raise unsupported("training without AlgorithmSpecification.TrainingImage")
        self.runtime.check_image(spec["TrainingImage"])
        if spec.get("TrainingImageConfig"):
            raise unsupported("TrainingImageConfig")
        check_resources(resources or {})
        for channel in parameters.get("InputDataConfig", []):
            check_channel(channel, channel.get("InputMode", spec["TrainingInputMode"]))
        names = [channel["ChannelName"] for channel in parameters.get("InputDataConfig", [])]
        if len(names) != len(set(names)):
            raise invalid("Channel names in InputDataConfig must be unique.")
