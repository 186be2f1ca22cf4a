"""What the local cloud does of training jobs, what AWS says at each step, and the event."""

import re
from collections.abc import Mapping
from typing import Any

from local.sagemaker.container.folders import OPT_ML
from local.sagemaker.errors import invalid, unsupported

DAY = 86_400
CHECKPOINTS = "/opt/ml/checkpoints"
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "Interrupted": "The managed spot training instances were interrupted",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
EVENT_MEMBERS = [
    "TrainingJobName",
    "TrainingJobArn",
    "TrainingJobStatus",
    "SecondaryStatus",
    "HyperParameters",
    "AlgorithmSpecification",
    "ModelArtifacts",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "SecondaryStatusTransitions",
    "FinalMetricDataList",
    "EnableNetworkIsolation",
    "Environment",
    "FailureReason",
]
NOT_DONE = {
    "TensorBoardOutputConfig": "TensorBoard output",
    "DebugHookConfig": "Debugger",
    "DebugRuleConfigurations": "Debugger",
    "ProfilerRuleConfigurations": "Profiler",
    "ExperimentConfig": "experiments",
    "RemoteDebugConfig": "remote debugging",
    "SessionChainingConfig": "session chaining",
    "ServerlessJobConfig": "serverless jobs",
    "MlflowConfig": "MLflow",
    "ModelPackageConfig": "model packages as a job's output",
}


def check_resources(resources: Mapping[str, Any]) -> None:
    """One instance, named by its type; refuse the rest by name."""
    for name in ("InstanceType", "VolumeSizeInGB"):
        if resources.get(name) is None:
            raise unsupported(f"training without ResourceConfig.{name}")
    if resources.get("InstanceCount", 1) != 1:
        raise unsupported("training on more than one instance (ResourceConfig.InstanceCount)")
    for name in ("InstanceGroups", "KeepAlivePeriodInSeconds", "TrainingPlanArn"):
        if resources.get(name):
            raise unsupported(f"ResourceConfig.{name}")


def check_channel(channel: Mapping[str, Any], mode: str) -> None:
    """Files from S3; refuse the rest by name."""
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise unsupported(f"a data source other than S3 (channel {name})")
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise unsupported(f"S3DataType {source['S3DataType']} (channel {name})")
    if mode not in ("File", "FastFile"):
        raise unsupported(f"input mode {mode} (channel {name})")
    if channel.get("RecordWrapperType", "None") != "None":
        raise unsupported(f"RecordWrapperType {channel['RecordWrapperType']} (channel {name})")
    if channel.get("ShuffleConfig"):
        raise unsupported(f"ShuffleConfig (channel {name})")


def check_spot(parameters: Mapping[str, Any]) -> None:
    """The times of a managed spot job, and where it keeps its checkpoints."""
    condition = parameters.get("StoppingCondition", {})
    wait = condition.get("MaxWaitTimeInSeconds")
    if not parameters.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It is only supported when "
                "EnableManagedSpotTraining is set to true"
            )
    elif wait is None or wait < condition.get("MaxRuntimeInSeconds", DAY):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )
    path = parameters.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS)
    parts = path.rstrip("/").split("/")
    if not path.startswith(OPT_ML + "/") or ".." in parts:
        raise unsupported(f"CheckpointConfig.LocalPath {path} (only folders below {OPT_ML}/)")


def check_metrics(parameters: Mapping[str, Any], *, built_in: bool) -> None:
    """Each regular expression must be one; SageMaker's own algorithms let nobody define any."""
    definitions = parameters["AlgorithmSpecification"].get("MetricDefinitions", [])
    if built_in and definitions:
        raise invalid(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please "
            "retry the request without specifying metric definitions."
        )
    if built_in and "sagemaker_program" in parameters.get("HyperParameters", {}):
        raise unsupported("script mode in the image of a built-in algorithm (sagemaker_program)")
    for definition in definitions:
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise invalid(
                f"Invalid regular expression {definition['Regex']!r} of the metric "
                f"{definition['Name']}: {error}"
            ) from error


def training_event(record: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The event's detail: Describe's members, times as text of epoch milliseconds, tags a map."""

    detail = {name: spelled(name, record[name]) for name in EVENT_MEMBERS if name in record}
    return {**detail, "Tags": dict(tags)}


def spelled(name: str, value: Any) -> Any:
    """A member's value as events show it: times are text of epoch milliseconds."""
    if name.endswith("Time"):
        return str(int(value * 1000))
    if isinstance(value, dict):
        return {key: spelled(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled("", item) for item in value]
    return value
