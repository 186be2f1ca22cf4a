"""Schedules that fire: EventBridge Scheduler and rules with a schedule."""

from typing import TYPE_CHECKING

from local.schedules.responses import scheduler_response
from local.schedules.runner import ScheduleRunner
from local.services import serve

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve EventBridge Scheduler and let schedules fire."""
    cloud.schedules = ScheduleRunner(cloud)
    cloud.register("scheduler", serve(scheduler_response(cloud)))
