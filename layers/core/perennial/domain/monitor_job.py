"""The processing job that judges one window: what SageMaker is asked, and what the job is told.

`jobs/monitor_config.py` reads the configuration; docs/monitors.md has every key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.run_input import Network, network_parts
from perennial.domain.settings_monitor import SECOND_MS, Monitor, Monitoring, slice_of

INPUT = "/opt/ml/processing/input"
COMMAND = (
    "mkdir -p /opt/ml/code && tar -xzf /opt/ml/processing/input/code/*.tar.gz -C /opt/ml/code "
    "&& exec python3 /opt/ml/code/entry.py --step monitor"
)
#: An earlier version is scored by its own code, and then held against the live one by the newest.
#: SageMaker takes no argument of more than 256 characters.
EARLIER_COMMAND = (
    "for a in code newest; do mkdir -p /opt/ml/$a && "
    "tar -xzf /opt/ml/processing/input/$a/*.tar.gz -C /opt/ml/$a || exit 1; done; "
    "python3 /opt/ml/code/entry.py --step evaluate && "
    "exec python3 /opt/ml/newest/entry.py --step pair_earlier"
)
VARIANT = "main"
FOLDER, MANIFEST = "S3Prefix", "ManifestFile"


@dataclass(frozen=True)
class Place:
    """The stack that a job belongs to: its image, role, key, network; `tags` are the user's."""

    stack: str
    bucket: str
    image: str
    role: str
    kms_key: str = ""
    network: Network = field(default_factory=Network)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """The live version as its package and its run have it: S3 URIs."""

    code: str
    settings: str
    check: str
    model: str
    baseline: str


def config(
    window: WindowRow, monitor: Monitor, monitoring: Monitoring, *, now_ms: int, is_labelled: bool
) -> dict[str, Any]:
    """What the job is told: monitor.json."""
    labels = [f"{INPUT}/labels"] if is_labelled else []
    return {
        "version": 1,
        "kind": window.kind,
        "model": window.model,
        "model_version": window.version,
        "release": window.release,
        "endpoint": window.endpoint,
        "variant": VARIANT,
        "window": [window.start_ms, window.end_ms],
        "capture": [f"{INPUT}/capture"],
        "labels": labels,
        "delay_ms": monitor.delay * SECOND_MS,
        "labels_until_ms": max(now_ms, window.end_ms),
        **({"keep_rows": True} if window.earlier else {}),
        "settings": {**slice_of(monitor), "preprocess": monitoring.preprocess},
    }


def manifest(root: str, names: Iterable[str]) -> list[Any]:
    """A manifest in S3's form: the objects `names` below the URI `root`, and no others."""
    return [{"prefix": root}, *names]


def request(
    window: WindowRow,
    monitoring: Monitoring,
    subject: Subject,
    place: Place,
    *,
    is_labelled: bool,
) -> dict[str, Any]:
    """CreateProcessingJob's parameters of the job that judges a window."""
    base = f"s3://{place.bucket}/{window.place}"
    inputs = {
        "code": (subject.code, FOLDER),
        "settings": (subject.settings, FOLDER),
        "check": (f"{subject.check}/", FOLDER),
        "model": (subject.model, FOLDER),
        "baseline": (f"{subject.baseline}/", FOLDER),
        "config": (f"{base}/config/monitor.json", FOLDER),
        "capture": (f"{base}/config/capture.json", MANIFEST),
        **({"labels": (f"{base}/config/labels.json", MANIFEST)} if is_labelled else {}),
    }
    outputs = {"monitor": f"{base}/report"}
    if window.earlier:
        outputs["rows"] = rows_uri(place.bucket, window)
    return _job(window, monitoring, place, _Work(window.job, COMMAND, inputs, outputs))


def earlier_request(  # noqa: PLR0913, PLR0917  # all that such a job is made of
    window: WindowRow,
    version: int,
    job: str,
    monitoring: Monitoring,
    subject: Subject,
    newest: str,
    place: Place,
) -> dict[str, Any]:
    """The parameters of the job that scores another version on a window's labelled rows.

    `subject` is that version, but `check` that of the live one, whose schema the rows have;
    `newest` is the newest code.
    """
    inputs = {
        "code": (subject.code, FOLDER),
        "newest": (newest, FOLDER),
        "settings": (subject.settings, FOLDER),
        "check": (f"{subject.check}/", FOLDER),
        "model": (subject.model, FOLDER),
        "holdout": (f"{rows_uri(place.bucket, window)}/", FOLDER),
    }
    outputs = {"pair": pair_uri(place.bucket, window, version).rpartition("/")[0]}
    return _job(window, monitoring, place, _Work(job, EARLIER_COMMAND, inputs, outputs))


@dataclass(frozen=True)
class _Work:
    """What one job does: inputs are URIs with S3's kind of them, outputs URIs, by name."""

    job: str
    command: str
    inputs: Mapping[str, tuple[str, str]]
    outputs: Mapping[str, str]


def _job(window: WindowRow, monitoring: Monitoring, place: Place, work: _Work) -> dict[str, Any]:
    key = {"KmsKeyId": place.kms_key} if place.kms_key else {}
    volume = {"VolumeKmsKeyId": place.kms_key} if place.kms_key else {}
    return {
        "ProcessingJobName": work.job,
        "ProcessingInputs": [_input(name, *given) for name, given in work.inputs.items()],
        "ProcessingOutputConfig": {
            "Outputs": [_output(name, uri) for name, uri in work.outputs.items()],
            **key,
        },
        "AppSpecification": {
            "ImageUri": place.image,
            "ContainerEntrypoint": ["bash", "-c", work.command],
        },
        "RoleArn": place.role,
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": monitoring.instance,
                "VolumeSizeInGB": monitoring.volume_gb,
                **volume,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": monitoring.max_seconds},
        "NetworkConfig": network_parts(place.network)["other_jobs"],
        "Tags": [{"Key": name, "Value": value} for name, value in _tags(window, place)],
    }


def _output(name: str, uri: str) -> dict[str, Any]:
    return {
        "OutputName": name,
        "AppManaged": False,
        "S3Output": {
            "S3Uri": uri,
            "LocalPath": f"/opt/ml/processing/output/{name}",
            "S3UploadMode": "EndOfJob",
        },
    }


def _input(name: str, uri: str, kind: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUT}/{name}",
            "S3DataType": kind,
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _tags(window: WindowRow, place: Place) -> Iterable[tuple[str, str]]:
    own = {
        "perennial:stack": place.stack,
        "perennial:model": window.model,
        "perennial:monitor": window.kind,
    }
    return {**place.tags, **own}.items()


def report_uri(bucket: str, window: WindowRow) -> str:
    """Where a window's report lies."""
    return f"s3://{bucket}/{window.place}/report/report.json"


def rows_uri(bucket: str, window: WindowRow) -> str:
    """The folder of a window's labelled rows, where they are kept."""
    return f"s3://{bucket}/{window.place}/rows"


def pair_uri(bucket: str, window: WindowRow, version: int) -> str:
    """Where lies how another version and the live one did on these rows."""
    return f"s3://{bucket}/{window.place}/earlier/{version}/pair.json"


def baseline_folder(kind: str) -> str:
    """The folder of a kind below a run's `baselines/`."""
    return kind.replace("-", "_")
