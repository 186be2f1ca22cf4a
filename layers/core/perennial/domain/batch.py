"""Batches of predictions: what SageMaker is asked for, and what is told of the results.

Formats and limits are those of CreateModel and CreateTransformJob;
`tests/unit/domain/test_batch.py` holds both requests against botocore's own description of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.release_plan import Subject
from perennial.domain.run_input import Network
from perennial.domain.schema import BadHeader, Column, Header, match_header
from perennial.domain.signals import ObjectVersion

CSV, LINES = "text/csv", "application/jsonlines"
SUFFIXES = {
    ".csv": CSV,
    ".jsonl": LINES,
    ".jsonlines": LINES,
    ".ndjson": LINES,
}
GZIP = ".gz"
OUT = ".out"
#: Rows of an object that is made of a local file: parts let instances share, and show progress.
PART_ROWS = 50_000
MANIFEST = "manifest.json"


class BadInput(ValueError):
    """Input that no batch can be made of; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class Content:
    """What the objects of a batch hold: a content type, compressed or not."""

    kind: str
    gzip: bool


def content_of(name: str) -> Content:
    """What an object or file holds, by the end of its name; raises `BadInput`."""
    lower = name.lower()
    plain = lower.removesuffix(GZIP)
    for suffix, kind in SUFFIXES.items():
        if plain.endswith(suffix):
            return Content(kind, plain != lower)
    raise BadInput(
        f"{name} ends in none of {', '.join(SUFFIXES)} (with or without {GZIP}), so nobody can "
        "tell what it holds; name it by what it holds"
    )


def content_of_all(names: Sequence[str]) -> Content:
    """What all objects hold; raises `BadInput` when they differ: a job reads one kind."""
    kinds: dict[Content, str] = {}
    for name in names:
        kinds.setdefault(content_of(name), name)
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise BadInput(
            f"{one} and {other} are of different kinds, and one job reads one kind; give them "
            "as two batches, of two prefixes"
        )
    (found,) = kinds
    return found


def header_of(features: Sequence[Column], cells: Sequence[str]) -> Header | None:
    """How a first line maps to the features, or None when it is a row.

    It is a header when half of the features' names stand in it. A column that is not required
    need not be there: its position is then -1. Raises `BadInput` when a required one is missing.
    """
    names = {cell.strip().lstrip("\ufeff").strip() for cell in cells}
    known = sum(column.name in names for column in features)
    if not known or 2 * known < len(features):
        return None
    there = [column for column in features if column.required or column.name in names]
    try:
        found = match_header(there, cells)
    except BadHeader as error:
        raise BadInput(str(error)) from error
    places = dict(zip((column.name for column in there), found.positions, strict=True))
    positions = tuple(places.get(column.name, -1) for column in features)
    return Header(positions, found.width, found.notices)


@dataclass(frozen=True)
class Order:
    """What a batch asks SageMaker for. `source` and `target` are S3 URIs, `kms_key` may be empty.

    `join` puts each row before its prediction.
    """

    name: str
    role: str
    source: str
    target: str
    content: Content
    instance: str
    container: Mapping[str, Any]
    network: Network
    tags: Sequence[Mapping[str, str]]
    kms_key: str = ""
    join: bool = False


def tags(subject: Subject, mark: str) -> list[dict[str, str]]:
    """The tags of a batch's Model and job; the settings' own among them."""
    own = {
        "perennial:stack": subject.stack,
        "perennial:model": subject.model,
        "perennial:version": str(subject.version),
        "perennial:batch": mark,
    }
    return [{"Key": k, "Value": v} for k, v in {**dict(subject.tags), **own}.items()]


def model_request(order: Order) -> dict[str, Any]:
    """CreateModel: the version under the batch's name, for as long as the batch takes."""
    request: dict[str, Any] = {
        "ModelName": order.name,
        "PrimaryContainer": dict(order.container),
        "ExecutionRoleArn": order.role,
        "EnableNetworkIsolation": order.network.isolated,
        "Tags": list(order.tags),
    }
    if order.network.subnets:
        request["VpcConfig"] = {
            "SecurityGroupIds": list(order.network.security_groups),
            "Subnets": list(order.network.subnets),
        }
    return request


def job_request(order: Order) -> dict[str, Any]:
    """CreateTransformJob: lines, as many as fit into a request, answered line by line.

    How large a request is and how many come at once is told by the server
    (GET /execution-parameters).
    """
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": order.source}}
    target = {
        "S3OutputPath": order.target,
        "Accept": order.content.kind,
        "AssembleWith": "Line",
        **({"KmsKeyId": order.kms_key} if order.kms_key else {}),
    }
    resources = {"InstanceType": order.instance, "InstanceCount": 1}
    request: dict[str, Any] = {
        "TransformJobName": order.name,
        "ModelName": order.name,
        "BatchStrategy": "MultiRecord",
        "TransformInput": {
            "DataSource": source,
            "ContentType": order.content.kind,
            "CompressionType": "Gzip" if order.content.gzip else "None",
            "SplitType": "Line",
        },
        "TransformOutput": target,
        "TransformResources": {
            **resources,
            **({"VolumeKmsKeyId": order.kms_key} if order.kms_key else {}),
        },
        "Tags": list(order.tags),
    }
    if order.join:
        request["DataProcessing"] = {"JoinSource": "Input"}
    return request


def relative_name(prefix: str, key: str) -> str:
    """What SageMaker calls an object below the input prefix: the output's name before `.out`."""
    if key == prefix:
        return key.rpartition("/")[2]
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(prefix + "/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def output_key(target_prefix: str, name: str) -> str:
    """Where the predictions for an input object lie."""
    front = target_prefix.rstrip("/")
    return f"{front}/{name}{OUT}" if front else f"{name}{OUT}"


@dataclass(frozen=True)
class Pair:
    """An input object, the output that it became (None: none), and the rows of both."""

    source: ObjectVersion
    output: ObjectVersion | None
    rows: int
    predictions: int | None


def mismatches(pairs: Sequence[Pair]) -> list[str]:
    """In words, each input whose predictions are not there or are not one a row."""
    words = []
    for pair in pairs:
        where = f"s3://{pair.source.bucket}/{pair.source.key}"
        if pair.output is None:
            words.append(f"{where} has no predictions")
        elif pair.predictions != pair.rows:
            words.append(f"{where} has {pair.rows:,} rows and {pair.predictions:,} predictions")
    return words


def entry_of(version: ObjectVersion, rows: int | None) -> dict[str, Any]:
    """An object in the manifest; a bucket without versions has the version id `null`."""
    return {
        "uri": f"s3://{version.bucket}/{version.key}",
        "version_id": version.version_id,
        "etag": version.etag,
        "bytes": version.size,
        "rows": rows,
    }


def objects_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The manifest's parts about objects and rows."""
    outputs = [(pair.output, pair.predictions) for pair in pairs if pair.output is not None]
    return {
        "inputs": [entry_of(pair.source, pair.rows) for pair in pairs],
        "outputs": [
            {
                **entry_of(pair.output, pair.predictions),
                "of": f"s3://{pair.source.bucket}/{pair.source.key}",
            }
            for pair in pairs
            if pair.output is not None
        ],
        "rows_in": sum(pair.rows for pair in pairs),
        "rows_out": sum(rows or 0 for _, rows in outputs),
    }
