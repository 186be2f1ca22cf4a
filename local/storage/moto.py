"""The replacements in moto's S3."""

import json
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.notifications import S3NotificationEvent

from local.patches import Patch, original
from local.storage.notifications import ObjectEvents

if TYPE_CHECKING:
    from local.cloud import Cloud


def storage_patches(cloud: "Cloud") -> list[Patch]:
    """Bound to this cloud."""
    events = ObjectEvents(cloud)
    return [
        Patch(
            "moto.s3.notifications:send_event",
            "da8a7c7c6f2b0a8f6477828b60095e82d8e2ac31e1dcec542a36c42ced32033e",
            events.send,
        ),
        Patch(
            "moto.s3.models:S3Backend.complete_multipart_upload",
            "f16c9a08e5db3f4fddba3a9dcb82f0ed5889e482cff8106c47d7cc7c04309748",
            _complete(events),
        ),
        Patch(
            "moto.s3.models:S3Backend.delete_object",
            "5c1677b529710591fc384f54adabcbad41169a8f059db76e129f2adea3d5e31f",
            _delete(events),
        ),
        Patch(
            "moto.s3.models:S3Backend.list_object_versions",
            "268a5f62e83a572464f0dd13c2048e20e8b1ef39ea09aae8be0248b286dc71b4",
            _list_versions(),
        ),
        Patch(
            "moto.s3.models:FakeBucket.get_permission",
            "7571412a3495a0e3e1a2a34b0b8ed3fc0af1a96d35514841b274fbe1eac12b99",
            _permission,
        ),
        Patch(
            "moto.s3.responses:S3Response.get_bucket_notification",
            "82884034c1654e24095a79acbc0b53832d84a3ce9638e137b2302e6c6279014d",
            _notification(),
        ),
    ]


def _complete(events: ObjectEvents) -> Any:
    complete = original("moto.s3.models:S3Backend.complete_multipart_upload")

    def complete_multipart_upload(self: Any, *args: Any, **kwargs: Any) -> Any:
        """One event, not one for the put and one for the completion."""
        with events.muted(S3NotificationEvent.OBJECT_CREATED_PUT_EVENT):
            return complete(self, *args, **kwargs)

    return complete_multipart_upload


def _delete(events: ObjectEvents) -> Any:
    delete = original("moto.s3.models:S3Backend.delete_object")

    def delete_object(
        self: Any,
        bucket_name: str,
        key_name: str,
        version_id: str | None = None,
        bypass: bool = False,
    ) -> Any:
        """AWS's events: also for delete markers and for single versions."""
        bucket = self.get_bucket(bucket_name)
        known = {str(key.version_id) for key in bucket.keys.getlist(key_name, [])}
        with events.muted(S3NotificationEvent.OBJECT_REMOVED_DELETE_EVENT):
            done, meta = delete(self, bucket_name, key_name, version_id, bypass)
        if not done:
            return done, meta
        if not bucket.is_versioned:
            if known:
                events.removed(bucket, key_name, "Permanently Deleted", None)
        elif version_id is None:
            events.removed(bucket, key_name, "Delete Marker Created", meta.get("version-id"))
        elif str(version_id) in known:
            events.removed(bucket, key_name, "Permanently Deleted", str(version_id))
        return done, meta

    return delete_object


def _list_versions() -> Any:
    list_versions = original("moto.s3.models:S3Backend.list_object_versions")

    def list_object_versions(self: Any, bucket_name: str, **options: Any) -> Any:
        """moto's, which copies every version of the bucket, on those with the prefix only."""
        bucket = self.get_bucket(bucket_name)
        whole, prefix = bucket.keys, options.get("prefix") or ""
        part = type(whole)()
        for key, versions in whole.iterlists():
            if key.startswith(prefix):
                dict.__setitem__(part, key, versions)
        bucket.keys = part
        try:
            return list_versions(self, bucket_name, **options)
        finally:
            bucket.keys = whole

    return list_object_versions


def _permission(self: Any, action: str, resource: str) -> PermissionResult:
    """Statements with a Condition are left out: moto would judge them without any context, so
    that "deny what is not TLS" denied everything. The local cloud claims no IAM enforcement."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(self.policy)
    statements = document.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    plain = [statement for statement in statements if not statement.get("Condition")]
    if not plain:
        return PermissionResult.NEUTRAL
    policy = IAMPolicy(json.dumps({**document, "Statement": plain}))
    return policy.is_action_permitted(action, resource)


def _notification() -> Any:
    def get_bucket_notification(self: Any) -> Any:
        """With EventBridgeConfiguration, which moto stores but does not return."""
        self.data["Action"] = "GetBucketNotificationConfiguration"
        configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
        result: dict[str, Any] = {}
        if configuration is not None:
            result = {
                "TopicConfigurations": [_entry(t, "TopicArn") for t in configuration.topic],
                "QueueConfigurations": [_entry(q, "QueueArn") for q in configuration.queue],
                "LambdaFunctionConfigurations": [
                    _entry(f, "LambdaFunctionArn") for f in configuration.cloud_function
                ],
            }
            if configuration.event_bridge is not None:
                result["EventBridgeConfiguration"] = {}
        return self.serialized(ActionResult(result))

    return get_bucket_notification


def _entry(item: Any, arn: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": item.id, arn: item.arn, "Events": item.events}
    if item.filters:
        entry["Filter"] = {"Key": {"FilterRules": item.filters["S3Key"]["FilterRule"]}}
    return entry
