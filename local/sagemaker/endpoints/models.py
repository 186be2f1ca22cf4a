"""Models: an image, an artifact and an environment under one name."""

from collections.abc import Mapping
from typing import Any, cast

from botocore.exceptions import ClientError

from local.sagemaker.container.objects import DataError, split_uri
from local.sagemaker.errors import invalid, unsupported
from local.sagemaker.packages import Packages
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

NOT_DONE = {
    "ImageConfig": "images from a private registry (ImageConfig)",
    "AdditionalModelDataSources": "additional model data (AdditionalModelDataSources)",
    "ContainerMetricsConfig": "metrics of containers (ContainerMetricsConfig)",
    "InferenceSpecificationName": "further inference specifications (InferenceSpecificationName)",
}


class ModelRules:
    """What CreateModel refuses, and what it fills in."""

    def __init__(self, runtime: JobRuntime, packages: Packages) -> None:
        self._runtime = runtime
        self._packages = packages

    def check(self, record: Record) -> Record:
        """The record that DescribeModel shows; raises AWS's error or names what is not done."""
        if record.get("InferenceExecutionConfig"):
            raise unsupported("InferenceExecutionConfig")
        role = record.get("ExecutionRoleArn")
        if role is not None:
            self._runtime.check_role(role)
        isolated = record.setdefault("EnableNetworkIsolation", False)
        self._runtime.check_isolation(isolated)
        self._check_container(container_of(record), role)
        return record

    def _check_container(self, container: Record, role: str | None) -> None:
        for name, words in NOT_DONE.items():
            if container.get(name):
                raise unsupported(words)
        container.setdefault("Mode", "SingleModel")
        check_mode(container)
        if container.get("ModelPackageName"):
            self._adopt_package(container)
        if not container.get("Image"):
            raise invalid("Container Image must be provided unless ModelPackageName is.")
        self._check_image(container["Image"])
        container.setdefault("Environment", {})
        self._check_data(container, role)

    def _check_image(self, image: str) -> None:
        self._runtime.check_image(image)
        found = self._runtime.images.shelf.find(image)
        if found is not None and not found.serve:
            raise unsupported(f"serving models with the image {image}")

    def _adopt_package(self, container: Record) -> None:
        """The image, artifact and environment of a registered version, if it is approved."""
        for name in ("Image", "ModelDataUrl", "ModelDataSource"):
            if container.get(name):
                raise invalid(f"{name} must not be given beside ModelPackageName.")
        found = self._packages.describe({"ModelPackageName": container["ModelPackageName"]})
        arn, approval = found["ModelPackageArn"], found["ModelApprovalStatus"]
        if approval != "Approved":
            raise invalid(
                f"The model package {arn} has the approval status {approval}; "
                "only an Approved version can be deployed."
            )
        containers = found.get("InferenceSpecification", {}).get("Containers", [])
        if len(containers) != 1:
            raise unsupported(f"a model package with {len(containers)} containers ({arn})")
        source = containers[0]
        for name in ("Image", "ModelDataUrl", "ModelDataSource"):
            if source.get(name):
                container[name] = source[name]
        container["Environment"] = {
            **source.get("Environment", {}),
            **container.get("Environment", {}),
        }

    def _check_data(self, container: Mapping[str, Any], role: str | None) -> None:
        """The artifact must be there and readable, as AWS checks when a model is created."""
        source = container.get("ModelDataSource")
        if source and container.get("ModelDataUrl"):
            raise invalid("Only one of ModelDataUrl and ModelDataSource can be given.")
        if source:
            check_source(source)
        uri = data_uri(container)
        if uri is None:
            return
        try:
            bucket, key = split_uri(uri)
        except DataError as error:
            raise invalid(f"Invalid model data: {error}.") from error
        s3 = self._runtime.s3()
        try:
            if is_multi_model(container) or is_prefix(container):
                found = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount", 0)
            else:
                found = bool(s3.head_object(Bucket=bucket, Key=key))
        except ClientError:
            found = 0
        if not found:
            raise invalid(
                f"Could not find model data at {uri}. Please ensure that the object exists and "
                f"that the role {role or '(none given)'} may read it."
            )


def container_of(record: Mapping[str, Any]) -> Record:
    """A model's only container; inference pipelines are refused by name."""
    primary, several = record.get("PrimaryContainer"), record.get("Containers")
    if primary and several:
        raise invalid("Both PrimaryContainer and Containers are given; only one can be.")
    if primary:
        return cast("Record", primary)
    if not several:
        raise invalid("One of PrimaryContainer and Containers must be given.")
    if len(several) > 1:
        raise unsupported(f"inference pipelines (Containers holds {len(several)})")
    return cast("Record", several[0])


def check_mode(container: Mapping[str, Any]) -> None:
    """A multi-model container has a prefix for its models; another one has no settings of them."""
    settings = container.get("MultiModelConfig")
    if not is_multi_model(container):
        if settings:
            raise invalid("MultiModelConfig must only be given with the Mode MultiModel.")
        return
    if (settings or {}).get("ModelCacheSetting") == "Disabled":
        raise unsupported("models that are not kept loaded (ModelCacheSetting Disabled)")
    for name in ("ModelPackageName", "ModelDataSource"):
        if container.get(name):
            raise unsupported(f"{name} of a multi-model container")
    url = container.get("ModelDataUrl")
    if not url:
        raise invalid("A container with the Mode MultiModel needs ModelDataUrl.")
    if url.endswith(".tar.gz"):
        raise invalid(
            f"The ModelDataUrl of a container with the Mode MultiModel is the prefix of its "
            f"models' archives, not an archive: {url}"
        )


def is_multi_model(container: Mapping[str, Any]) -> bool:
    """Whether the container loads models as they are asked for."""
    return container.get("Mode") == "MultiModel"


def check_source(source: Mapping[str, Any]) -> None:
    """Refuse by name what a ModelDataSource may ask for and nobody does here."""
    place = source.get("S3DataSource")
    if not place:
        raise invalid("ModelDataSource needs S3DataSource.")
    for name in ("ModelAccessConfig", "HubAccessConfig", "ManifestS3Uri", "ManifestEtag"):
        if place.get(name):
            raise unsupported(f"ModelDataSource.S3DataSource.{name}")
    if place["CompressionType"] == "Gzip" and place["S3DataType"] != "S3Object":
        raise invalid("CompressionType Gzip needs S3DataType S3Object.")
    if place["S3DataType"] == "S3Prefix" and not place["S3Uri"].endswith("/"):
        raise invalid(f"The S3Uri of an S3Prefix must end with a slash: {place['S3Uri']}")


def data_uri(container: Mapping[str, Any]) -> str | None:
    """Where the artifact lies; None for a model without one."""
    source = container.get("ModelDataSource")
    found: str | None = source["S3DataSource"]["S3Uri"] if source else container.get("ModelDataUrl")
    return found


def is_prefix(container: Mapping[str, Any]) -> bool:
    """Whether the artifact is a folder of S3 objects."""
    source = container.get("ModelDataSource")
    return source is not None and source["S3DataSource"]["S3DataType"] == "S3Prefix"


def is_archive(container: Mapping[str, Any]) -> bool:
    """Whether the artifact is one tar.gz that SageMaker unpacks."""
    source = container.get("ModelDataSource")
    return not source or source["S3DataSource"]["CompressionType"] == "Gzip"
