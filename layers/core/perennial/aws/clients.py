"""The AWS clients, made at the first use of each and once a process.

They are boto3's, made by botocore itself: `import boto3` brings the S3 transfer manager along,
which costs every cold start 15 ms and which only uploads from a laptop need. Endpoint, Region and
credentials come from the environment alone, as in every AWS SDK.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# What the SDK has imported lives as long as the process: no collection needs to walk through it,
# which one of them would do while a function starts (20 ms).
gc.freeze()

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
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def _clients(service: str) -> Any:
    return _session().create_client(service, config=CONFIG)


def hurried_client(service: str, seconds: int) -> Any:
    """A client of a service that waits `seconds` for an answer and never asks again by itself."""
    return _hurried_clients(service, seconds)


@cache
def _hurried_clients(service: str, seconds: int) -> Any:
    hurried = Config(connect_timeout=1, read_timeout=seconds, retries={"total_max_attempts": 1})
    return _session().create_client(service, config=CONFIG.merge(hurried))


def forget_clients() -> None:
    """Drop every client, so that the next use reads the environment again."""
    _clients.cache_clear()
    _hurried_clients.cache_clear()
    _session.cache_clear()
