"""What a running stack shows of itself, gathered as plain data for the checker.

Only AWS is asked: table, buckets, executions, registry, queues, alarms, metrics. The one thing
taken from our own code is what `perennial why` says, since that is what is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from perennial.aws.clients import client
from perennial.domain.errors import NotFound
from perennial.explain_wait import explain_wait
from perennial.wiring import Ports

WORKED, FAILED = "CheckClaim", ("NotClaimed", "CheckClaimFailed")
QUEUES = ("SignalDeadLetters", "RunEndedDeadLetters", "EventDeadLetters")


@dataclass(frozen=True)
class Landed:
    """One entry of the landing bucket's version listing."""

    bucket: str
    key: str
    version: str
    is_latest: bool
    is_marker: bool
    modified_ms: int


@dataclass(frozen=True)
class Execution:
    """One execution: `worked_ms` from its passed claim check to its end, None if it never did."""

    arn: str
    model: str
    run: int
    status: str
    started_ms: int
    stopped_ms: int | None
    claimed_ms: int | None
    redriven: bool = False


@dataclass(frozen=True)
class Package:
    """One registered version."""

    group: str
    arn: str
    run: int
    execution: str
    status: str


@dataclass
class Evidence:
    """Everything the checker looks at."""

    token: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    landed: list[Landed] = field(default_factory=list)
    manifests: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    refused: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    waits: dict[str, dict[str, str]] = field(default_factory=dict)
    freed: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    now_ms: int = 0


def gather(ports: Ports, *, told: list[str]) -> Evidence:
    """Look at everything; `told` are the ids of the notices that the topic has sent so far."""
    deployment = ports.deployment
    found = Evidence(deployment.token, told=told, now_ms=ports.clock())
    found.rows = list(_rows(deployment.ledger_table))
    found.landed = list(_landed(deployment.landing_bucket))
    runs = [row for row in found.rows if row["sk"].startswith("run#")]
    with ThreadPoolExecutor(4) as pool:
        listed = pool.map(_manifest, runs)
        reports = pool.map(lambda row: _refused(deployment.artifact_bucket, row), runs)
        names = [f"{row['model']}/{row['number']}" for row in runs]
        found.manifests = dict(zip(names, listed, strict=True))
        found.refused = dict(zip(names, reports, strict=True))
        listed_executions = _executions(deployment.machine_arn)
        found.executions = list(pool.map(lambda each: _execution(*each), listed_executions))
    found.packages = list(_packages(deployment.token))
    found.jobs = dict(_jobs())
    found.dead_letters, found.alarms = _dead_letters(ports), dict(_alarms())
    waiting = {row["model"] for row in found.rows if row["sk"].startswith("open#")}
    found.waits = {model: _waits(ports, model) for model in waiting}
    found.freed = {row["model"]: _freed(deployment.stack, row["model"]) for row in runs}
    return found


def _pages(service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    paginator = client(service).get_paginator(operation)
    for page in paginator.paginate(**arguments):
        yield from page.get(key, [])


def _rows(table: str) -> Iterator[dict[str, Any]]:
    read = TypeDeserializer()
    for item in _pages("dynamodb", "scan", "Items", TableName=table, ConsistentRead=True):
        row = {name: read.deserialize(value) for name, value in item.items()}
        if row["pk"].startswith("model#"):
            yield row


def _landed(bucket: str) -> Iterator[Landed]:
    paginator = client("s3").get_paginator("list_object_versions")
    for page in paginator.paginate(Bucket=bucket, Prefix="incoming/"):
        for kind, is_marker in (("Versions", False), ("DeleteMarkers", True)):
            for each in page.get(kind, []):
                yield Landed(
                    bucket,
                    each["Key"],
                    each["VersionId"],
                    each["IsLatest"],
                    is_marker,
                    int(each["LastModified"].timestamp() * 1000),
                )


@cache
def _document(uri: str) -> Any:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = client("s3")
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return {}


def _ids(entries: Any) -> set[tuple[str, str, str]]:
    return {(each["bucket"], each["key"], each["version_id"]) for each in entries}


def _manifest(run: dict[str, Any]) -> set[tuple[str, str, str]]:
    uri = run.get("manifest", {}).get("uri")
    return _ids(_document(uri).get("objects", [])) if uri else set()


def _refused(bucket: str, run: dict[str, Any]) -> set[tuple[str, str, str]]:
    if run.get("state") != "ended":
        return set()
    own = f"s3://{bucket}/runs/{run['model']}/{run['number']}"
    # A run that reused an earlier check rests on that one's report.
    place = json.loads(run.get("plan") or "{}").get("places", {}).get("check_data", own)
    report = _document(f"{place}/check/report.json")
    return _ids(each for each in report.get("objects", []) if each.get("quarantined"))


def _executions(machine: str) -> Iterator[tuple[str, str, str]]:
    """ARN, and what changes when an execution goes on: status and last end."""
    for each in _pages("stepfunctions", "list_executions", "executions", stateMachineArn=machine):
        yield each["executionArn"], each["status"], str(each.get("stopDate"))


@cache
def _execution(arn: str, _status: str, _stopped: str) -> Execution:
    states = client("stepfunctions")
    found = states.describe_execution(executionArn=arn)
    claimed = None
    for event in states.get_execution_history(executionArn=arn, maxResults=20)["events"]:
        left = event.get("stateExitedEventDetails", {}).get("name") == WORKED
        entered = event.get("stateEnteredEventDetails", {}).get("name", "")
        if left:
            claimed = int(event["timestamp"].timestamp() * 1000)
        if claimed and entered:
            claimed = None if entered in FAILED else claimed
            break
    document = json.loads(found["input"])
    stopped = found.get("stopDate")
    return Execution(
        arn=arn,
        model=str(document.get("model")),
        run=int(document.get("run", 0)),
        status=found["status"],
        started_ms=int(found["startDate"].timestamp() * 1000),
        stopped_ms=int(stopped.timestamp() * 1000) if stopped else None,
        claimed_ms=claimed,
        redriven=bool(found.get("redriveCount")),
    )


@cache
def _registered(arn: str) -> tuple[int, str]:
    """Run and execution that registered a version."""
    found = client("sagemaker").describe_model_package(ModelPackageName=arn)
    facts = found.get("CustomerMetadataProperties", {})
    return int(facts.get("perennial:run", 0)), facts.get("perennial:execution", "")


def _packages(token: str) -> Iterator[Package]:
    groups = _pages("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList")
    for group in groups:
        name = group["ModelPackageGroupName"]
        if not name.startswith(f"{token}-"):
            continue
        arguments = {"ModelPackageGroupName": name}
        listed = _pages("sagemaker", "list_model_packages", "ModelPackageSummaryList", **arguments)
        for each in listed:
            arn, status = each["ModelPackageArn"], each["ModelApprovalStatus"]
            group_of = name.removeprefix(f"{token}-")
            yield Package(group_of, arn, *_registered(arn), status)


def _jobs() -> Iterator[tuple[str, str]]:
    for kind in ("Training", "Processing"):
        operation = f"list_{kind.lower()}_jobs"
        for each in _pages("sagemaker", operation, f"{kind}JobSummaries"):
            yield each[f"{kind}JobName"], each[f"{kind}JobStatus"]


def _dead_letters(ports: Ports) -> dict[str, int]:
    urls = client("sqs").list_queues()["QueueUrls"]
    found = {}
    for name in QUEUES:
        (url,) = [u for u in urls if f"{ports.deployment.stack}-{name}" in u]
        attributes = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=attributes)
        found[name] = sum(int(value) for value in answer["Attributes"].values())
    return found


def _alarms() -> Iterator[tuple[str, str]]:
    for each in _pages("cloudwatch", "describe_alarms", "MetricAlarms"):
        for name in QUEUES:
            if f"-{name}Alarm-" in each["AlarmName"]:
                yield name, each["StateValue"]


def _waits(ports: Ports, model: str) -> dict[str, str]:
    """What `perennial why` says of each open signal, by its id."""
    try:
        explained = explain_wait(ports, model)
    except NotFound:
        return {}
    return {each.id: each.reason for each in explained.signals}


def _freed(stack: str, model: str) -> int:
    """How often functions counted that a run of the model ended (a killed one counts nothing)."""
    now = datetime.now(timezone.utc)
    answer = client("cloudwatch").get_metric_statistics(
        Namespace="Perennial",
        MetricName="RunsEnded",
        Dimensions=[{"Name": "stack", "Value": stack}, {"Name": "model", "Value": model}],
        StartTime=now - timedelta(hours=6),
        EndTime=now + timedelta(hours=1),
        Period=86400,
        Statistics=["Sum"],
    )
    return int(sum(point["Sum"] for point in answer["Datapoints"]))
