"""Follow a batch to its end: what is done, the manifest of its results, and no Model left."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.aws import endpoints, objects, transforms
from perennial.aws.line_objects import count_lines, download
from perennial.aws.log_groups import read_lines
from perennial.aws.transforms import DATA_LOG, LOG_GROUP, Transform
from perennial.domain import batch
from perennial.domain.batch import MANIFEST, Pair
from perennial.domain.errors import Rejected
from perennial.domain.signals import ObjectVersion
from perennial.gather_evidence import own_prices

if TYPE_CHECKING:
    from perennial.start_batch import Batch
    from perennial.wiring import Ports

MOST_LINES = 12
MARK = "[sagemaker logs]: "
SAYS_NOTHING = re.compile(r"^MaxConcurrentTransforms=|: (Message:)?\s*$|^\s*$")


@dataclass(frozen=True)
class Look:
    """A batch as it is now: the job, and the outputs that are whole, by input key."""

    job: Transform
    outputs: Mapping[str, ObjectVersion]


def look_at(started: Batch) -> Look:
    """The job, and then its outputs: of a job that is over, all of them."""
    job = transforms.describe_transform(started.order.name)
    return Look(job, outputs_of(started))


def outputs_of(started: Batch) -> dict[str, ObjectVersion]:
    """The output of each input key that has one by now."""
    bucket, prefix = started.target
    found = {each.key: each for each in objects.current_versions(bucket, prefix)}
    source = objects.split_uri(started.order.source)[1]
    wanted = {
        each.key: batch.output_key(prefix, batch.relative_name(source, each.key))
        for each in started.inputs
    }
    return {key: found[output] for key, output in wanted.items() if output in found}


def forget_model(started: Batch) -> None:
    """Remove the SageMaker Model of a batch; what runs keeps what it was made from."""
    endpoints.delete_model(started.order.name)


def finish_batch(ports: Ports, started: Batch, look: Look, by: str) -> dict[str, Any]:
    """Count and hold outputs against inputs, write the manifest, and answer it.

    The manifest is written however the job ended; its `problems` say what is not as it should
    be. Rows are counted by reading every input and output once.
    """
    gzip = started.order.content.gzip
    changed = _changed(started)
    pairs = [
        Pair(
            source=source,
            output=look.outputs.get(source.key),
            rows=count_lines(source, gzip=gzip) if rows is None else rows,
            predictions=_counted(look.outputs.get(source.key)),
        )
        for source, rows in zip(started.inputs, started.rows, strict=True)
    ]
    problems = [*_ended_badly(started, look.job), *batch.mismatches(pairs), *changed]
    document = {**_facts(ports, started, look.job, by), **batch.objects_of(pairs)}
    document["problems"] = problems
    bucket, key = objects.split_uri(started.results)
    objects.put_json(bucket, key, document)
    return {**document, "manifest": started.results}


def fetch_results(started: Batch, look: Look, document: Mapping[str, Any], folder: Path) -> None:
    """Copy outputs and manifest into a folder of this machine.

    Raises `Rejected` for a key that would be a file outside the folder.
    """
    source = objects.split_uri(started.order.source)[1]
    for key, output in look.outputs.items():
        download(output, inside(folder, f"{batch.relative_name(source, key)}{batch.OUT}"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(objects.compact_json(document))


def inside(folder: Path, name: str) -> Path:
    """The file of an output's name; keys are anybody's, and may hold `..` or begin with `/`."""
    path = folder / name.lstrip("/")
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder)):
        raise Rejected(
            f"the output {name!r} would be a file outside {folder}; it stays in S3 (see the "
            "manifest there)"
        )
    return path


def _counted(output: ObjectVersion | None) -> int | None:
    return None if output is None else count_lines(output, gzip=False)


def _changed(started: Batch) -> list[str]:
    """Inputs that were replaced, deleted or added while the job ran: what it read is not known."""
    bucket, prefix = objects.split_uri(started.order.source)
    now = {
        each.key: each.etag
        for each in objects.current_versions(bucket, prefix)
        if not each.key.endswith("/")
    }
    before = {each.key: each.etag for each in started.inputs}
    words = {
        **dict.fromkeys(before.keys() - now.keys(), "was deleted"),
        **dict.fromkeys(now.keys() - before.keys(), "was added"),
        **{key: "was replaced" for key in before.keys() & now.keys() if before[key] != now[key]},
    }
    return [f"s3://{bucket}/{key} {word} while the job ran" for key, word in sorted(words.items())]


def _ended_badly(started: Batch, job: Transform) -> list[str]:
    if job.status == "Completed":
        return []
    if job.status == "Stopped":
        return [f"{job.name} was stopped"]
    return [f"{job.name} failed: {job.reason}", *server_words(job.name)]


def server_words(job: str) -> list[str]:
    """What SageMaker wrote of refused requests: status, and what the model's server answered."""
    found = read_lines(LOG_GROUP, stream_prefix=f"{job}/")
    lines = [line.text for line in found if line.stream.endswith(DATA_LOG)]
    told = [line.partition(MARK)[2] or line for line in lines]
    return [line for line in told if not SAYS_NOTHING.search(line)][:MOST_LINES]


def _facts(ports: Ports, started: Batch, job: Transform, by: str) -> dict[str, Any]:
    prices = own_prices(ports.deployment.artifact_bucket)
    return {
        "model": started.model,
        "version": started.version.number,
        "package": started.version.arn,
        "digest": started.digest,
        "batch": started.mark,
        "job": job.name,
        "status": job.status,
        "by": by,
        "content_type": started.order.content.kind,
        "joined": started.order.join,
        "source": started.order.source,
        "target": started.order.target,
        "instance": job.instance,
        "created": _iso(job.created_ms),
        "started": None if job.started_ms is None else _iso(job.started_ms),
        "ended": None if job.ended_ms is None else _iso(job.ended_ms),
        "seconds": round(job.seconds, 3),
        "usd": prices.cost("transform", job.instance, job.seconds),
        "prices": prices.date,
    }


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
