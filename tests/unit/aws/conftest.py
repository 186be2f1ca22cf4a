"""An AWS of moto's in this process, with the resources that the adapters are made for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

LANDING, ARTIFACTS, LEDGER = "landing", "artifacts", "ledger"


@pytest.fixture
def aws() -> Iterator[None]:
    """A fresh, empty account."""
    with mock_aws():
        yield


@pytest.fixture
def buckets(aws: None) -> tuple[str, str]:
    """The two versioned buckets."""
    s3 = boto3.client("s3")
    for bucket in (LANDING, ARTIFACTS):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return LANDING, ARTIFACTS


@pytest.fixture
def table(aws: None) -> str:
    """The ledger's table."""
    create_table()
    return LEDGER


def create_table() -> None:
    """Create the ledger's table as the template does."""
    definition: Any = {
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    }
    boto3.client("dynamodb").create_table(
        TableName=LEDGER, BillingMode="PAY_PER_REQUEST", **definition
    )
