"""Models whose runs are quick: the real template, functions and machine, but trifling jobs."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from perennial.aws.objects import digest, put_bytes
from perennial.domain import naming
from perennial.domain.settings import parse_settings
from perennial.publish_settings import PublishedSettings, publish_settings
from perennial.push_project import settings_json
from perennial.wiring import Ports

ENTRY = Path(__file__).with_name("cheap_entry.py")


@dataclass(frozen=True)
class Code:
    """A packed archive and where it lies in the artifact bucket."""

    body: bytes
    sha256: str


@cache
def pack(mark: str = "") -> Code:
    """The archive of the trifling jobs; another `mark` is another code."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, text in (("entry.py", ENTRY.read_text()), ("requirements.txt", ""), ("m", mark)):
            body = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    body = buffer.getvalue()
    return Code(body, digest(body))


def document(*, approval: str = "policy", **triggers: Any) -> dict[str, Any]:
    """The settings of a trifling model; without triggers of its own it runs at once."""
    return {
        "problem": "regression",
        "label": "y",
        "data": {
            "columns": {"x": {"type": "float"}, "y": {"type": "float"}},
            "select": ["*.csv"],
        },
        "gates": {"rmse": {"max": 5}},
        "explain": {"enabled": False},
        "release": {"approval": approval, "approve_code_changes": approval == "policy"},
        "triggers": {
            "quiet_period": "0s",
            "max_wait": "1h",
            "cool_down": "0s",
            "max_runs_per_day": 1440,
            **triggers,
        },
    }


def publish(
    ports: Ports, model: str, settings_of: Mapping[str, Any] | None = None, mark: str = ""
) -> PublishedSettings:
    """Publish a trifling model as `perennial push` does; its group is made, but no stack."""
    code, settings = pack(mark), parse_settings(document(**(settings_of or {})), project=model)
    bucket, key = ports.deployment.artifact_bucket, naming.code_key(model, code.sha256)
    uri = put_bytes(bucket, key, code.body)
    make_group(ports, model)
    return publish_settings(ports, model, settings_json(settings), uri, code.sha256, "a test")


def make_group(ports: Ports, model: str) -> None:
    """Make the package group that the model's own stack would make."""
    from perennial.aws.clients import client

    sagemaker = client("sagemaker")
    group = naming.package_group(ports.deployment.stack, model)
    known = sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
    if group not in {each["ModelPackageGroupName"] for each in known}:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)


def land(ports: Ports, model: str, key: str, body: bytes = b"x,y\n1,2\n") -> str:
    """Put an object below the model's prefix; its version id."""
    from perennial.aws.clients import client

    answer = client("s3").put_object(
        Bucket=ports.deployment.landing_bucket, Key=f"incoming/{model}/{key}", Body=body
    )
    return answer["VersionId"]


def remove(ports: Ports, model: str, key: str) -> None:
    """Delete an object (its versions stay)."""
    from perennial.aws.clients import client

    client("s3").delete_object(
        Bucket=ports.deployment.landing_bucket, Key=f"incoming/{model}/{key}"
    )


def message(kind: str, model: str, **facts: Any) -> str:
    """The body of a signal of our own."""
    return json.dumps({"perennial": kind, "model": model, **facts})
