"""What CreateEndpointConfig refuses, and what it fills in."""

from collections.abc import Callable, Mapping
from typing import Any

from local.sagemaker.container.objects import DataError, split_uri
from local.sagemaker.endpoints.models import container_of, is_multi_model
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

NOT_DONE = {
    "ShadowProductionVariants": "shadow variants (ShadowProductionVariants)",
    "AsyncInferenceConfig": "asynchronous inference (AsyncInferenceConfig)",
    "ExplainerConfig": "online explanations (ExplainerConfig)",
    "CrossRegionTrafficConfig": "CrossRegionTrafficConfig",
    "MetricsConfig": "MetricsConfig",
}
VARIANT_NOT_DONE = (
    "AcceleratorType",
    "AcceleratorPartitionLayouts",
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "EnableSSMAccess",
    "InferenceAmiVersion",
    "InstancePools",
    "ManagedInstanceScaling",
    "VariantInstanceProvisionTimeoutInSeconds",
)
STRATEGIES = ("LEAST_OUTSTANDING_REQUESTS", "RANDOM")
MEMORY_SIZES = (1024, 2048, 3072, 4096, 5120, 6144)


class ConfigRules:
    """`find_model` raises AWS's error for a model that does not exist."""

    def __init__(self, runtime: JobRuntime, find_model: Callable[[str], Record]) -> None:
        self._runtime = runtime
        self._find_model = find_model

    def check(self, record: Record) -> Record:
        """The record that DescribeEndpointConfig shows."""
        for name, words in NOT_DONE.items():
            if record.get(name):
                raise unsupported(words)
        if record.get("ExecutionRoleArn"):
            self._runtime.check_role(record["ExecutionRoleArn"])
        self._runtime.check_isolation(record.setdefault("EnableNetworkIsolation", False))
        variants = record["ProductionVariants"]
        names = [variant["VariantName"] for variant in variants]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise invalid(f"Variant names must be unique; these are not: {', '.join(doubles)}.")
        for variant in variants:
            self._check_variant(variant, record)
        if not any(variant["InitialVariantWeight"] for variant in variants):
            raise invalid("At least one variant must have an InitialVariantWeight above 0.")
        if any(variant.get("ServerlessConfig") for variant in variants):
            check_serverless(record)
        if record.get("DataCaptureConfig"):
            check_capture(record["DataCaptureConfig"])
        return record

    def _check_variant(self, variant: Record, config: Record) -> None:
        name = variant["VariantName"]
        for member in VARIANT_NOT_DONE:
            if variant.get(member):
                raise unsupported(f"{member} (variant {name})")
        if not variant.get("ModelName"):
            raise unsupported(f"inference components: a variant without ModelName ({name})")
        model = self._find_model(variant["ModelName"])
        if is_multi_model(container_of(model)):
            check_multi_model(config, variant)
        strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy", STRATEGIES[0])
        if strategy not in STRATEGIES:
            raise unsupported(f"RoutingStrategy {strategy} (variant {name})")
        variant.setdefault("InitialVariantWeight", 1.0)
        check_capacity(variant, model)


def check_capacity(variant: Record, model: Record) -> None:
    """Instances, or a serverless variant's size, and never both."""
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    if serverless:
        check_serverless_variant(name, serverless, model)
    for member in ("InstanceType", "InitialInstanceCount"):
        if serverless and variant.get(member):
            raise invalid(f"Variant {name}: {member} and ServerlessConfig exclude each other.")
        if not serverless and not variant.get(member):
            raise invalid(f"Variant {name} needs {member}, or a ServerlessConfig.")


def check_serverless(record: Mapping[str, Any]) -> None:
    """AWS's exclusions: one variant, no capture, no network settings."""
    variants = record["ProductionVariants"]
    if len(variants) > 1:
        raise invalid("Serverless endpoints can have only one production variant.")
    for name in ("DataCaptureConfig", "VpcConfig", "EnableNetworkIsolation"):
        if record.get(name):
            raise invalid(f"{name} is not supported for serverless endpoints.")


def check_serverless_variant(name: str, settings: Mapping[str, Any], model: Record) -> None:
    """Sizes, and what AWS excludes of the model."""
    size = settings["MemorySizeInMB"]
    if size not in MEMORY_SIZES:
        sizes = ", ".join(map(str, MEMORY_SIZES))
        raise invalid(f"MemorySizeInMB is {size}; it must be one of {sizes}.")
    if settings.get("ProvisionedConcurrency"):
        raise unsupported(f"ProvisionedConcurrency (variant {name})")
    for member in ("VpcConfig", "EnableNetworkIsolation"):
        if model.get(member):
            raise invalid(
                f"{member} of the model {model['ModelName']} is not supported for serverless "
                "endpoints."
            )


def check_multi_model(config: Mapping[str, Any], variant: Mapping[str, Any]) -> None:
    """What AWS excludes for several models in one container."""
    name = variant["VariantName"]
    if variant.get("ServerlessConfig"):
        raise invalid(f"Variant {name}: multi-model endpoints cannot be serverless.")
    if config.get("DataCaptureConfig"):
        raise invalid("DataCaptureConfig is not supported for multi-model endpoints.")


def check_capture(capture: Mapping[str, Any]) -> None:
    """A destination that is S3's, and each mode once."""
    try:
        split_uri(capture["DestinationS3Uri"])
    except DataError as error:
        raise invalid(f"DataCaptureConfig.DestinationS3Uri: {error}.") from error
    modes = [option["CaptureMode"] for option in capture["CaptureOptions"]]
    if len(modes) != len(set(modes)):
        raise invalid(f"DataCaptureConfig.CaptureOptions names a mode twice: {', '.join(modes)}.")
