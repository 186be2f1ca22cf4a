"""Types of services from which a stack needs one or two: SageMaker, KMS, SSM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import UnchangedError
from local.cloudformation.policies import policy_problems
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    key_values,
    pick,
    policy_text,
    tag_changes,
    words,
)


class ModelPackageGroup(ResourceType):
    """AWS::SageMaker::ModelPackageGroup."""

    type_name = "AWS::SageMaker::ModelPackageGroup"
    carried_out = words("ModelPackageGroupName ModelPackageGroupDescription Tags")
    attributes = words("ModelPackageGroupArn ModelPackageGroupStatus CreationTime")
    custom_name = "ModelPackageGroupName"

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the group."""
        client, name = context.client("sagemaker"), properties["ModelPackageGroupName"]
        arn = client.create_model_package_group(
            Tags=key_values(context.tags(properties.get("Tags"))),
            **pick(properties, "ModelPackageGroupName", "ModelPackageGroupDescription"),
        )["ModelPackageGroupArn"]
        context.claim(arn)
        group = client.describe_model_package_group(ModelPackageGroupName=name)
        return Made(
            arn,
            {
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupStatus": group["ModelPackageGroupStatus"],
                "CreationTime": group["CreationTime"].isoformat(),
            },
        )

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change tags."""
        client = context.client("sagemaker")
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.add_tags(ResourceArn=made.physical_id, Tags=key_values(wanted))
        if gone:
            client.delete_tags(ResourceArn=made.physical_id, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the group; SageMaker refuses while a version is in it."""
        client, name = context.client("sagemaker"), properties["ModelPackageGroupName"]
        groups = client.list_model_package_groups(NameContains=name)["ModelPackageGroupSummaryList"]
        if any(group["ModelPackageGroupArn"] == made.physical_id for group in groups):
            client.delete_model_package_group(ModelPackageGroupName=name)


class Key(ResourceType):
    """AWS::KMS::Key."""

    type_name = "AWS::KMS::Key"
    carried_out = words(
        "Description EnableKeyRotation Enabled KeyPolicy KeySpec KeyUsage MultiRegion "
        "PendingWindowInDays Tags"
    )
    attributes = words("Arn KeyId")

    def problems(self, properties: Properties) -> list[str]:
        """Check the key's policy."""
        if "KeyPolicy" not in properties:
            return []
        return policy_problems(properties["KeyPolicy"], identity=False)

    def replaces(self, old: Properties, new: Properties) -> bool:
        """What a key is for cannot be changed."""
        return any(old.get(key) != new.get(key) for key in ("KeySpec", "KeyUsage", "MultiRegion"))

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the key."""
        client = context.client("kms")
        request = pick(properties, "Description", "KeySpec", "KeyUsage", "MultiRegion")
        if "KeyPolicy" in properties:
            request["Policy"] = policy_text(properties["KeyPolicy"])
        tags = context.tags(properties.get("Tags"))
        request["Tags"] = [{"TagKey": key, "TagValue": value} for key, value in tags.items()]
        key = client.create_key(**request)["KeyMetadata"]
        context.claim(key["KeyId"])
        if properties.get("EnableKeyRotation"):
            client.enable_key_rotation(KeyId=key["KeyId"])
        if properties.get("Enabled") is False:
            client.disable_key(KeyId=key["KeyId"])
        return Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change description, policy, rotation, state and tags."""
        client, key = context.client("kms"), made.physical_id
        if old.get("Description") != new.get("Description"):
            client.update_key_description(KeyId=key, Description=new.get("Description", ""))
        if "KeyPolicy" in new and old.get("KeyPolicy") != new["KeyPolicy"]:
            text = policy_text(new["KeyPolicy"])
            client.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
        if bool(old.get("EnableKeyRotation")) != bool(new.get("EnableKeyRotation")):
            rotate = (
                client.enable_key_rotation
                if new.get("EnableKeyRotation")
                else (client.disable_key_rotation)
            )
            rotate(KeyId=key)
        if old.get("Enabled", True) != new.get("Enabled", True):
            switch = client.enable_key if new.get("Enabled", True) else client.disable_key
            switch(KeyId=key)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            tags = [{"TagKey": name, "TagValue": value} for name, value in wanted.items()]
            client.tag_resource(KeyId=key, Tags=tags)
        if gone:
            client.untag_resource(KeyId=key, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Schedule the deletion; KMS keeps a key for the pending window."""
        days = properties.get("PendingWindowInDays", 30)
        with absent_is_done("NotFoundException", "KMSInvalidStateException"):
            context.client("kms").schedule_key_deletion(
                KeyId=made.physical_id, PendingWindowInDays=days
            )


class KeyAlias(ResourceType):
    """AWS::KMS::Alias."""

    type_name = "AWS::KMS::Alias"
    carried_out = words("AliasName TargetKeyId")
    custom_name = "AliasName"
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the alias."""
        context.client("kms").create_alias(**pick(properties, "AliasName", "TargetKeyId"))
        return Made(properties["AliasName"])

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Point it at another key."""
        del old
        context.client("kms").update_alias(
            AliasName=made.physical_id, TargetKeyId=new["TargetKeyId"]
        )
        return {}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the alias."""
        del properties
        with absent_is_done("NotFoundException"):
            context.client("kms").delete_alias(AliasName=made.physical_id)


class Parameter(ResourceType):
    """AWS::SSM::Parameter."""

    type_name = "AWS::SSM::Parameter"
    carried_out = words("Name Type Value Description AllowedPattern Tier DataType Tags")
    attributes = words("Type Value")
    custom_name = "Name"

    def problems(self, properties: Properties) -> list[str]:
        """Secure strings cannot be made by CloudFormation."""
        if properties["Type"] == "SecureString":
            return ["AWS::SSM::Parameter cannot create a parameter of type SecureString"]
        return []

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the parameter."""
        name = context.name(properties.get("Name"), 64)
        context.client("ssm").put_parameter(
            Name=name,
            Tags=key_values(context.tags(properties.get("Tags"))),
            **pick(
                properties, "Type", "Value", "Description", "AllowedPattern", "Tier", "DataType"
            ),
        )
        return Made(name, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Overwrite the value."""
        if old.get("Tier", "Standard") == "Advanced" and new.get("Tier", "Standard") == "Standard":
            raise UnchangedError(
                "An Advanced parameter cannot be converted to a Standard parameter"
            )
        client = context.client("ssm")
        client.put_parameter(
            Name=made.physical_id,
            Overwrite=True,
            **pick(new, "Type", "Value", "Description", "AllowedPattern", "Tier", "DataType"),
        )
        kind = {"ResourceType": "Parameter", "ResourceId": made.physical_id}
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.add_tags_to_resource(**kind, Tags=key_values(wanted))
        if gone:
            client.remove_tags_from_resource(**kind, TagKeys=gone)
        return {"Type": new["Type"], "Value": new["Value"]}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the parameter."""
        del properties
        with absent_is_done("ParameterNotFound"):
            context.client("ssm").delete_parameter(Name=made.physical_id)
