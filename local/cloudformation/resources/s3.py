"""Amazon S3: buckets and their policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from local.cloudformation.policies import policy_problems
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    key_values,
    only,
    policy_text,
    words,
)

_LIFECYCLE = (
    "Id Status Prefix ExpirationInDays ExpirationDate ExpiredObjectDeleteMarker "
    "NoncurrentVersionExpiration NoncurrentVersionExpirationInDays Transitions "
    "NoncurrentVersionTransitions AbortIncompleteMultipartUpload TagFilters "
    "ObjectSizeGreaterThan ObjectSizeLessThan"
)
_RENAMED = {"TransitionInDays": "Days", "TransitionDate": "Date"}


class Bucket(ResourceType):
    """AWS::S3::Bucket."""

    type_name = "AWS::S3::Bucket"
    carried_out = words(
        "BucketName BucketEncryption CorsConfiguration LifecycleConfiguration "
        "NotificationConfiguration OwnershipControls PublicAccessBlockConfiguration Tags "
        "VersioningConfiguration"
    )
    attributes = words("Arn DomainName DualStackDomainName RegionalDomainName WebsiteURL")
    custom_name = "BucketName"

    def problems(self, properties: Properties) -> list[str]:
        """Check lifecycle rules: each needs at least one action."""
        found = []
        rules = properties.get("LifecycleConfiguration", {}).get("Rules", [])
        actions = {
            "ExpirationInDays",
            "ExpirationDate",
            "ExpiredObjectDeleteMarker",
            "NoncurrentVersionExpiration",
            "NoncurrentVersionExpirationInDays",
            "Transitions",
            "NoncurrentVersionTransitions",
            "AbortIncompleteMultipartUpload",
        }
        for number, rule in enumerate(rules):
            if not actions & set(rule):
                found.append(
                    f"LifecycleConfiguration rule {number}: at least one action needs to "
                    "be specified in a rule"
                )
            if rule.get("ExpirationInDays") == 0:
                found.append("'Days' for Expiration action must be a positive integer")
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the bucket and everything that is configured on it."""
        name = context.name(properties.get("BucketName"), 63, lower=True)
        location = {"LocationConstraint": context.cloud.region}
        context.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
        context.claim(name)
        self._configure(context, name, {}, properties)
        domain = f"{name}.s3.{context.cloud.region}.amazonaws.com"
        return Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{name}.s3.amazonaws.com",
                "DualStackDomainName": f"{name}.s3.dualstack.{context.cloud.region}.amazonaws.com",
                "RegionalDomainName": domain,
                "WebsiteURL": f"http://{name}.s3-website-{context.cloud.region}.amazonaws.com",
            },
        )

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Apply what changed; take away what is gone."""
        self._configure(context, made.physical_id, old, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the bucket; S3 refuses when anything is left in it."""
        del properties
        with absent_is_done("NoSuchBucket"):
            context.client("s3").delete_bucket(Bucket=made.physical_id)

    def _configure(self, context: Context, name: str, old: Properties, new: Properties) -> None:
        client = context.client("s3")
        for key, (apply, remove) in _SETTINGS.items():
            if key in new and new[key] != old.get(key):
                apply(client, name, new[key])
            elif key in old and key not in new:
                remove(client, name)
        tags = context.tags(new.get("Tags"))
        if tags:
            client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": key_values(tags)})
        elif old.get("Tags"):
            client.delete_bucket_tagging(Bucket=name)


def _encryption(client: Any, name: str, value: Properties) -> None:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        only(
            "BucketEncryption.ServerSideEncryptionConfiguration",
            rule,
            "ServerSideEncryptionByDefault BucketKeyEnabled",
        )
        sent: dict[str, Any] = {}
        if "ServerSideEncryptionByDefault" in rule:
            sent["ApplyServerSideEncryptionByDefault"] = rule["ServerSideEncryptionByDefault"]
        if "BucketKeyEnabled" in rule:
            sent["BucketKeyEnabled"] = rule["BucketKeyEnabled"]
        rules.append(sent)
    client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _lifecycle(client: Any, name: str, value: Properties) -> None:
    only("LifecycleConfiguration", value, "Rules")
    rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    only("LifecycleConfiguration.Rules", rule, _LIFECYCLE)
    sent: dict[str, Any] = {"Status": rule["Status"], "Filter": _lifecycle_filter(rule)}
    if "Id" in rule:
        sent["ID"] = rule["Id"]
    expiry = {"ExpirationInDays": "Days", "ExpirationDate": "Date"}
    expiration = {sent_as: rule[key] for key, sent_as in expiry.items() if key in rule}
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    if expiration:
        sent["Expiration"] = expiration
    if "NoncurrentVersionExpirationInDays" in rule:
        days = rule["NoncurrentVersionExpirationInDays"]
        sent["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "NoncurrentVersionExpiration" in rule:
        sent["NoncurrentVersionExpiration"] = rule["NoncurrentVersionExpiration"]
    if "AbortIncompleteMultipartUpload" in rule:
        sent["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    if "Transitions" in rule:
        sent["Transitions"] = [
            {_RENAMED.get(key, key): item for key, item in step.items()}
            for step in rule["Transitions"]
        ]
    if "NoncurrentVersionTransitions" in rule:
        sent["NoncurrentVersionTransitions"] = [
            {
                "NoncurrentDays" if key == "TransitionInDays" else key: item
                for key, item in step.items()
            }
            for step in rule["NoncurrentVersionTransitions"]
        ]
    return sent


def _lifecycle_filter(rule: Properties) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if "Prefix" in rule:
        parts["Prefix"] = rule["Prefix"]
    for key in ("ObjectSizeGreaterThan", "ObjectSizeLessThan"):
        if key in rule:
            parts[key] = int(rule[key])
    tags = list(rule.get("TagFilters", []))
    if len(parts) + len(tags) > 1:
        return {"And": {**parts, **({"Tags": tags} if tags else {})}}
    if tags:
        return {"Tag": tags[0]}
    return parts or {"Prefix": ""}


def _notification(client: Any, name: str, value: Properties) -> None:
    only("NotificationConfiguration", value, "EventBridgeConfiguration")
    configuration: dict[str, Any] = {}
    # EventBridgeEnabled defaults to true when the configuration is given at all.
    if value.get("EventBridgeConfiguration", {"EventBridgeEnabled": False}).get(
        "EventBridgeEnabled", True
    ):
        configuration["EventBridgeConfiguration"] = {}
    client.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration=configuration
    )


def _cors(client: Any, name: str, value: Properties) -> None:
    renamed = {"Id": "ID", "MaxAge": "MaxAgeSeconds", "ExposedHeaders": "ExposeHeaders"}
    rules = [
        {renamed.get(key, key): item for key, item in rule.items()} for rule in value["CorsRules"]
    ]
    client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})


_Apply = Callable[[Any, str, Any], Any]
_Remove = Callable[[Any, str], Any]
_SETTINGS: dict[str, tuple[_Apply, _Remove]] = {
    "VersioningConfiguration": (
        lambda c, n, v: c.put_bucket_versioning(Bucket=n, VersioningConfiguration=v),
        lambda c, n: c.put_bucket_versioning(
            Bucket=n, VersioningConfiguration={"Status": "Suspended"}
        ),
    ),
    "BucketEncryption": (_encryption, lambda c, n: c.delete_bucket_encryption(Bucket=n)),
    "PublicAccessBlockConfiguration": (
        lambda c, n, v: c.put_public_access_block(Bucket=n, PublicAccessBlockConfiguration=v),
        lambda c, n: c.delete_public_access_block(Bucket=n),
    ),
    "OwnershipControls": (
        lambda c, n, v: c.put_bucket_ownership_controls(Bucket=n, OwnershipControls=v),
        lambda c, n: c.delete_bucket_ownership_controls(Bucket=n),
    ),
    "LifecycleConfiguration": (_lifecycle, lambda c, n: c.delete_bucket_lifecycle(Bucket=n)),
    "NotificationConfiguration": (
        _notification,
        lambda c, n: _notification(c, n, {}),
    ),
    "CorsConfiguration": (_cors, lambda c, n: c.delete_bucket_cors(Bucket=n)),
}


class BucketPolicy(ResourceType):
    """AWS::S3::BucketPolicy."""

    type_name = "AWS::S3::BucketPolicy"
    carried_out = words("Bucket PolicyDocument")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the document."""
        return policy_problems(properties["PolicyDocument"], identity=False)

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the policy; one bucket has one."""
        bucket = properties["Bucket"]
        text = policy_text(properties["PolicyDocument"])
        context.client("s3").put_bucket_policy(Bucket=bucket, Policy=text)
        return Made(bucket)

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the new text over the old."""
        del old
        text = policy_text(new["PolicyDocument"])
        context.client("s3").put_bucket_policy(Bucket=made.physical_id, Policy=text)
        return {}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the policy."""
        del properties
        with absent_is_done("NoSuchBucket", "NoSuchBucketPolicy"):
            context.client("s3").delete_bucket_policy(Bucket=made.physical_id)


def object_bytes(context: Context, bucket: str, key: str, version: str | None = None) -> bytes:
    """Return an S3 object that a property points to (code, layer, definition)."""
    request = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
    return bytes(context.client("s3").get_object(**request)["Body"].read())


def object_json(context: Context, location: Properties) -> Any:
    """Return the JSON document at an S3 location given as Bucket, Key, Version."""
    body = object_bytes(context, location["Bucket"], location["Key"], location.get("Version"))
    return json.loads(body)
