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
    """CreateProcessingJob's parameters."""
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
    key = {"KmsKeyId": place.kms_key} if place.kms_key else {}
    volume = {"VolumeKmsKeyId": place.kms_key} if place.kms_key else {}
    return {
        "ProcessingJobName": window.job,
        "ProcessingInputs": [_input(name, *given) for name, given in inputs.items()],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "monitor",
                    "AppManaged": False,
                    "S3Output": {
                        "S3Uri": f"{base}/report",
                        "LocalPath": "/opt/ml/processing/output/monitor",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
            **key,
        },
        "AppSpecification": {
            "ImageUri": place.image,
            "ContainerEntrypoint": ["bash", "-c", COMMAND],
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


def baseline_folder(kind: str) -> str:
    """The folder of a kind below a run's `baselines/`."""
    return kind.replace("-", "_")
