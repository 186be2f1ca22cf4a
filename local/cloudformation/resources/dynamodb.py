"""Amazon DynamoDB tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import ResourceError, UnchangedError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    key_values,
    only,
    pick,
    tag_changes,
    words,
)

_AT_CREATION = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "ProvisionedThroughput",
    "LocalSecondaryIndexes",
    "GlobalSecondaryIndexes",
    "DeletionProtectionEnabled",
    "TableClass",
)


class Table(ResourceType):
    """AWS::DynamoDB::Table."""

    type_name = "AWS::DynamoDB::Table"
    carried_out = words(
        "TableName PointInTimeRecoverySpecification SSESpecification StreamSpecification Tags "
        "TimeToLiveSpecification " + " ".join(_AT_CREATION)
    )
    attributes = words("Arn StreamArn")
    custom_name = "TableName"

    def problems(self, properties: Properties) -> list[str]:
        """Check that keys and attribute definitions name the same attributes."""
        defined = {item["AttributeName"] for item in properties.get("AttributeDefinitions", [])}
        used = _key_names(properties)
        for index in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            for body in properties.get(index, []):
                used |= _key_names(body)
        found = []
        if used - defined:
            found.append(
                "One or more parameter values were invalid: Some index key attributes are "
                "not defined in AttributeDefinitions. "
                f"Keys: {sorted(used)}, AttributeDefinitions: {sorted(defined)}"
            )
        if defined - used:
            found.append(
                "One or more parameter values were invalid: Some AttributeDefinitions are "
                f"not used. AttributeDefinitions: {sorted(defined)}, keys used: "
                f"{sorted(used)}"
            )
        kinds = [item["KeyType"] for item in properties["KeySchema"]]
        if kinds not in (["HASH"], ["HASH", "RANGE"]):
            found.append(
                "Invalid KeySchema: The first KeySchemaElement must be a HASH key type, "
                "the second a RANGE key type"
            )
        return found

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Keys cannot be changed in place."""
        changing = ("KeySchema", "LocalSecondaryIndexes")
        return any(old.get(key) != new.get(key) for key in changing)

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the table, then what has calls of its own."""
        client = context.client("dynamodb")
        name = context.name(properties.get("TableName"), 255)
        request = pick(properties, *_AT_CREATION)
        if "SSESpecification" in properties:
            request["SSESpecification"] = _encryption(properties["SSESpecification"])
        if "StreamSpecification" in properties:
            request["StreamSpecification"] = _stream(properties["StreamSpecification"])
        tags = key_values(context.tags(properties.get("Tags")))
        table = client.create_table(TableName=name, Tags=tags, **request)["TableDescription"]
        context.claim(name)
        self._settle(client, name, {}, properties)
        return Made(name, _attributes(table))

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change throughput, indexes, protection, encryption, recovery, expiry and tags."""
        client, name = context.client("dynamodb"), made.physical_id
        index_changes = self._index_changes(old, new)
        request = pick(
            new,
            *_changed(
                old,
                new,
                "BillingMode",
                "ProvisionedThroughput",
                "DeletionProtectionEnabled",
                "TableClass",
            ),
        )
        if "DeletionProtectionEnabled" in old and "DeletionProtectionEnabled" not in new:
            request["DeletionProtectionEnabled"] = False
        if _changed(old, new, "SSESpecification"):
            request["SSESpecification"] = _encryption(
                new.get("SSESpecification", {"SSEEnabled": False})
            )
        if _changed(old, new, "StreamSpecification"):
            request["StreamSpecification"] = _stream(new.get("StreamSpecification"))
        if request:
            client.update_table(TableName=name, **request)
        for change in index_changes:
            client.update_table(
                TableName=name,
                AttributeDefinitions=new["AttributeDefinitions"],
                GlobalSecondaryIndexUpdates=[change],
            )
        self._settle(client, name, old, new)
        table = client.describe_table(TableName=name)["Table"]
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_resource(ResourceArn=table["TableArn"], Tags=key_values(wanted))
        if gone:
            client.untag_resource(ResourceArn=table["TableArn"], TagKeys=gone)
        return _attributes(table)

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the table unless it is protected."""
        if properties.get("DeletionProtectionEnabled"):
            raise ResourceError(
                "Resource cannot be deleted as it is currently protected against deletion. Disable "
                "deletion protection first."
            )
        with absent_is_done("ResourceNotFoundException"):
            context.client("dynamodb").delete_table(TableName=made.physical_id)

    @staticmethod
    def _index_changes(old: Properties, new: Properties) -> list[dict[str, Any]]:
        before = {index["IndexName"]: index for index in old.get("GlobalSecondaryIndexes", [])}
        after = {index["IndexName"]: index for index in new.get("GlobalSecondaryIndexes", [])}
        changes = [
            {"Delete": {"IndexName": key}} for key in before if before[key] != after.get(key)
        ]
        changes += [{"Create": dict(after[key])} for key in after if after[key] != before.get(key)]
        if sum("Create" in change for change in changes) > 1:
            raise UnchangedError(
                "Cannot perform more than one GSI creation or deletion in a single update"
            )
        return changes

    @staticmethod
    def _settle(client: Any, name: str, old: Properties, new: Properties) -> None:
        if _changed(old, new, "TimeToLiveSpecification"):
            attribute = old.get("TimeToLiveSpecification", {}).get("AttributeName", "")
            wanted = new.get(
                "TimeToLiveSpecification", {"AttributeName": attribute, "Enabled": False}
            )
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=dict(wanted))
        if _changed(old, new, "PointInTimeRecoverySpecification"):
            recovery = new.get(
                "PointInTimeRecoverySpecification", {"PointInTimeRecoveryEnabled": False}
            )
            client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification=dict(recovery)
            )


def _changed(old: Properties, new: Properties, *names: str) -> list[str]:
    return [name for name in names if old.get(name) != new.get(name)]


def _key_names(body: Properties) -> set[str]:
    return {item["AttributeName"] for item in body.get("KeySchema", [])}


def _encryption(value: Properties) -> dict[str, Any]:
    sent = {key: item for key, item in value.items() if key != "SSEEnabled"}
    return {"Enabled": value["SSEEnabled"], **sent}


def _stream(value: Properties | None) -> dict[str, Any]:
    if value is None:
        return {"StreamEnabled": False}
    only("StreamSpecification", value, "StreamViewType")
    return {"StreamEnabled": True, "StreamViewType": value["StreamViewType"]}


def _attributes(table: Properties) -> dict[str, Any]:
    attributes = {"Arn": table["TableArn"]}
    if "LatestStreamArn" in table:
        attributes["StreamArn"] = table["LatestStreamArn"]
    return attributes
