"""SageMaker Model Monitor: monitoring schedules, their job definitions and their executions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.sagemaker_monitor import Execution

#: boto3's words for the operations on the definitions of each kind.
DEFINITIONS = {"data-quality": "data_quality", "model-quality": "model_quality"}


def put_definition(kind: str, request: Mapping[str, Any]) -> None:
    """Make a job definition; one of this name has this content already."""
    sagemaker: Any = client("sagemaker")
    create = getattr(sagemaker, f"create_{DEFINITIONS[kind]}_job_definition")
    _made(f"defining {request['JobDefinitionName']}", lambda: create(**request))


def put_schedule(request: Mapping[str, Any]) -> None:
    """Make a schedule; one of this name is the same."""
    name = request["MonitoringScheduleName"]
    sagemaker: Any = client("sagemaker")
    _made(f"scheduling {name}", lambda: sagemaker.create_monitoring_schedule(**request))


def delete_watch(kind: str, name: str) -> None:
    """Delete a schedule and the definition of the same name, if they are there."""
    sagemaker: Any = client("sagemaker")
    delete = getattr(sagemaker, f"delete_{DEFINITIONS[kind]}_job_definition")
    _gone(
        f"deleting {name}",
        lambda: sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name),
    )
    _gone(f"deleting the definition {name}", lambda: delete(JobDefinitionName=name))


def delete_schedule(name: str) -> None:
    """Delete a schedule, if it is there."""
    sagemaker: Any = client("sagemaker")
    _gone(
        f"deleting {name}",
        lambda: sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name),
    )


def list_schedules(part: str) -> Sequence[str]:
    """The names of schedules that contain a text."""
    sagemaker: Any = client("sagemaker")
    paginator = sagemaker.get_paginator("list_monitoring_schedules")
    with translated(f"listing the monitoring schedules of {part}"):
        return [
            found["MonitoringScheduleName"]
            for page in paginator.paginate(NameContains=part)
            for found in page["MonitoringScheduleSummaries"]
        ]


def list_executions(schedule: str, after_ms: int) -> Sequence[Execution]:
    """The executions of a schedule that were due after a moment, the oldest first."""
    sagemaker: Any = client("sagemaker")
    paginator = sagemaker.get_paginator("list_monitoring_executions")
    wanted = {
        "SortBy": "ScheduledTime",
        "SortOrder": "Ascending",
        "ScheduledTimeAfter": datetime.fromtimestamp(after_ms / 1000, timezone.utc),
    }
    with translated(f"listing the executions of {schedule}"):
        return [
            Execution(
                schedule,
                int(found["ScheduledTime"].timestamp() * 1000),
                found["MonitoringExecutionStatus"],
                found.get("ProcessingJobArn", "").rpartition("/")[2],
                found.get("FailureReason", ""),
            )
            for page in paginator.paginate(MonitoringScheduleName=schedule, **wanted)
            for found in page["MonitoringExecutionSummaries"]
        ]


def _made(doing: str, create: Callable[[], object]) -> None:
    try:
        with translated(doing):
            create()
    except Rejected as error:
        if "ResourceInUse" not in str(error):
            raise


def _gone(doing: str, delete: Callable[[], object]) -> None:
    try:
        with translated(doing):
            delete()
    except NotFound:
        return
