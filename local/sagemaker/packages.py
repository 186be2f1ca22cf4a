"""Model packages: the versions of a group, their approval, and the events of both."""

import copy
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.container.objects import DataError, split_uri
from local.sagemaker.errors import conflict, invalid, unsupported
from local.sagemaker.groups import Groups
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.tags import Tags

LISTING = Listing("ModelPackageArn", "ModelPackageSummaryList")
PROPERTIES_LIMIT = 50
PENDING = "PendingManualApproval"
# Members of UpdateModelPackage that the event lists, in the event's spelling.
UPDATED_FIELDS = {
    "ModelLifeCycle": "ModelLifeCycle",
    "ModelApprovalStatus": "ModelApprovalStatus",
    "ApprovalDescription": "ApprovalDescription",
    "SourceUri": "sourceUri",
    "CustomerMetadataProperties": "CustomerMetadataProperties",
    "CustomerMetadataPropertiesToRemove": "CustomerMetadataProperties",
    "InferenceSpecification": "InferenceSpecification",
}
EVENT_MEMBERS = [
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "MetadataProperties",
    "ModelMetrics",
    "ModelLifeCycle",
    "ApprovalDescription",
    "CustomerMetadataProperties",
    "LastModifiedTime",
]
NOT_DONE = {
    "ModelPackageName": "unversioned model packages (ModelPackageName)",
    "ValidationSpecification": "validation of model packages (ValidationSpecification)",
    "SourceAlgorithmSpecification": "packages of algorithms (SourceAlgorithmSpecification)",
    "CertifyForMarketplace": "AWS Marketplace (CertifyForMarketplace)",
    "ManagedStorageType": "managed storage (ManagedStorageType)",
}


class Packages:
    """Versions are numbered by their group and never reused."""

    def __init__(self, cloud: Cloud, model: ServiceModel, tags: Tags, groups: Groups) -> None:
        self._cloud = cloud
        self._prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:model-package/"
        self._tags = tags
        self._groups = groups
        self._describe = members(model, "DescribeModelPackageOutput")
        self._summary = members(model, "ModelPackageSummary")
        self._batch = members(model, "BatchDescribeModelPackageSummary")
        self._creator = {"IamIdentity": {"Arn": f"arn:aws:iam::{cloud.account}:root"}}
        self._packages: dict[str, Record] = {}
        self._tokens: dict[str, tuple[str, str]] = {}

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        """What this part answers."""
        return {
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "BatchDescribeModelPackage": self.batch_describe,
            "UpdateModelPackage": self.update,
            "ListModelPackages": self.page,
            "DeleteModelPackage": self.delete,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateModelPackage: the group's next version; the same ClientToken creates it once."""
        for name, words in NOT_DONE.items():
            if parameters.get(name):
                raise unsupported(words)
        if "ModelPackageGroupName" not in parameters:
            raise invalid("Either ModelPackageName or ModelPackageGroupName must be given.")
        token = parameters.get("ClientToken")
        content = json.dumps({**parameters, "ClientToken": None}, sort_keys=True)
        entity_tags = self._entity_tags(parameters.get("InferenceSpecification", {}))
        with self._groups.lock:
            if token in self._tokens:
                known, arn = self._tokens[token]
                if known != content:
                    raise conflict(f"ClientToken {token} was used for a different request.")
                return {"ModelPackageArn": arn}
            group = self._groups.find(parameters["ModelPackageGroupName"])
            record = self._new(group, parameters, entity_tags)
            arn = record["ModelPackageArn"]
            self._tags.adopt(arn, parameters.get("Tags", ()))
            group["next_version"] += 1
            group["versions"] += 1
            self._packages[arn] = record
            if token is not None:
                self._tokens[token] = (content, arn)
            self._announce(record)
        return {"ModelPackageArn": arn}

    def _new(self, group: Record, parameters: Record, entity_tags: Mapping[str, str]) -> Record:
        name, version = group["ModelPackageGroupName"], group["next_version"]
        left_out = ("ClientToken", "Tags", "ModelPackageGroupName")
        record = {key: value for key, value in parameters.items() if key not in left_out}
        for container in record.get("InferenceSpecification", {}).get("Containers", []):
            if container.get("ModelDataUrl") in entity_tags:
                container["ModelDataETag"] = entity_tags[container["ModelDataUrl"]]
        record.setdefault("ModelApprovalStatus", PENDING)
        record.setdefault("ModelPackageRegistrationType", "Registered")
        record.setdefault("SkipModelValidation", "None")
        if "MetadataProperties" in record:
            record["MetadataProperties"] = dict(record["MetadataProperties"])
        return {
            **record,
            "ModelPackageGroupName": name,
            "ModelPackageVersion": version,
            "ModelPackageArn": f"{self._prefix}{name}/{version}",
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
            "CreationTime": round(time.time(), 3),
            "CreatedBy": self._creator,
        }

    def _entity_tags(self, specification: Mapping[str, Any]) -> dict[str, str]:
        """The ETag of each container's model data, which AWS records at registration."""
        found = {}
        for container in specification.get("Containers", []):
            uri = container.get("ModelDataUrl")
            if not uri:
                continue
            try:
                bucket, key = split_uri(uri)
                head = self._cloud.client("s3").head_object(Bucket=bucket, Key=key)
                found[uri] = head["ETag"].strip('"')
            except (DataError, ClientError):
                continue  # AWS does not promise the member: an unreadable artifact has none
        return found

    def find(self, name: str) -> Record:
        """A version by its ARN; hold the groups' lock."""
        arn = name if name.startswith("arn:") else f"{self._prefix}{name}"
        if arn not in self._packages:
            raise invalid(f"ModelPackage {arn} does not exist.")
        return self._packages[arn]

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DescribeModelPackage."""
        with self._groups.lock:
            return copy.deepcopy(project(self._describe, self.find(parameters["ModelPackageName"])))

    def batch_describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """BatchDescribeModelPackage: what is unknown comes back as an error of its own."""
        found: dict[str, Any] = {}
        missing: dict[str, Any] = {}
        with self._groups.lock:
            for arn in parameters["ModelPackageArnList"]:
                if arn in self._packages:
                    found[arn] = copy.deepcopy(project(self._batch, self._packages[arn]))
                else:
                    text = f"ModelPackage {arn} does not exist."
                    missing[arn] = {"ErrorCode": "ValidationException", "ErrorResponse": text}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}

    def update(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateModelPackage: what is given replaces, properties are merged, then the event."""
        with self._groups.lock:
            record = self.find(parameters["ModelPackageArn"])
            changed = copy.deepcopy(record)
            changed["CustomerMetadataProperties"] = _properties(record, parameters)
            for name in (
                "ModelApprovalStatus",
                "ApprovalDescription",
                "ModelPackageRegistrationType",
                "InferenceSpecification",
                "SourceUri",
                "ModelCard",
                "ModelLifeCycle",
            ):
                if name in parameters:
                    changed[name] = parameters[name]
            extra = parameters.get("AdditionalInferenceSpecificationsToAdd", [])
            if extra:
                known = changed.setdefault("AdditionalInferenceSpecifications", [])
                known.extend(extra)
                names = [entry["Name"] for entry in known]
                if len(names) != len(set(names)):
                    raise conflict("Names of additional inference specifications must be unique.")
            changed["LastModifiedTime"] = round(time.time(), 3)
            changed["LastModifiedBy"] = self._creator
            record.clear()
            record.update(changed)
            fields = [spelled for name, spelled in UPDATED_FIELDS.items() if name in parameters]
            self._announce(record, list(dict.fromkeys(fields)))
            return {"ModelPackageArn": record["ModelPackageArn"]}

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackages: without a group or a type it shows unversioned ones, as AWS does."""
        group = parameters.get("ModelPackageGroupName")
        status = parameters.get("ModelApprovalStatus")
        with self._groups.lock:
            name = self._groups.find(group)["ModelPackageGroupName"] if group else None
            kind = parameters.get("ModelPackageType", "Versioned" if group else "Unversioned")
            records = [] if kind == "Unversioned" else list(self._packages.values())
            entries, token = listed(
                LISTING,
                records,
                parameters,
                [
                    lambda r: name is None or r["ModelPackageGroupName"] == name,
                    lambda r: status is None or r["ModelApprovalStatus"] == status,
                ],
            )
            found: dict[str, Any] = {
                LISTING.result: [copy.deepcopy(project(self._summary, r)) for r in entries]
            }
        return {**found, "NextToken": token} if token else found

    def delete(self, parameters: dict[str, Any]) -> None:
        """DeleteModelPackage: its number is not used again."""
        with self._groups.lock:
            record = self.find(parameters["ModelPackageName"])
            arn = record["ModelPackageArn"]
            del self._packages[arn]
            self._tokens = {t: known for t, known in self._tokens.items() if known[1] != arn}
            self._groups.find(record["ModelPackageGroupName"])["versions"] -= 1
            self._tags.drop(arn)

    def _announce(self, record: Record, updated: list[str] | None = None) -> None:
        """The event "SageMaker Model Package State Change" in AWS's shape."""
        detail = {
            name: _spelled(name, record[name])
            for name in EVENT_MEMBERS
            if record.get(name) is not None
        }
        if updated is not None:
            detail["UpdatedModelPackageFields"] = updated
        self._cloud.publish_event(
            "aws.sagemaker",
            "SageMaker Model Package State Change",
            copy.deepcopy(detail),
            [record["ModelPackageArn"]],
        )


def _properties(record: Record, parameters: Mapping[str, Any]) -> dict[str, str]:
    known = dict(record.get("CustomerMetadataProperties", {}))
    for name in parameters.get("CustomerMetadataPropertiesToRemove", []):
        known.pop(name, None)
    known.update(parameters.get("CustomerMetadataProperties", {}))
    if len(known) > PROPERTIES_LIMIT:
        raise invalid(
            f"A model package can have at most {PROPERTIES_LIMIT} CustomerMetadataProperties; "
            f"this would be {len(known)}."
        )
    return known


def _spelled(name: str, value: Any) -> Any:
    if re.search(r"(Creation|LastModified)Time$", name):
        moment = datetime.fromtimestamp(value, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    return value
