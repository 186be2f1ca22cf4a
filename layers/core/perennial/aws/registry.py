"""The model registry in SageMaker: one package group a model, one package a version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"
LONGEST_DESCRIPTION = 1024
#: What a value of CustomerMetadataProperties cannot hold: all but letters, digits and these.
UNFIT = re.compile(r"[^\w .:/=+\-@]")
LONGEST_PROPERTY = 256


@dataclass(frozen=True)
class Version:
    """One registered version; `metadata` are its CustomerMetadataProperties."""

    group: str
    number: int
    arn: str
    status: str
    description: str
    approval_words: str
    metadata: Mapping[str, str]
    created_ms: int
    raw: Mapping[str, Any]


def client_token(*parts: str) -> str:
    """The idempotency token of a registration: 36 characters, the same for the same parts."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:36]


def create_version(request: Mapping[str, Any]) -> str:
    """CreateModelPackage, and the ARN of the version.

    The request must carry a `ClientToken`, so that a repetition finds the first answer.
    """
    group = request["ModelPackageGroupName"]
    with translated(f"registering a version in {group}"):
        arn: str = client("sagemaker").create_model_package(**request)["ModelPackageArn"]
    return arn


def describe_version(arn: str) -> Version:
    """One version by its ARN; raises `NotFound`."""
    with translated(f"describing {arn}"):
        found: Any = client("sagemaker").describe_model_package(ModelPackageName=arn)
    return Version(
        group=found["ModelPackageGroupName"],
        number=int(found["ModelPackageVersion"]),
        arn=found["ModelPackageArn"],
        status=found.get("ModelApprovalStatus", ""),
        description=found.get("ModelPackageDescription", ""),
        approval_words=found.get("ApprovalDescription", ""),
        metadata=dict(found.get("CustomerMetadataProperties", {})),
        created_ms=int(found["CreationTime"].timestamp() * 1000),
        raw=found,
    )


def list_versions(group: str) -> Iterator[Mapping[str, Any]]:
    """The group's version summaries, newest first; none for a group that does not exist."""
    paginator = client("sagemaker").get_paginator("list_model_packages")
    try:
        with translated(f"listing the versions of {group}"):
            for page in paginator.paginate(
                ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending"
            ):
                yield from page["ModelPackageSummaryList"]
    except NotFound:
        return


def find_version(group: str, number: int) -> Version:
    """The version of this number; raises `NotFound` with words for people."""
    for summary in list_versions(group):
        if summary.get("ModelPackageVersion") == number:
            return describe_version(summary["ModelPackageArn"])
    raise NotFound(f"{group} has no version {number}")


def update_approval(arn: str, status: str, words: str) -> str:
    """Set a version's approval; the words say who or what decided, and why.

    Answers them as the registry keeps them.
    """
    kept = words[:LONGEST_DESCRIPTION]
    with translated(f"setting {arn} to {status}"):
        client("sagemaker").update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus=status,  # type: ignore[arg-type]  # one of the three above
            ApprovalDescription=kept,
        )
    return kept


def note_metadata(arn: str, properties: Mapping[str, str]) -> None:
    """Add to a version's CustomerMetadataProperties, or replace some of them.

    They hold few kinds of characters and few of them: words are written without the others.
    """
    with translated(f"noting {', '.join(properties)} of {arn}"):
        client("sagemaker").update_model_package(
            ModelPackageArn=arn,
            CustomerMetadataProperties={
                name: " ".join(UNFIT.sub(" ", value).split())[:LONGEST_PROPERTY]
                for name, value in properties.items()
            },
        )


def set_stage(arn: str, stage: str, status: str, words: str) -> None:
    """Set a version's ModelLifeCycle: the stage it is in, or on its way to."""
    with translated(f"setting {arn} to {stage}"):
        client("sagemaker").update_model_package(
            ModelPackageArn=arn,
            ModelLifeCycle={
                "Stage": stage,
                "StageStatus": status,
                "StageDescription": words[:LONGEST_DESCRIPTION],
            },
        )


def delete_version(arn: str) -> None:
    """Remove a version; one that is gone stays gone."""
    try:
        with translated(f"deleting {arn}"):
            client("sagemaker").delete_model_package(ModelPackageName=arn)
    except NotFound:
        return
