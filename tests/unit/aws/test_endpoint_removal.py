"""Endpoints, configurations, models and alarms: what is not there is no error, what is, goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from perennial.aws import alarms, endpoints
from perennial.aws.clients import client, forget_clients
from perennial.domain.errors import Denied, NotFound, Rejected

from tests.alarms import put_alarm

# As AWS says it, without an error of its own (aws-facts: un-modelled ValidationException).
GONE = {
    "describe_endpoint": 'Could not find endpoint "arn:aws:sagemaker:eu-west-1:1:endpoint/x".',
    "delete_endpoint": 'Could not find endpoint "arn:aws:sagemaker:eu-west-1:1:endpoint/x".',
    "delete_endpoint_config": 'Could not find endpoint configuration "arn:aws:sagemaker:x".',
    "delete_model": 'Could not find model "arn:aws:sagemaker:eu-west-1:1:model/x".',
}
CALLS = {
    "describe_endpoint": endpoints.describe_endpoint,
    "delete_endpoint": endpoints.delete_endpoint,
    "delete_endpoint_config": endpoints.delete_config,
    "delete_model": endpoints.delete_model,
}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """SageMaker, answering what the test says."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    forget_clients()
    with Stubber(client("sagemaker")) as made:
        yield made
    forget_clients()


@pytest.mark.parametrize("operation", GONE)
def test_what_is_not_there_is_no_error(stub: Stubber, operation: str) -> None:
    """Only the words of a ValidationException tell; each is understood."""
    stub.add_client_error(operation, "ValidationException", GONE[operation], 400)
    assert not CALLS[operation]("x")


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("ValidationException", "Cannot update in-progress endpoint", Rejected),
        ("AccessDeniedException", "not authorized", Denied),
    ],
)
@pytest.mark.parametrize("operation", GONE)
def test_other_refusals_are_errors(
    stub: Stubber, operation: str, code: str, words: str, kind: type[Exception]
) -> None:
    """Nothing that went wrong is taken for gone."""
    stub.add_client_error(operation, code, words, 400)
    with pytest.raises(kind, match=words):
        CALLS[operation]("x")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account in moto."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        forget_clients()
        yield
    forget_clients()


def test_a_configuration_is_described_with_its_models(aws: None) -> None:
    """Package, artifact and environment of each variant; an unknown one is not found."""
    sagemaker = boto3.client("sagemaker")
    container = {"Image": "i", "ModelDataUrl": "s3://a/b", "Environment": {"A": "1"}}
    sagemaker.create_model(
        ModelName="m",
        PrimaryContainer=container,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
    )
    variant = {"VariantName": "main", "ModelName": "m", "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[{**variant, "InitialInstanceCount": 3}]
    )
    (served,) = endpoints.describe_config("c")
    assert served == endpoints.ServedVersion(
        "main", "m", "ml.m5.large", 3, "", "s3://a/b", {"A": "1"}
    )
    assert list(endpoints.list_configs("c")) == ["c"]
    assert list(endpoints.list_models("m")) == ["m"]
    with pytest.raises(NotFound):
        endpoints.describe_config("other")


def test_alarms_are_removed_also_when_some_are_gone(aws: None) -> None:
    """One that does not exist keeps no other from going."""
    cloudwatch: Any = boto3.client("cloudwatch")
    for name in ("g-1", "g-2", "other"):
        put_alarm(cloudwatch, name)
    assert sorted(alarms.list_alarms("g-")) == ["g-1", "g-2"]
    alarms.delete_alarms(["g-0", "g-1", "g-2"])
    assert alarms.list_alarms("g-") == []
    assert alarms.list_alarms("o") == ["other"]
