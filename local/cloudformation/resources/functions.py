"""AWS Lambda: functions, layers, versions and aliases."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    only,
    pick,
    tag_changes,
    words,
)
from local.cloudformation.resources.s3 import object_bytes

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_LIMIT = 262_144_000
ENVIRONMENT_LIMIT = 4096
LAYER_LIMIT = 5
MEMORY_LIMIT = 10_240
_CONFIGURATION = (
    "Description",
    "DeadLetterConfig",
    "Environment",
    "EphemeralStorage",
    "Handler",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
    "TracingConfig",
    "VpcConfig",
)
_UNSET: dict[str, Any] = {
    "Description": "",
    "DeadLetterConfig": {},
    "Environment": {"Variables": {}},
    "Layers": [],
    "MemorySize": 128,
    "Timeout": 3,
    "TracingConfig": {"Mode": "PassThrough"},
    "KMSKeyArn": "",
    "EphemeralStorage": {"Size": 512},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}
GONE = "ResourceNotFoundException"


class Function(ResourceType):
    """AWS::Lambda::Function."""

    type_name = "AWS::Lambda::Function"
    carried_out = words(
        "Code FunctionName Architectures PackageType ReservedConcurrentExecutions Tags "
        + " ".join(_CONFIGURATION)
    )
    attributes = words("Arn")
    custom_name = "FunctionName"

    def problems(self, properties: Properties) -> list[str]:
        """Check what a zip function needs, and Lambda's quotas."""
        found = []
        if properties.get("PackageType", "Zip") != "Zip" or "ImageUri" in properties["Code"]:
            return ["Property PackageType: Image is not supported by the local cloud"]
        for key in ("Handler", "Runtime"):
            if not properties.get(key):
                found.append(
                    f"{key} is mandatory for functions created with deployment packages "
                    "in Zip format"
                )
        if not {"ZipFile", "S3Bucket"} & set(properties["Code"]):
            found.append("Please provide a source for function code")
        variables = properties.get("Environment", {}).get("Variables", {})
        found += [
            f"#/Environment/Variables/{key}: expected type: String, found: a list or map"
            for key, value in variables.items()
            if isinstance(value, (dict, list))
        ]
        size = len(json.dumps(variables, separators=(",", ":")).encode())
        if size > ENVIRONMENT_LIMIT:
            found.append(
                "Lambda was unable to configure your environment variables because the "
                "environment variables you have provided exceeded the 4KB limit. "
                f"({size} bytes)"
            )
        if int(properties.get("MemorySize", MEMORY_LIMIT)) > MEMORY_LIMIT:
            found.append(f"#/MemorySize: {properties['MemorySize']} is not less or equal to 10240")
        if len(properties.get("Layers", [])) > LAYER_LIMIT:
            found.append("Layers list exceeds the maximum of 5 layers")
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the function from its package, layers and role."""
        client = context.client("lambda")
        name = context.name(properties.get("FunctionName"), 64)
        self._check_role(context, properties)
        code = self._code(context, properties)
        client.create_function(
            FunctionName=name,
            Code=code,
            PackageType="Zip",
            Tags=context.tags(properties.get("Tags")),
            **_configuration(properties),
            **pick(properties, "Architectures"),
        )
        context.claim(name)
        self._reserve(client, name, properties)
        return Made(name, {"Arn": context.arn("lambda", f"function:{name}")})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Update code and configuration where they differ."""
        client, name = context.client("lambda"), made.physical_id
        self._check_role(context, new)
        if any(old.get(key) != new.get(key) for key in ("Code", "Architectures", "Layers")):
            code = self._code(context, new)
            if old["Code"] != new["Code"] or old.get("Architectures") != new.get("Architectures"):
                client.update_function_code(FunctionName=name, **code, **pick(new, "Architectures"))
        before, after = _configuration(old), _configuration(new)
        changes = {key: value for key, value in after.items() if value != before.get(key)}
        changes.update({key: _UNSET[key] for key in _UNSET if key in before and key not in after})
        if changes:
            client.update_function_configuration(FunctionName=name, **changes)
        if old.get("ReservedConcurrentExecutions") != new.get("ReservedConcurrentExecutions"):
            self._reserve(client, name, new)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        arn = context.arn("lambda", f"function:{name}")
        if wanted:
            client.tag_resource(Resource=arn, Tags=wanted)
        if gone:
            client.untag_resource(Resource=arn, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the function."""
        del properties
        with absent_is_done(GONE):
            context.client("lambda").delete_function(FunctionName=made.physical_id)

    @staticmethod
    def _reserve(client: Any, name: str, properties: Properties) -> None:
        reserved = properties.get("ReservedConcurrentExecutions")
        if reserved is not None:
            client.put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=reserved
            )
        else:
            with absent_is_done(GONE):
                client.delete_function_concurrency(FunctionName=name)

    @staticmethod
    def _check_role(context: Context, properties: Properties) -> None:
        name = str(properties["Role"]).rsplit("/", 1)[-1]
        try:
            role = context.client("iam").get_role(RoleName=name)["Role"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            role = None
        if role is None or "lambda.amazonaws.com" not in json.dumps(
            role["AssumeRolePolicyDocument"]
        ):
            raise ResourceError("The role defined for the function cannot be assumed by Lambda.")

    @staticmethod
    def _code(context: Context, properties: Properties) -> dict[str, Any]:
        code = dict(properties["Code"])
        only("Code", code, "S3Bucket S3Key S3ObjectVersion ZipFile")
        if "ZipFile" in code:
            return {"ZipFile": _inline(str(properties["Runtime"]), code["ZipFile"])}
        total = _unzipped(context, code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))
        for arn in properties.get("Layers", []):
            total += _layer_size(context, arn)
        if total > UNZIPPED_LIMIT:
            raise ResourceError(
                f"Function code combined with layers exceeds the maximum allowed "
                f"size of {UNZIPPED_LIMIT} bytes. The actual size is {total} bytes."
            )
        return code


def _configuration(properties: Properties) -> dict[str, Any]:
    configuration = pick(properties, *_CONFIGURATION)
    if "Variables" in configuration.get("Environment", {}):
        variables = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in configuration["Environment"]["Variables"].items()
        }
        configuration["Environment"] = {"Variables": variables}
    if "KmsKeyArn" in configuration:
        configuration["KMSKeyArn"] = configuration.pop("KmsKeyArn")
    return configuration


class LayerVersion(ResourceType):
    """AWS::Lambda::LayerVersion."""

    type_name = "AWS::Lambda::LayerVersion"
    carried_out = words(
        "LayerName Content Description LicenseInfo CompatibleRuntimes CompatibleArchitectures"
    )
    attributes = words("LayerVersionArn")
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Publish the layer's next version."""
        content = properties["Content"]
        only("Content", content, "S3Bucket S3Key S3ObjectVersion")
        size = _unzipped(
            context, content["S3Bucket"], content["S3Key"], content.get("S3ObjectVersion")
        )
        if size > UNZIPPED_LIMIT:
            raise ResourceError(
                f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes. It is {size} bytes."
            )
        published = context.client("lambda").publish_layer_version(
            LayerName=context.name(properties.get("LayerName"), 140),
            Content=content,
            **pick(
                properties,
                "Description",
                "LicenseInfo",
                "CompatibleRuntimes",
                "CompatibleArchitectures",
            ),
        )
        arn = published["LayerVersionArn"]
        _LAYER_SIZES[arn] = size
        return Made(arn, {"LayerVersionArn": arn})

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the version."""
        del properties
        layer, version = made.physical_id.rsplit(":", 1)
        with absent_is_done(GONE):
            context.client("lambda").delete_layer_version(
                LayerName=layer, VersionNumber=int(version)
            )


class Version(ResourceType):
    """AWS::Lambda::Version."""

    type_name = "AWS::Lambda::Version"
    carried_out = words("FunctionName Description CodeSha256")
    attributes = words("Version FunctionArn")
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Publish what the function is now."""
        published = context.client("lambda").publish_version(
            **pick(properties, "FunctionName", "Description", "CodeSha256")
        )
        arn = published["FunctionArn"]
        if not arn.endswith(":" + published["Version"]):
            arn = f"{arn}:{published['Version']}"
        return Made(arn, {"Version": published["Version"], "FunctionArn": arn})

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the version."""
        del properties
        arn, version = made.physical_id.rsplit(":", 1)
        with absent_is_done(GONE):
            context.client("lambda").delete_function(FunctionName=arn, Qualifier=version)


class Alias(ResourceType):
    """AWS::Lambda::Alias."""

    type_name = "AWS::Lambda::Alias"
    carried_out = words("FunctionName FunctionVersion Name Description")
    attributes = words("AliasArn")
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the alias."""
        alias = context.client("lambda").create_alias(
            **pick(properties, "FunctionName", "FunctionVersion", "Name", "Description")
        )
        return Made(alias["AliasArn"], {"AliasArn": alias["AliasArn"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Point the alias at another version."""
        del old
        context.client("lambda").update_alias(
            FunctionName=new["FunctionName"],
            Name=new["Name"],
            FunctionVersion=new["FunctionVersion"],
            Description=new.get("Description", ""),
        )
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the alias."""
        del made
        with absent_is_done(GONE):
            context.client("lambda").delete_alias(**pick(properties, "FunctionName", "Name"))


# What each published layer unpacks to: the service itself only reports the packed size.
_LAYER_SIZES: dict[str, int] = {}


def _layer_size(context: Context, arn: str) -> int:
    if arn not in _LAYER_SIZES:
        layer, version = arn.rsplit(":", 1)
        try:
            found = context.client("lambda").get_layer_version(
                LayerName=layer, VersionNumber=int(version)
            )
        except (ClientError, ValueError) as error:
            raise ResourceError(f"Layer version {arn} does not exist.") from error
        _LAYER_SIZES[arn] = int(found["Content"]["CodeSize"])
    return _LAYER_SIZES[arn]


def _unzipped(context: Context, bucket: str, key: str, version: str | None) -> int:
    try:
        etag = context.client("s3").head_object(
            Bucket=bucket, Key=key, **({"VersionId": version} if version else {})
        )["ETag"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise ResourceError(
            f"Error occurred while GetObject. S3 Error Code: {code}. s3://{bucket}/{key} cannot be "
            "read."
        ) from error
    return _size_of(etag, _Fetch(context, bucket, key, version))


class _Fetch:
    """The object behind an ETag; equal to any other, so that the cache looks at the ETag only."""

    def __init__(self, context: Context, bucket: str, key: str, version: str | None) -> None:
        self._request = (context, bucket, key, version)

    def __call__(self) -> bytes:
        return object_bytes(*self._request)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fetch)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=256)
def _size_of(etag: str, fetch: _Fetch) -> int:
    del etag
    try:
        with zipfile.ZipFile(io.BytesIO(fetch())) as package:
            return sum(member.file_size for member in package.infolist())
    except zipfile.BadZipFile as error:
        raise ResourceError(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error


def _inline(runtime: str, source: str) -> bytes:
    suffix = "js" if runtime.startswith("nodejs") else "py"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        member = zipfile.ZipInfo(f"index.{suffix}", (1980, 1, 1, 0, 0, 0))
        member.external_attr = 0o644 << 16
        package.writestr(member, source)
    return packed.getvalue()
