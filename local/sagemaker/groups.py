"""Model package groups."""

import threading
import time
from collections.abc import Callable
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import conflict, invalid, unsupported
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.tags import Tags

LISTING = Listing("ModelPackageGroupName", "ModelPackageGroupSummaryList")


class Groups:
    """Create, Describe, List, Delete; `next_version` counts for good, `versions` what is there."""

    def __init__(self, cloud: Cloud, model: ServiceModel, tags: Tags) -> None:
        self._prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:model-package-group/"
        self._tags = tags
        self._describe = members(model, "DescribeModelPackageGroupOutput")
        self._summary = members(model, "ModelPackageGroupSummary")
        self._creator = {"IamIdentity": {"Arn": f"arn:aws:iam::{cloud.account}:root"}}
        self._groups: dict[str, Record] = {}
        self.lock = threading.RLock()

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        """What this part answers."""
        return {
            "CreateModelPackageGroup": self.create,
            "DescribeModelPackageGroup": self.describe,
            "ListModelPackageGroups": self.page,
            "DeleteModelPackageGroup": self.delete,
        }

    def name_of(self, name_or_arn: str) -> str:
        """A group's name from its name or ARN; an ARN of another place is unknown."""
        if name_or_arn.startswith(self._prefix):
            return name_or_arn.removeprefix(self._prefix)
        if name_or_arn.startswith("arn:"):
            raise invalid(f"ModelPackageGroup {name_or_arn} does not exist.")
        return name_or_arn

    def find(self, name_or_arn: str) -> Record:
        """The group's record; hold `lock`."""
        name = self.name_of(name_or_arn)
        if name not in self._groups:
            raise invalid(f"ModelPackageGroup {self._prefix}{name} does not exist.")
        return self._groups[name]

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateModelPackageGroup: a name that exists is refused."""
        if parameters.get("ManagedConfiguration"):
            raise unsupported("managed configurations of groups (ManagedConfiguration)")
        name = parameters["ModelPackageGroupName"]
        arn = self._prefix + name
        with self.lock:
            if name in self._groups:
                raise invalid(f"Model Package Group already exists: {arn}")
            self._tags.adopt(arn, parameters.get("Tags", ()))
            self._groups[name] = {
                "ModelPackageGroupName": name,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupDescription": parameters.get("ModelPackageGroupDescription"),
                "CreationTime": round(time.time(), 3),
                "CreatedBy": self._creator,
                "ModelPackageGroupStatus": "Completed",
                "next_version": 1,
                "versions": 0,
            }
        return {"ModelPackageGroupArn": arn}

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DescribeModelPackageGroup."""
        with self.lock:
            return project(self._describe, self.find(parameters["ModelPackageGroupName"]))

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackageGroups."""
        if parameters.get("CrossAccountFilterOption", "SameAccount") != "SameAccount":
            raise unsupported("groups shared by other accounts (CrossAccountFilterOption)")
        with self.lock:
            entries, token = listed(LISTING, list(self._groups.values()), parameters)
            found: dict[str, Any] = {
                LISTING.result: [project(self._summary, record) for record in entries]
            }
        return {**found, "NextToken": token} if token else found

    def delete(self, parameters: dict[str, Any]) -> None:
        """DeleteModelPackageGroup: refused while it holds versions."""
        with self.lock:
            group = self.find(parameters["ModelPackageGroupName"])
            if group["versions"]:
                raise conflict(
                    f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted: it "
                    f"still contains {group['versions']} model packages. Delete them first."
                )
            del self._groups[group["ModelPackageGroupName"]]
            self._tags.drop(group["ModelPackageGroupArn"])
