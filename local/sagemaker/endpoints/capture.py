"""Data capture: samples of requests and answers, as JSON lines in S3, in SageMaker's format."""

import base64
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Cloud
from local.sagemaker.container.objects import split_uri
from local.sagemaker.runtime import JobRuntime

log = logging.getLogger(__name__)
FLUSH_SECONDS = 60.0  # service seconds between two files of a variant
LONGEST, SHORTEST = 2.0, 0.2  # real seconds, however fast the clock runs
ATTEMPTS = 3
FILE_LIMIT = 32 * 1024 * 1024  # bytes of one file
BACKLOG_LIMIT = 256 * 1024 * 1024  # bytes that wait; beyond it nothing more is captured


@dataclass(frozen=True)
class Exchange:
    """One request with its answer."""

    sent: bytes
    sent_type: str
    answered: bytes
    answered_type: str
    inference_id: str
    custom_attributes: str


class CapturePlan:
    """A DataCaptureConfig, as it decides and as it encodes."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.enabled = bool(config.get("EnableCapture"))
        self.share = float(config["InitialSamplingPercentage"]) / 100
        self.bucket, self.prefix = split_uri(config["DestinationS3Uri"])
        self.key = config.get("KmsKeyId") or ""
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self.input = bool(modes & {"Input", "InputAndOutput"})
        self.output = bool(modes & {"Output", "InputAndOutput"})
        types = config.get("CaptureContentTypeHeader", {})
        self._encodings = {kind.lower(): "CSV" for kind in types.get("CsvContentTypes", [])}
        self._encodings |= {kind.lower(): "JSON" for kind in types.get("JsonContentTypes", [])}

    def wants(self) -> bool:
        """Whether this request is one of the sample."""
        return self.enabled and random.random() < self.share  # noqa: S311 - a sample

    def line(self, exchange: Exchange, moment: float) -> bytes:
        """The record as one JSON line."""
        data = {}
        if self.input:
            data["endpointInput"] = self._side("INPUT", exchange.sent, exchange.sent_type)
        if self.output:
            data["endpointOutput"] = self._side("OUTPUT", exchange.answered, exchange.answered_type)
        about: dict[str, Any] = {"eventId": str(uuid.uuid4())}
        if exchange.inference_id:
            about["inferenceId"] = exchange.inference_id
        if exchange.custom_attributes:
            about["customAttributes"] = [exchange.custom_attributes]
        about["inferenceTime"] = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = {"captureData": data, "eventMetadata": about, "eventVersion": "0"}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    def _side(self, mode: str, body: bytes, content_type: str) -> dict[str, str]:
        encoding = self._encodings.get(content_type.partition(";")[0].strip().lower(), "BASE64")
        try:
            text = body.decode("utf-8") if encoding != "BASE64" else ""
        except UnicodeDecodeError:
            encoding = "BASE64"  # not what its type says, and kept all the same
        if encoding == "BASE64":
            text = base64.b64encode(body).decode()
        return {
            "observedContentType": content_type,
            "mode": mode,
            "data": text,
            "encoding": encoding,
        }


def file_key(prefix: str, endpoint: str, variant: str, moment: float) -> str:
    """`<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/mm-ss-mmm-<uuid>.jsonl`, in UTC."""
    at = datetime.fromtimestamp(moment, UTC)
    name = f"{at:%M-%S}-{at.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
    parts = [prefix.strip("/"), endpoint, variant, f"{at:%Y/%m/%d/%H}", name]
    return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class _Waiting:
    plan: CapturePlan
    endpoint: str
    variant: str
    hour: int
    line: bytes
    moment: float


class CaptureWriter:
    """Gathers the lines of all endpoints and writes them in a thread of its own."""

    def __init__(self, cloud: Cloud, runtime: JobRuntime) -> None:
        self._cloud = cloud
        self._runtime = runtime
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._size = 0
        self._writing = 0
        self._begun = False
        cloud.add_idle_probe("capture", self.pending)

    def pending(self) -> int:
        """How many records are not in S3 yet."""
        with self._lock:
            return len(self._waiting) + self._writing

    def add(self, plan: CapturePlan, endpoint: str, variant: str, exchange: Exchange) -> None:
        """Take one sample; it is in S3 soon."""
        moment = time.time()
        line = plan.line(exchange, moment)
        with self._lock:
            if self._size > BACKLOG_LIMIT:
                log.error("data capture of endpoint %s cannot keep up: dropped", endpoint)
                return
            hour = int(moment // 3600)
            self._waiting.append(_Waiting(plan, endpoint, variant, hour, line, moment))
            self._size += len(line)
            begin, self._begun = not self._begun, True
        if begin:
            self._cloud.background("data capture", self._serve)

    def _serve(self) -> None:
        while not self._cloud.stopping.is_set():
            seconds = self._cloud.clock.real_seconds(FLUSH_SECONDS)
            self._cloud.stopping.wait(min(LONGEST, max(SHORTEST, seconds)))
            self.flush()

    def flush(self) -> None:
        """Write what waits; returns when all that was taken before is in S3."""
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            taken, self._waiting, self._size = self._waiting, [], 0
            self._writing = len(taken)
        files: dict[tuple[int, str, str, int], list[_Waiting]] = {}
        for record in taken:
            key = (id(record.plan), record.endpoint, record.variant, record.hour)
            files.setdefault(key, []).append(record)
        try:
            for records in files.values():
                self._write(records)
        finally:
            with self._lock:
                self._writing = 0

    def _write(self, records: list[_Waiting]) -> None:
        start = size = 0
        for number, record in enumerate(records):
            if size + len(record.line) > FILE_LIMIT and number > start:
                self._put(records[start:number])
                start, size = number, 0
            size += len(record.line)
        self._put(records[start:])

    def _put(self, records: list[_Waiting]) -> None:
        first = records[0]
        plan = first.plan
        key = file_key(plan.prefix, first.endpoint, first.variant, first.moment)
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": plan.key} if plan.key else {}
        body = b"".join(record.line for record in records)
        failure = ""
        for _ in range(ATTEMPTS):
            try:
                self._runtime.s3().put_object(Bucket=plan.bucket, Key=key, Body=body, **extra)
            except (ClientError, BotoCoreError) as error:
                failure = str(error)
            else:
                return
        text = f"Data capture failed: {len(records)} records for s3://{plan.bucket}/{key}: "
        log.error("%s%s", text, failure)
        group = f"/aws/sagemaker/Endpoints/{first.endpoint}"
        self._cloud.put_log_events(group, f"{first.variant}/data-log", [text + failure])
