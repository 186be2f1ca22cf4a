"""What the local cloud does of training jobs, what AWS says at each step, and the event."""

from collections.abc import Mapping
from typing import Any

from local.sagemaker.errors import unsupported

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


def training_event(record: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The event's detail: Describe's members, times as text of epoch milliseconds, tags a map."""

    def spelled(name: str, value: Any) -> Any:
        if name.endswith("Time"):
            return str(int(value * 1000))
        if isinstance(value, dict):
            return {key: spelled(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [spelled("", item) for item in value]
        return value

    detail = {name: spelled(name, record[name]) for name in EVENT_MEMBERS if name in record}
    return {**detail, "Tags": dict(tags)}
