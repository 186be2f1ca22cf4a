"""Start a batch: check the input, make the version's SageMaker Model, start the transform job."""

from __future__ import annotations

import csv
import json
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.aws import endpoints, objects, registry, transforms
from perennial.aws.line_objects import first_line
from perennial.aws.uploads import upload_file
from perennial.batch_rows import write_parts
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import batch, naming, release_plan
from perennial.domain.batch import CSV, BadInput, Content, Order
from perennial.domain.errors import NotAllowed, NotFound, Rejected
from perennial.domain.prediction_request import Inputs
from perennial.domain.signals import ObjectVersion
from perennial.plan_release import servable_container
from perennial.record_champion import run_of_version
from perennial.write_manifest import network_of

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import ModelRow
    from perennial.domain.settings import Settings
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Asked:
    """What a person wants: `source` and `target` are S3 URIs, or `source` a local file.

    `version` 0 is the champion; an empty `target` is a place below `batch/`; an empty `instance`
    is that of the evaluation.
    """

    model: str
    source: str | Path
    target: str = ""
    version: int = 0
    instance: str = ""
    join: bool = False


@dataclass(frozen=True)
class Batch:
    """A batch under way. `rows` of the inputs are known for local files alone."""

    mark: str
    model: str
    version: registry.Version
    is_champion: bool
    order: Order
    digest: str
    inputs: tuple[ObjectVersion, ...]
    rows: tuple[int | None, ...]
    notices: tuple[str, ...]
    results: str

    @property
    def target(self) -> tuple[str, str]:
        """Bucket and key prefix of the predictions."""
        return objects.split_uri(self.order.target)


def start_batch(ports: Ports, asked: Asked) -> Batch:
    """Check everything that can be checked before it costs, then start the job.

    Raises `NotFound` (model, version, champion, input), `NotAllowed` (a version that is not
    approved, input that the version does not take, a target with objects), `Rejected` (a version
    that cannot be served).
    """
    row = known_model(ports.ledger, asked.model)
    version, settings = _version(ports, row, asked.version)
    subject = _subject(ports, asked.model, version, settings)
    network = network_of(ports.deployment)
    registered = registered_container(asked.model, version)
    container = servable_container(subject, registered, isolated=network.isolated)
    inputs = Inputs(settings.features, frozenset(settings.data.missing))
    mark = naming.batch_mark(datetime.now(UTC), secrets.token_hex(2))
    base = naming.batch_base(asked.model, mark)
    target = _target(asked, f"s3://{ports.deployment.artifact_bucket}/{base}/output")
    try:
        found = _input(ports, asked, inputs, settings.data.delimiter, f"{base}/input")
    except BadInput as error:
        raise NotAllowed(str(error)) from error
    order = Order(
        name=naming.batch_name(ports.deployment.stack, asked.model, mark),
        role=ports.deployment.batch_role_arn,
        source=found.uri,
        target=target,
        content=found.content,
        instance=asked.instance or settings.job("evaluate").instance,
        container=container,
        network=network,
        tags=batch.tags(subject, mark),
        kms_key=subject.key,
        join=asked.join,
    )
    remove_leftovers(ports, asked.model)
    _start(order)
    return Batch(
        mark=mark,
        model=asked.model,
        version=version,
        is_champion=row.champion is not None and row.champion.arn == version.arn,
        order=order,
        digest=container["Environment"]["PERENNIAL_MODEL_SHA256"],
        inputs=found.versions,
        rows=found.rows,
        notices=found.notices,
        results=_results(asked.target, ports.deployment.artifact_bucket, base),
    )


def _start(order: Order) -> None:
    """Model and job; a job that is refused leaves no Model behind."""
    transforms.create_model(batch.model_request(order))
    try:
        transforms.create_transform(batch.job_request(order))
    except BaseException:
        endpoints.delete_model(order.name)
        raise


def remove_leftovers(ports: Ports, model: str) -> None:
    """Remove the SageMaker Models of batches that are over and that nobody followed to the end."""
    stack = ports.deployment.stack
    for name in list(endpoints.list_models(naming.batch_name(stack, model, "b"))):
        if not naming.is_batch_of(stack, model, name):
            continue
        try:
            over = transforms.describe_transform(name).is_over
        except NotFound:
            continue  # its job is about to be started
        if over:
            endpoints.delete_model(name)


def _version(ports: Ports, row: ModelRow, number: int) -> tuple[registry.Version, Settings]:
    """The version to serve and the settings that it was trained with."""
    if number:
        found = registry.find_version(
            naming.package_group(ports.deployment.stack, row.model), number
        )
    elif row.champion is None:
        raise NotFound(
            f"{row.model} has no champion yet; approve a version (perennial approve {row.model} n) "
            "or name one with --version"
        )
    else:
        found = registry.describe_version(row.champion.arn)
    if found.status != registry.APPROVED:
        raise NotAllowed(
            f"{row.model} {found.number} is {found.status}; only an approved version predicts: "
            f"perennial approve {row.model} {found.number}"
        )
    if row.champion is not None and row.champion.arn == found.arn:
        return found, read_settings_of(ports.ledger, row, row.champion.settings or row.settings)
    run = run_of_version(ports, row.model, found.arn)
    return found, read_settings_of(ports.ledger, row, run.settings if run else row.settings)


def _subject(
    ports: Ports, model: str, version: registry.Version, settings: Settings
) -> release_plan.Subject:
    return release_plan.Subject(
        stack=ports.deployment.stack,
        model=model,
        release=0,
        version=version.number,
        config="",
        bucket=ports.deployment.artifact_bucket,
        key=ports.deployment.optional("KMS_KEY_ARN"),
        tags=settings.tags,
    )


def registered_container(model: str, version: registry.Version) -> dict[str, Any]:
    """The one container of a version; several (an inference pipeline) are refused."""
    containers = version.raw.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise Rejected(
            f"{model} {version.number} has {len(containers)} containers; only a version of one "
            "container can predict a batch (inference pipelines cannot)"
        )
    found: dict[str, Any] = containers[0]
    return found


def _target(asked: Asked, default: str) -> str:
    """Where the predictions go; a place that holds objects, or that is itself input, is refused."""
    if not asked.target:
        return default
    bucket, prefix = objects.split_uri(f"{asked.target.rstrip('/')}/")
    uri = f"s3://{bucket}/{prefix}"
    if isinstance(asked.source, str) and uri.startswith(asked.source):
        raise NotAllowed(
            f"the place for predictions {asked.target} lies below the input {asked.source}, so "
            "they would be input of the next batch; name another place with --output"
        )
    if next(objects.current_versions(bucket, prefix), None) is not None:
        raise NotAllowed(
            f"{asked.target} is not empty, and old and new predictions would be mixed up; name a "
            "new place with --output"
        )
    return uri.rstrip("/")


def _results(asked: str, bucket: str, base: str) -> str:
    """The URI of the manifest: beside the predictions, where a person named their place."""
    place = asked.rstrip("/") if asked else f"s3://{bucket}/{base}"
    return f"{place}/{batch.MANIFEST}"


@dataclass(frozen=True)
class _Found:
    """The input as SageMaker reads it, with the objects that it is."""

    uri: str
    content: Content
    versions: tuple[ObjectVersion, ...]
    rows: tuple[int | None, ...]
    notices: tuple[str, ...] = ()


def _input(ports: Ports, asked: Asked, inputs: Inputs, delimiter: str, prefix: str) -> _Found:
    if isinstance(asked.source, Path):
        return _uploaded(ports, asked.source, inputs, delimiter, prefix)
    bucket, key = objects.split_uri(asked.source)
    everything = objects.current_versions(bucket, key)
    versions = tuple(each for each in everything if not each.key.endswith("/"))
    if not versions:
        raise NotFound(f"there is no object at {asked.source}")
    content = batch.content_of_all([each.key for each in versions])
    for version in versions:
        check_start(version, content, inputs)
    return _Found(asked.source, content, versions, (None,) * len(versions))


def _uploaded(ports: Ports, source: Path, inputs: Inputs, delimiter: str, prefix: str) -> _Found:
    """The rows of a local file as objects below the batch's own prefix."""
    bucket = ports.deployment.artifact_bucket
    with tempfile.TemporaryDirectory(prefix="perennial-batch-") as folder:
        made = write_parts(source, inputs, delimiter, Path(folder))
        for part in made.parts:
            upload_file(bucket, f"{prefix}/{part.path.name}", part.path)
    versions = tuple(objects.current_versions(bucket, f"{prefix}/"))
    rows = {part.path.name: part.rows for part in made.parts}
    counts: Sequence[int | None] = [rows[each.key.rpartition("/")[2]] for each in versions]
    return _Found(f"s3://{bucket}/{prefix}/", made.content, versions, tuple(counts), made.notices)


def check_start(version: ObjectVersion, content: Content, inputs: Inputs) -> None:
    """Hold an object's first line against the columns; raises `BadInput` before a job costs."""
    line = first_line(version, gzip=content.gzip)
    if line is None or not line.strip():
        return
    where = f"s3://{version.bucket}/{version.key}"
    if content.kind != CSV:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{where}: the first line is not JSON: {error}") from error
        if not isinstance(row, dict | list):
            raise BadInput(f"{where}: the first line is no JSON object by column name")
        return
    cells = next(csv.reader([line]), [])
    names = [column.name for column in inputs.features]
    try:
        header = batch.header_of(inputs.features, cells)
    except BadInput as error:
        raise BadInput(f"{where} begins with a header, and {error}") from error
    if header is not None:
        raise BadInput(
            f"{where} begins with a header. SageMaker cuts objects into requests, and only the "
            "first would have it: objects in S3 must hold rows alone, with the values in the order "
            f"{', '.join(names)}. Or give a local copy of the file: its header is read and left out"
        )
    if len(cells) != len(names):
        raise BadInput(
            f"{where}: the first line has {len(cells)} values; expected {len(names)}: "
            f"{', '.join(names)}"
        )
