"""The custom resource: its answers, its patience, and that only a deletion removes anything."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws
from perennial import custom_resource
from perennial.aws import objects, registry
from perennial.aws.clients import client

from tests.alarms import put_alarm

MAIN = {
    "Kind": "Stack",
    "StackName": "dev-perennial",
    "DataRetention": "delete",
    "LandingBucket": "landing",
    "ArtifactBucket": "artifacts",
    "LedgerTable": "ledger",
}


class Inbox(HTTPServer):
    """Takes CloudFormation's place behind the response URL; `failures` answers fail first."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures = 0
        super().__init__(("127.0.0.1", 0), _Inbox)

    @property
    def url(self) -> str:
        """Where answers are to be put."""
        return f"http://127.0.0.1:{self.server_port}/answer?X-Amz-Signature=a%2Bb"


class _Inbox(BaseHTTPRequestHandler):
    server: Inbox

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
            return
        assert self.headers["Content-Type"] == ""
        self.server.answers.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A running inbox."""
    server = Inbox()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def change(
    inbox: Inbox, handler: Callable[[str], Any], context: Any
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Send one change of a stack to the handler; its answer."""
    handle = handler("on_stack_changed")

    def send(request: str, properties: dict[str, Any], **event: Any) -> dict[str, Any]:
        handle(
            {
                "RequestType": request,
                "ResponseURL": inbox.url,
                "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/dev/1",
                "RequestId": "r-1",
                "LogicalResourceId": "StackIdentity",
                "ResourceType": "Custom::StackIdentity",
                "ResourceProperties": {"ServiceToken": "arn", **properties},
                **event,
            },
            context,
        )
        return inbox.answers[-1]

    with mock_aws():
        yield send


def make_data() -> None:
    """Both buckets with versions in them, and the table."""
    s3 = boto3.client("s3")
    for bucket in ("landing", "artifacts"):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for _ in range(2):
            s3.put_object(Bucket=bucket, Key="incoming/census/a b+%41.csv", Body=b"x")
        s3.delete_object(Bucket=bucket, Key="incoming/census/a b+%41.csv")
    boto3.client("dynamodb").create_table(
        TableName="ledger",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )


def left() -> tuple[int, int]:
    """How many buckets and tables there are."""
    return (
        len(boto3.client("s3").list_buckets()["Buckets"]),
        len(boto3.client("dynamodb").list_tables()["TableNames"]),
    )


def test_a_stack_is_told_its_token(change: Any) -> None:
    """The first ten characters of its name, without a trailing dash."""
    answer = change("Create", MAIN)
    assert (answer["Status"], answer["Data"]) == ("SUCCESS", {"Token": "dev-perenn"})
    assert (answer["RequestId"], answer["LogicalResourceId"]) == ("r-1", "StackIdentity")


def test_the_physical_id_never_changes(change: Any) -> None:
    """A changed id would make CloudFormation delete the old resource, and the data with it."""
    created = change("Create", MAIN)["PhysicalResourceId"]
    assert change("Create", MAIN)["PhysicalResourceId"] == created
    updated = change("Update", {**MAIN, "DataRetention": "keep"}, PhysicalResourceId=created)
    assert updated["PhysicalResourceId"] == created
    assert change("Create", MAIN, StackId="another")["PhysicalResourceId"] != created


def test_deletion_removes_every_version_both_buckets_and_the_table(change: Any) -> None:
    """With DataRetention=delete nothing is left, and again is harmless."""
    make_data()
    for _ in range(2):
        assert change("Delete", MAIN, PhysicalResourceId="p")["Status"] == "SUCCESS"
        assert left() == (0, 0)


@pytest.mark.parametrize(
    ("request_type", "retention"), [("Delete", "keep"), ("Update", "delete"), ("Create", "delete")]
)
def test_nothing_else_removes_anything(change: Any, request_type: str, retention: str) -> None:
    """Keeping, updating and creating leave the data alone."""
    make_data()
    properties = {**MAIN, "DataRetention": retention}
    assert change(request_type, properties, PhysicalResourceId="p")["Status"] == "SUCCESS"
    assert left() == (2, 1)


def test_a_models_group_is_emptied_on_deletion(change: Any) -> None:
    """CloudFormation can delete a package group only once it is empty."""
    group = "dev-perenn-census"
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
    for number in range(3):
        token = registry.client_token("census", str(number))
        registry.create_version({"ModelPackageGroupName": group, "ClientToken": token})
    model = {"Kind": "Model", "StackName": "dev-perennial", "Model": "census"}
    properties = {**model, "PackageGroup": group}
    deleted: list[str] = []

    def delete(params: Any, **_request: Any) -> Any:
        # moto keeps packages but cannot delete them.
        deleted.append(json.loads(params["body"])["ModelPackageName"])
        return AWSResponse("", 200, HTTPHeaders(), None), {}

    hook = "before-call.sagemaker.DeleteModelPackage"
    client("sagemaker").meta.events.register(hook, delete)
    assert change("Update", properties)["Data"] == {}
    assert deleted == []
    assert change("Delete", properties, PhysicalResourceId="p")["Status"] == "SUCCESS"
    assert sorted(name.rsplit("/", 1)[1] for name in deleted) == ["1", "2", "3"]
    assert change("Delete", {**properties, "PackageGroup": "gone"})["Status"] == "SUCCESS"
    client("sagemaker").meta.events.unregister(hook, delete)


def test_what_a_models_releases_made_is_removed(change: Any) -> None:
    """Endpoints first, then what they served and what guarded them; of this model alone."""
    sagemaker, cloudwatch = boto3.client("sagemaker"), boto3.client("cloudwatch")
    for model in ("census", "census-2"):
        name = f"dev-perenn-{model}-r3"
        sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": "i"},
            ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
        )
        variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{**variant, "InitialInstanceCount": 1}],
        )
        sagemaker.create_endpoint(EndpointName=f"dev-perenn-live-{model}", EndpointConfigName=name)
        put_alarm(cloudwatch, f"dev-perenn-guard-{model}-r3-errors")
    properties = {"Kind": "Model", "StackName": "dev-perennial", "Model": "census"}
    properties["PackageGroup"] = "dev-perenn-census"
    assert change("Delete", properties, PhysicalResourceId="p")["Status"] == "SUCCESS"
    (endpoint,) = sagemaker.list_endpoints()["Endpoints"]
    (config,) = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    (model_left,) = sagemaker.list_models()["Models"]
    (alarm,) = cloudwatch.describe_alarms()["MetricAlarms"]
    assert endpoint["EndpointName"] == "dev-perenn-live-census-2"
    assert config["EndpointConfigName"] == model_left["ModelName"] == "dev-perenn-census-2-r3"
    assert alarm["AlarmName"] == "dev-perenn-guard-census-2-r3-errors"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Kind": "Bucket"}, "Kind is 'Bucket'; expected Stack or Model"),
        ({"Kind": "Stack"}, "KeyError: 'StackName'"),
        ({}, "Kind is None"),
    ],
)
def test_an_error_is_answered_with_its_words(change: Any, properties: Any, words: str) -> None:
    """A mistake in the template fails the stack at once instead of after an hour."""
    answer = change("Create", properties)
    assert answer["Status"] == "FAILED"
    assert words in answer["Reason"]


def test_an_answer_that_fails_is_repeated(
    change: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 may answer 503 now and then."""
    monkeypatch.setattr(time, "sleep", lambda _s: None)
    inbox.failures = 2
    assert change("Create", MAIN)["Status"] == "SUCCESS"


def test_an_answer_that_cannot_be_delivered_raises(
    change: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda then repeats the whole event."""
    monkeypatch.setattr(time, "sleep", lambda _s: None)
    inbox.failures = 99
    with pytest.raises(OSError, match="503"):
        change("Create", MAIN)


def test_work_that_is_out_of_time_stops_and_says_so(change: Any, context: Any) -> None:
    """Near its time-out the function gives up in words; the next deletion goes on."""
    make_data()
    context.remaining_ms = 15_000
    answer = change("Delete", MAIN, PhysicalResourceId="p")
    assert answer["Status"] == "FAILED"
    assert "landing is not empty yet and the time is up" in answer["Reason"]


def test_work_that_hangs_is_answered_for(
    change: Any, context: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that does not come back is answered by the timer, once."""
    monkeypatch.setattr(custom_resource, "MARGIN_S", 0.1)
    monkeypatch.setattr(objects, "delete_versions", lambda *_a, **_k: time.sleep(0.6))
    monkeypatch.setattr(objects, "delete_bucket", lambda _name: None)
    context.remaining_ms = 300
    answer = change("Delete", MAIN, PhysicalResourceId="p")
    assert answer["Status"] == "FAILED"
    assert "repeat the operation" in answer["Reason"]
    assert len(inbox.answers) == 1
