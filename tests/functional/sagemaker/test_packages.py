"""Model package groups and versions: numbers, approval, idempotency, events, deletion."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.conftest import IMAGE


@pytest.fixture
def group(jobs: Any) -> str:
    """A fresh group."""
    name: str = jobs.name("group")
    jobs.sagemaker.create_model_package_group(
        ModelPackageGroupName=name,
        ModelPackageGroupDescription="a test",
        Tags=[{"Key": "perennial:model", "Value": "census"}],
    )
    return name


def register(jobs: Any, group: str, **more: Any) -> str:
    """Register one version; its ARN."""
    uri = jobs.put(f"artifacts/{group}/model.tar.gz", "model")
    arn: str = jobs.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": uri}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        **more,
    )["ModelPackageArn"]
    return arn


def test_versions_count_up_and_describe_what_they_got(jobs: Any, group: str) -> None:
    """Numbers are the group's, a description shows all members, and the default is pending."""
    metric = {"ContentType": "application/json", "S3Uri": jobs.uri("m.json")}
    first = register(
        jobs,
        group,
        CustomerMetadataProperties={"auc": "0.91"},
        ModelMetrics={"ModelQuality": {"Statistics": metric}},
        DriftCheckBaselines={"ModelQuality": {"Statistics": metric}},
        ModelLifeCycle={"Stage": "staging", "StageStatus": "active"},
        MetadataProperties={"GeneratedBy": "arn:aws:states:eu-west-1:1:execution:a:b"},
    )
    second = register(jobs, group, ModelApprovalStatus="Rejected")
    assert first.endswith(f":model-package/{group}/1")
    assert second.endswith("/2")
    found = jobs.sagemaker.describe_model_package(ModelPackageName=first)
    assert found["ModelPackageVersion"] == 1
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["CustomerMetadataProperties"] == {"auc": "0.91"}
    assert found["ModelMetrics"]["ModelQuality"]["Statistics"] == metric
    assert found["DriftCheckBaselines"]["ModelQuality"]["Statistics"] == metric
    assert found["ModelLifeCycle"]["Stage"] == "staging"
    assert found["ModelPackageStatus"] == "Completed"
    container = found["InferenceSpecification"]["Containers"][0]
    head = jobs.s3.head_object(Bucket=jobs.bucket, Key=f"artifacts/{group}/model.tar.gz")
    assert container["ModelDataETag"] == head["ETag"].strip('"')
    described = jobs.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    assert described["ModelPackageGroupStatus"] == "Completed"
    both = jobs.sagemaker.batch_describe_model_package(
        ModelPackageArnList=[second, second[:-1] + "9"]
    )
    assert list(both["ModelPackageSummaries"]) == [second]
    assert list(both["BatchDescribeModelPackageErrorMap"]) == [second[:-1] + "9"]


def test_a_client_token_registers_once(jobs: Any, group: str) -> None:
    """The same token and request is the same version; another request under it is refused."""
    first = register(jobs, group, ClientToken="run-1", ModelPackageDescription="a")
    assert register(jobs, group, ClientToken="run-1", ModelPackageDescription="a") == first
    with pytest.raises(ClientError, match="ClientToken"):
        register(jobs, group, ClientToken="run-1", ModelPackageDescription="b")
    assert register(jobs, group).endswith("/2")


def test_lists_are_ascending_by_default_and_filtered(jobs: Any, group: str) -> None:
    """As on AWS the naive first result is the oldest; status filters; pages do not overlap."""
    arns = [register(jobs, group) for _ in range(3)]
    jobs.sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved")
    listing = jobs.sagemaker.list_model_packages

    def versions(answer: Any) -> list[int]:
        return [entry["ModelPackageVersion"] for entry in answer["ModelPackageSummaryList"]]

    assert versions(listing(ModelPackageGroupName=group)) == [1, 2, 3]
    newest = listing(ModelPackageGroupName=group, SortOrder="Descending", MaxResults=1)
    assert versions(newest) == [3]
    more = listing(
        ModelPackageGroupName=group,
        SortOrder="Descending",
        MaxResults=1,
        NextToken=newest["NextToken"],
    )
    assert versions(more) == [2]
    assert versions(listing(ModelPackageGroupName=group, ModelApprovalStatus="Approved")) == [2]
    assert versions(listing()) == []
    groups = jobs.sagemaker.list_model_package_groups(NameContains=group)
    assert [g["ModelPackageGroupName"] for g in groups["ModelPackageGroupSummaryList"]] == [group]


def test_a_group_with_versions_cannot_be_deleted(jobs: Any, group: str) -> None:
    """ConflictException until the last version is gone; numbers are not reused."""
    first = register(jobs, group)
    with pytest.raises(ClientError) as caught:
        jobs.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    jobs.sagemaker.delete_model_package(ModelPackageName=first)
    second = register(jobs, group)
    assert second.endswith("/2")
    jobs.sagemaker.delete_model_package(ModelPackageName=second)
    jobs.sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        jobs.sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_doubles_and_unknown_names_are_refused(jobs: Any, group: str) -> None:
    """AWS's ValidationException for what exists already or does not exist."""
    with pytest.raises(ClientError, match="already exists"):
        jobs.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        register(jobs, "no-such-group")
    with pytest.raises(ClientError, match="does not support unversioned model packages"):
        jobs.sagemaker.create_model_package(ModelPackageName="alone")
    with pytest.raises(ClientError, match="length less than or equal to 256"):
        register(jobs, group, CustomerMetadataProperties={"k": "v" * 257})


def test_approval_is_announced_with_the_updated_fields(jobs: Any, group: str) -> None:
    """Registration and every update send an event; only updates name their fields."""
    sqs, events = jobs.cloud.client("sqs"), jobs.cloud.client("events")
    queue = sqs.create_queue(QueueName=jobs.name("approvals"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [{"prefix": group}]},
    }
    rule = jobs.name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn["QueueArn"]}])
    package = register(jobs, group)
    jobs.sagemaker.update_model_package(
        ModelPackageArn=package,
        ModelApprovalStatus="Approved",
        ApprovalDescription="looks good",
        CustomerMetadataProperties={"approved_by": "alice"},
    )
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        seen += [json.loads(m["Body"]) for m in answer.get("Messages", [])]
    events.remove_targets(Rule=rule, Ids=["q"])
    events.delete_rule(Name=rule)
    seen.sort(key=lambda event: "UpdatedModelPackageFields" in event["detail"])
    registered, approved = seen
    assert registered["resources"] == [package]
    assert registered["detail"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert "UpdatedModelPackageFields" not in registered["detail"]
    assert approved["detail"]["ModelApprovalStatus"] == "Approved"
    assert set(approved["detail"]["UpdatedModelPackageFields"]) == {
        "ModelApprovalStatus",
        "ApprovalDescription",
        "CustomerMetadataProperties",
    }
    assert approved["detail"]["ModelPackageVersion"] == 1
    assert approved["detail"]["CreationTime"].endswith("Z")
