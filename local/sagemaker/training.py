"""Training jobs: script mode or a container's own entry point, metrics, model.tar.gz."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.sagemaker.container import script_mode
from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import ImageError, base_environment, command
from local.sagemaker.container.objects import DataError, Objects, marks, s3_source, unpack_code
from local.sagemaker.container.process import Command
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.family import JobFamily
from local.sagemaker.job import Job, JobFailedError, JobStoppedError, read_text
from local.sagemaker.measurements import Measurement, publish
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.training_rules import (
    CHECKPOINTS,
    DAY,
    MESSAGES,
    NOT_DONE,
    check_channel,
    check_metrics,
    check_resources,
    check_spot,
    training_event,
)

ERROR = re.compile(r"(Client|Algorithm)Error: ")
LOOK_SECONDS = 0.05  # between two looks at a spot job that is to be interrupted


class TrainingJob(Job):
    """One training job."""

    kind = "training"
    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, runtime: JobRuntime, name: str, record: Record, tags: Tags) -> None:
        super().__init__(runtime, name, record)
        self._tags = tags
        self._synced: dict[str, tuple[int, int]] = {}
        self._restored: dict[str, tuple[int, int]] = {}
        self._fresh: set[str] = set()
        self._spot = _SpotTimes()
        self.follower: Callable[[Sequence[Measurement]], None] | None = None
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
            self._spot.machine_left()
            self.record.update(
                TrainingTimeInSeconds=max(1, round(now - started)),
                BillableTimeInSeconds=max(1, round(self._spot.ran)),
            )
            if self.metrics:
                self.record["FinalMetricDataList"] = [
                    {"MetricName": name, "Value": value, "Timestamp": round(moment, 3)}
                    for name, (value, moment) in self.metrics.items()
                ]
            if reason:
                self.record["FailureReason"] = reason
            over_time = self.timed_out if status == "Stopped" else ""
            self._move(status, over_time or status)

    def measure(self, measurements: Sequence[Measurement]) -> None:
        """What the job prints is in CloudWatch while it runs."""
        dimensions = {"TrainingJobName": self.name}
        publish(self.cloud.metrics, self.log_group, dimensions, measurements)
        if self.follower is not None:
            self.follower(measurements)

    # --- spot -------------------------------------------------------------------------------
    def limit(self) -> tuple[float, str]:
        """The run time counts over all machines; a spot job may also wait too long."""
        condition = self.record["StoppingCondition"]
        run = float(condition["MaxRuntimeInSeconds"]) - self._spot.ran_before
        wait = self._wait_left()
        return (run, "MaxRuntimeExceeded") if run <= wait else (wait, "MaxWaitTimeExceeded")

    def _wait_left(self) -> float:
        most = self.record["StoppingCondition"].get("MaxWaitTimeInSeconds")
        return float("inf") if most is None else most - self._spot.age

    def look_seconds(self) -> float:
        """Often while an interruption is planned."""
        spot = self.record["EnableManagedSpotTraining"] and self.cloud.faults.interrupting
        return LOOK_SECONDS if spot else super().look_seconds()

    def is_due(self, folder: JobFolder, seconds: float) -> bool:
        """Whether the faults in force interrupt this spot job now."""
        if not (self.record["EnableManagedSpotTraining"] and self.cloud.faults.interrupting):
            return False
        place = folder.make(self._checkpoint_path())
        fresh = {name for name, mark in marks(place).items() if self._restored.get(name) != mark}
        # A file that outlives two looks is a checkpoint; a temporary one is gone by then.
        lasting, self._fresh = bool(fresh & self._fresh), fresh
        found = self.cloud.faults.interrupts(self.name, seconds, lasting)
        if found is not None:
            self._spot.pause = found.capacity_after_seconds
        return found is not None

    def await_capacity(self) -> None:
        """Interrupted, until there is a machine again or the job has waited too long."""
        with self.lock:
            self.check_stop()
            self._spot.machine_left()
            self._move("InProgress", "Interrupted")
        back = time.monotonic() + self._spot.pause
        while (left := back - time.monotonic()) > 0:
            self.check_stop()
            if self._wait_left() <= 0:
                self.timed_out = "MaxWaitTimeExceeded"
                self.stopping()
                raise JobStoppedError
            self._wake.wait(max(0.0, min(left, self._wait_left())))
            self._wake.clear()
        self._advance("Starting")

    # --- work -------------------------------------------------------------------------------
    def kms_key(self) -> str | None:
        """From the output configuration."""
        return self.record["OutputDataConfig"].get("KmsKeyId") or None

    def metric_definitions(self) -> Sequence[Mapping[str, str]]:
        """From the algorithm specification; SageMaker defines those of its own algorithms."""
        spec = self.record["AlgorithmSpecification"]
        image = self.runtime.images.shelf.find(spec["TrainingImage"])
        if image is not None and image.is_built_in:
            return image.metrics
        found: list[Mapping[str, str]] = spec.get("MetricDefinitions", [])
        return found

    def fetch(self, folder: JobFolder, objects: Objects) -> Command:
        """Channels, checkpoints, configuration, code; then the command."""
        with self.lock:
            self.record.setdefault("TrainingStartTime", round(time.time(), 3))
            self._spot.machine_came()
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
        image = self.runtime.images.shelf.find(spec["TrainingImage"])
        code: dict[str, str] = {}
        if spec.get("ContainerEntrypoint"):
            place = self.runtime.images.environment(spec["TrainingImage"])
            argv = [*spec["ContainerEntrypoint"], *spec.get("ContainerArguments", [])]
        elif image is not None and image.train:
            # `docker run <image> train`, as SageMaker starts every container of its own accord.
            place = self._layered(spec["TrainingImage"], "")
            argv = [*image.train, "train"]
            code = {"PYTHONPATH": self.runtime.images.path()} if image.is_built_in else {}
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
            if self.record["EnableNetworkIsolation"]:
                raise JobFailedError(
                    "AlgorithmError: the container has no network (EnableNetworkIsolation) and "
                    f"cannot fetch its code from {script.submit_directory}; give it as a channel, "
                    "exit code: 1"
                )
            archive = folder.scratch / "sourcedir.tar.gz"
            objects.fetch_object(script.submit_directory, archive)
            unpack_code(archive, target)
            archive.unlink()
        else:
            self._unpack_channel(folder, script.submit_directory, target)
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

    def _unpack_channel(self, folder: JobFolder, source: str, target: Path) -> None:
        """Code that came with the data, as the toolkit takes it: an archive in the container."""
        try:
            archive = folder.real(source)
        except ValueError as error:
            raise JobFailedError(f"AlgorithmError: {error}, exit code: 1") from error
        if not archive.is_file():
            raise JobFailedError(
                f"AlgorithmError: sagemaker_submit_directory names {source}, which the container "
                "does not have, exit code: 1"
            )
        unpack_code(archive, target)

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

    def _checkpoint_path(self) -> str:
        path: str = self.record.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS)
        return path

    def _fetch_checkpoints(self, folder: JobFolder, objects: Objects) -> None:
        config = self.record.get("CheckpointConfig")
        target = folder.make(self._checkpoint_path())
        if config:
            try:
                objects.fetch(config["S3Uri"], "S3Prefix", target)
            except DataError as error:
                if "No S3 objects found" not in str(error):
                    raise
        self._restored, self._fresh = marks(target), set[str]()
        self._synced = dict(self._restored)

    def sync(self, folder: JobFolder, objects: Objects) -> None:
        """Checkpoints go to S3 while the job runs."""
        config = self.record.get("CheckpointConfig")
        if config:
            source = folder.make(self._checkpoint_path())
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
        spec = self.record["AlgorithmSpecification"]
        image = self.runtime.images.shelf.find(spec["TrainingImage"])
        if text is None and (spec.get("ContainerEntrypoint") or (image and image.train)):
            text = ""
        if text is None:
            last = "\n".join(line for line in self.last_lines[-5:] if line.strip())
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{last}"'
        text = text.strip()
        # An algorithm of SageMaker's says itself whose fault it is.
        head = "" if image and image.is_built_in and ERROR.match(text) else "AlgorithmError: "
        return head + text[: 1024 - len(head) - len(tail)] + tail


class _SpotTimes:
    """When a job has had a machine; all in real seconds."""

    def __init__(self) -> None:
        self.pause = 0.0  # until there is capacity after the last interruption
        self.ran_before = 0.0  # on machines that have been left
        self._created = time.monotonic()
        self._came: float | None = None

    @property
    def age(self) -> float:
        """Since the job was created."""
        return time.monotonic() - self._created

    @property
    def ran(self) -> float:
        """On all machines so far."""
        return self.ran_before + (0.0 if self._came is None else time.monotonic() - self._came)

    def machine_came(self) -> None:
        """A machine begins to work for the job."""
        self._came = time.monotonic()

    def machine_left(self) -> None:
        """The machine is gone or done."""
        self.ran_before, self._came = self.ran, None


class TrainingJobs(JobFamily[TrainingJob]):
    """CreateTrainingJob and its siblings."""

    kind = "Training"
    path = "training-job"
    words = "training job"
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
        image = self.runtime.images.shelf.find(spec["TrainingImage"])
        check_metrics(parameters, built_in=image is not None and image.is_built_in)
        check_spot(parameters)
        if spec.get("TrainingImageConfig"):
            raise unsupported("TrainingImageConfig")
        check_resources(resources or {})
        for channel in parameters.get("InputDataConfig", []):
            check_channel(channel, channel.get("InputMode", spec["TrainingInputMode"]))
        names = [channel["ChannelName"] for channel in parameters.get("InputDataConfig", [])]
        if len(names) != len(set(names)):
            raise invalid("Channel names in InputDataConfig must be unique.")
