"""Calls of an endpoint, with its memory and its captured requests: AWS's side of the smoke test.

Through botocore alone, as in `jobs.objects`. Nothing is retried: what a client would see counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from jobs.failures import ServiceError

# InvokeEndpoint answers within 60 s, or with an error.
ANSWER_SECONDS = 70
UNANSWERED = 0
#: The error of a model that is still being loaded, or whose serverless machine still starts.
NOT_READY = "ModelNotReadyException"
HOST_METRICS = "/aws/sagemaker/Endpoints"
#: How far back captured requests are looked for, and how many files are read at most.
CAPTURE_DAYS = 7
MOST_FILES = 50


@dataclass(frozen=True)
class Answer:
    """What came back: the container's HTTP status (0: no answer at all), body, and seconds.

    `code` is SageMaker's own error, if it was not the container that answered.
    """

    status: int
    body: str
    seconds: float
    code: str = ""


@dataclass(frozen=True)
class Request:
    """A request's body and content type."""

    body: bytes
    kind: str


class Caller:
    """Clients of one Region and account, made by the job's own role."""

    def __init__(self) -> None:
        session = get_session()
        once = Config(read_timeout=ANSWER_SECONDS, retries={"total_max_attempts": 1})
        patient = Config(retries={"mode": "standard", "total_max_attempts": 6})
        # A job's container is told its Region by AWS_REGION, which botocore does not look at.
        region = os.environ.get("AWS_REGION")
        self.runtime: Any = session.create_client(
            "sagemaker-runtime", region_name=region, config=once
        )
        self.metrics: Any = session.create_client("cloudwatch", region_name=region, config=patient)
        self.s3: Any = session.create_client("s3", region_name=region, config=patient)

    def invoke(
        self, endpoint: str, request: Request, accept: str, target_model: str = ""
    ) -> Answer:
        """One invocation, of one of several models if `target_model` names it.

        Raises `ServiceError` when the call is refused, not when the model fails.
        """
        began = time.perf_counter()
        one_of_several = {"TargetModel": target_model} if target_model else {}
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=endpoint,
                Body=request.body,
                ContentType=request.kind,
                Accept=accept,
                **one_of_several,
            )
            body = answer["Body"].read().decode("utf-8", "replace")
            return Answer(200, body, time.perf_counter() - began)
        except ClientError as error:
            return _failure(endpoint, error, time.perf_counter() - began)
        except BotoCoreError as error:
            return Answer(UNANSWERED, f"{error}", time.perf_counter() - began)

    def memory(self, endpoint: str, variant: str, since: datetime) -> float | None:
        """The largest share of its memory that the variant used since then; None: not told."""
        try:
            found = self.metrics.get_metric_statistics(
                Namespace=HOST_METRICS,
                MetricName="MemoryUtilization",
                Dimensions=[
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": variant},
                ],
                StartTime=since,
                EndTime=datetime.now(timezone.utc) + timedelta(minutes=1),
                Period=60,
                Statistics=["Maximum"],
            )
        except (ClientError, BotoCoreError) as error:
            raise ServiceError(f"the memory of {endpoint} cannot be asked for: {error}") from error
        values = [point["Maximum"] for point in found["Datapoints"]]
        return max(values) / 100 if values else None

    def captured(self, bucket: str, prefix: str, most: int) -> list[Request]:
        """The newest captured requests that were answered, below an endpoint's variant."""
        found: list[Request] = []
        try:
            for number, key in enumerate(self._newest(bucket, prefix)):
                if len(found) >= most or number >= MOST_FILES:
                    break
                body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                found += read_capture(body.decode("utf-8", "replace"))
        except (ClientError, BotoCoreError) as error:
            raise ServiceError(f"s3://{bucket}/{prefix} cannot be read: {error}") from error
        return found[:most]

    def _newest(self, bucket: str, prefix: str) -> Iterator[str]:
        """Keys of capture files, the newest first; their folders are hours."""
        today = datetime.now(timezone.utc)
        pages = self.s3.get_paginator("list_objects_v2")
        for days in range(CAPTURE_DAYS):
            day = (today - timedelta(days=days)).strftime("%Y/%m/%d")
            listed = [
                (entry["LastModified"], entry["Key"])
                for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/{day}/")
                for entry in page.get("Contents", [])
            ]
            yield from (key for _, key in sorted(listed, reverse=True))


def read_capture(text: str) -> list[Request]:
    """The requests of one capture file (JSON lines, in SageMaker's format), the newest first.

    A line that cannot be read, or whose request was not answered, is left out: what a client once
    sent wrongly says nothing of the new model.
    """
    found = []
    for line in text.splitlines():
        try:
            captured = json.loads(line)["captureData"]
            if captured.get("endpointOutput"):
                found.append(_request(captured["endpointInput"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found[::-1]


def _request(part: Mapping[str, Any]) -> Request:
    data, kind = str(part["data"]), str(part.get("observedContentType") or "text/csv")
    if part.get("encoding") == "BASE64":
        try:
            return Request(base64.b64decode(data, validate=True), kind)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return Request(data.encode(), kind)


def _failure(endpoint: str, error: ClientError, seconds: float) -> Answer:
    """The model's own answer within SageMaker's error; a refusal of the call is no answer."""
    response: dict[str, Any] = dict(error.response)
    code = response.get("Error", {}).get("Code", "")
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode") or 500)
        return Answer(status, str(response.get("OriginalMessage", "")), seconds)
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= 500 or status == 429:
        return Answer(status, str(error), seconds, code)
    raise ServiceError(
        f"{code} at endpoint {endpoint}: {error}. If it is AccessDenied, the job's role may not "
        "invoke it."
    ) from error
