"""AWS IAM: roles and policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import ResourceError
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

_GONE = "NoSuchEntity"


class Role(ResourceType):
    """AWS::IAM::Role."""

    type_name = "AWS::IAM::Role"
    carried_out = words(
        "RoleName AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path "
        "PermissionsBoundary Policies Tags"
    )
    attributes = words("Arn RoleId")
    custom_name = "RoleName"

    def problems(self, properties: Properties) -> list[str]:
        """Check the trust policy and every inline policy."""
        found = policy_problems(properties["AssumeRolePolicyDocument"], identity=False)
        for policy in properties.get("Policies", []):
            problems = policy_problems(policy["PolicyDocument"], identity=True)
            found += [f"{problem} (policy {policy['PolicyName']})" for problem in problems]
        return found

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the role with its policies."""
        client = context.client("iam")
        name = context.name(properties.get("RoleName"), 64)
        role = client.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=policy_text(properties["AssumeRolePolicyDocument"]),
            Tags=key_values(context.tags(properties.get("Tags"))),
            **pick(properties, "Description", "MaxSessionDuration", "Path", "PermissionsBoundary"),
        )["Role"]
        context.claim(name)
        self._set_policies(client, name, {}, properties)
        return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change trust, description, boundary, policies and tags."""
        client, name = context.client("iam"), made.physical_id
        client.update_assume_role_policy(
            RoleName=name, PolicyDocument=policy_text(new["AssumeRolePolicyDocument"])
        )
        if any(old.get(key) != new.get(key) for key in ("Description", "MaxSessionDuration")):
            client.update_role(
                RoleName=name,
                Description=new.get("Description", ""),
                MaxSessionDuration=new.get("MaxSessionDuration", 3600),
            )
        if "PermissionsBoundary" in new:
            client.put_role_permissions_boundary(
                RoleName=name, PermissionsBoundary=new["PermissionsBoundary"]
            )
        elif "PermissionsBoundary" in old:
            client.delete_role_permissions_boundary(RoleName=name)
        self._set_policies(client, name, old, new)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        if wanted:
            client.tag_role(RoleName=name, Tags=key_values(wanted))
        if gone:
            client.untag_role(RoleName=name, TagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Take off the policies that this resource put on; IAM refuses if others are left."""
        client, name = context.client("iam"), made.physical_id
        with absent_is_done(_GONE):
            self._set_policies(client, name, properties, {})
            client.delete_role(RoleName=name)

    @staticmethod
    def _set_policies(client: Any, name: str, old: Properties, new: Properties) -> None:
        before = {policy["PolicyName"] for policy in old.get("Policies", [])}
        after = {policy["PolicyName"] for policy in new.get("Policies", [])}
        for policy in new.get("Policies", []):
            text = policy_text(policy["PolicyDocument"])
            client.put_role_policy(
                RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=text
            )
        for policy_name in before - after:
            with absent_is_done(_GONE):
                client.delete_role_policy(RoleName=name, PolicyName=policy_name)
        attached, wanted = (
            set(old.get("ManagedPolicyArns", [])),
            set(new.get("ManagedPolicyArns", [])),
        )
        for arn in sorted(wanted - attached):
            client.attach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in sorted(attached - wanted):
            with absent_is_done(_GONE):
                client.detach_role_policy(RoleName=name, PolicyArn=arn)


class Policy(ResourceType):
    """AWS::IAM::Policy: one inline policy put on roles."""

    type_name = "AWS::IAM::Policy"
    carried_out = words("PolicyName PolicyDocument Roles")
    attributes = words("Id")
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the document."""
        return policy_problems(properties["PolicyDocument"], identity=True)

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the policy on each role."""
        self._put(context, properties)
        name = context.name(None)
        return Made(name, {"Id": name})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the new one; take the old one off roles that no longer have it."""
        renamed = old["PolicyName"] != new["PolicyName"]
        gone = [role for role in old["Roles"] if renamed or role not in new["Roles"]]
        self._remove(context, old["PolicyName"], gone)
        self._put(context, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Take it off."""
        del made
        self._remove(context, properties["PolicyName"], properties["Roles"])

    @staticmethod
    def _put(context: Context, properties: Properties) -> None:
        for role in properties["Roles"]:
            context.client("iam").put_role_policy(
                RoleName=role,
                PolicyName=properties["PolicyName"],
                PolicyDocument=policy_text(properties["PolicyDocument"]),
            )

    @staticmethod
    def _remove(context: Context, name: str, roles: list[str]) -> None:
        for role in roles:
            with absent_is_done(_GONE):
                context.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


class ManagedPolicy(ResourceType):
    """AWS::IAM::ManagedPolicy."""

    type_name = "AWS::IAM::ManagedPolicy"
    carried_out = words("ManagedPolicyName PolicyDocument Description Path Roles")
    attributes = words("PolicyArn PolicyId")
    custom_name = "ManagedPolicyName"
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the document."""
        return policy_problems(properties["PolicyDocument"], identity=True)

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the policy and attach it."""
        client = context.client("iam")
        policy = client.create_policy(
            PolicyName=context.name(properties.get("ManagedPolicyName"), 128),
            PolicyDocument=policy_text(properties["PolicyDocument"]),
            **pick(properties, "Description", "Path"),
        )["Policy"]
        arn = context.claim(policy["Arn"])
        for role in properties.get("Roles", []):
            client.attach_role_policy(RoleName=role, PolicyArn=arn)
        return Made(arn, {"PolicyArn": arn, "PolicyId": policy["PolicyId"]})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Make a new default version; keep at most the four before it."""
        client, arn = context.client("iam"), made.physical_id
        if old["PolicyDocument"] != new["PolicyDocument"]:
            versions = client.list_policy_versions(PolicyArn=arn)["Versions"]
            spare = [item["VersionId"] for item in versions if not item["IsDefaultVersion"]]
            if len(versions) >= 5:
                oldest = min(spare, key=lambda version: int(version[1:]))
                client.delete_policy_version(PolicyArn=arn, VersionId=oldest)
            client.create_policy_version(
                PolicyArn=arn, PolicyDocument=policy_text(new["PolicyDocument"]), SetAsDefault=True
            )
        before, after = set(old.get("Roles", [])), set(new.get("Roles", []))
        for role in sorted(after - before):
            client.attach_role_policy(RoleName=role, PolicyArn=arn)
        for role in sorted(before - after):
            with absent_is_done(_GONE):
                client.detach_role_policy(RoleName=role, PolicyArn=arn)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Detach and delete the policy with all its versions."""
        client, arn = context.client("iam"), made.physical_id
        for role in properties.get("Roles", []):
            with absent_is_done(_GONE):
                client.detach_role_policy(RoleName=role, PolicyArn=arn)
        with absent_is_done(_GONE):
            attached = client.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"]
            if attached:
                raise ResourceError(f"Cannot delete a policy attached to entities. ({arn})")
            for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            client.delete_policy(PolicyArn=arn)
