"""The boto3 clients, made at the first use of each and once a process.

Endpoint, Region and credentials come from the environment alone, as in every AWS SDK.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# Attempts times time-outs stay below the shortest function time-out that waits for them:
# a call that hangs must end in an error that is logged, not in a killed function.
CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 4},
    user_agent_extra="perennial",
)


@overload
def client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["sagemaker"]) -> SageMakerClient: ...
@overload
def client(service: Literal["sns"]) -> SNSClient: ...
@overload
def client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
@overload
def client(service: str) -> Any: ...
def client(service: str) -> Any:
    """The client of one service."""
    return _clients(service)


@cache
def _clients(service: str) -> Any:
    return boto3.client(service, config=CONFIG)  # type: ignore[call-overload]  # any service name


def forget_clients() -> None:
    """Drop every client, so that the next use reads the environment again."""
    _clients.cache_clear()
    boto3.DEFAULT_SESSION = None
