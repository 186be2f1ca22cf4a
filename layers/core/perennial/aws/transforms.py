"""Transform jobs in SageMaker, and the SageMaker Models that they serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected

ACTIVE = ("InProgress", "Stopping")
OVER = ("Completed", "Failed", "Stopped")
LOG_GROUP = "/aws/sagemaker/TransformJobs"
DATA_LOG = "/data-log"  # what the streams end in that tell of objects and refused requests


@dataclass(frozen=True)
class Transform:
    """A transform job as it is; times in milliseconds since 1970, None before they are known."""

    name: str
    status: str
    reason: str
    model: str
    instance: str
    count: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None

    @property
    def is_over(self) -> bool:
        """Whether its status will not change any more."""
        return self.status in OVER

    @property
    def seconds(self) -> float:
        """The seconds of all its instances together, from their start to its end."""
        if self.started_ms is None or self.ended_ms is None:
            return 0.0
        return self.count * (self.ended_ms - self.started_ms) / 1000


def create_model(request: Mapping[str, Any]) -> None:
    """CreateModel."""
    with translated(f"making the model {request['ModelName']}"):
        client("sagemaker").create_model(**request)


def create_transform(request: Mapping[str, Any]) -> None:
    """CreateTransformJob."""
    with translated(f"starting the transform job {request['TransformJobName']}"):
        client("sagemaker").create_transform_job(**request)


def describe_transform(name: str) -> Transform:
    """One transform job; raises `NotFound`."""
    with translated(f"describing the transform job {name}"):
        found: Any = client("sagemaker").describe_transform_job(TransformJobName=name)
    resources = found["TransformResources"]
    return Transform(
        name=name,
        status=found["TransformJobStatus"],
        reason=found.get("FailureReason", ""),
        model=found["ModelName"],
        instance=resources["InstanceType"],
        count=int(resources["InstanceCount"]),
        created_ms=_milliseconds(found["CreationTime"]),
        started_ms=_optional(found.get("TransformStartTime")),
        ended_ms=_optional(found.get("TransformEndTime")),
    )


def active_transforms(part: str) -> list[str]:
    """The names of the jobs that are not over and contain a text."""
    return [name for status in ACTIVE for name in _listed(part, {"StatusEquals": status})]


def all_transforms(part: str) -> list[str]:
    """The names of the jobs, over or not, that contain a text."""
    return list(_listed(part, {}))


def _listed(part: str, wanted: Mapping[str, str]) -> Iterator[str]:
    paginator: Any = client("sagemaker").get_paginator("list_transform_jobs")
    with translated(f"listing transform jobs of {part}"):
        for page in paginator.paginate(NameContains=part, **wanted):
            yield from (each["TransformJobName"] for each in page["TransformJobSummaries"])


def stop_transform(name: str) -> None:
    """Ask a job to stop; one that is over, or is not there, needs it no more."""
    try:
        with translated(f"stopping the transform job {name}"):
            client("sagemaker").stop_transform_job(TransformJobName=name)
    except (NotFound, Rejected):
        return


def _milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def _optional(moment: Any) -> int | None:
    return None if moment is None else _milliseconds(moment)
