"""EventBridge Scheduler's API: moto's records, checked so that each one fires."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.scheduler.exceptions import ScheduleGroupNotFound, ValidationException
from moto.scheduler.responses import EventBridgeSchedulerResponse

from local.schedules.delivery import unsupported
from local.schedules.expression import ExpressionInvalidError, parse_schedule

if TYPE_CHECKING:
    from moto.core.responses import BaseResponse

    from local.cloud import Cloud


def scheduler_response(cloud: "Cloud") -> "Callable[[], BaseResponse]":
    """The response class, bound to this cloud."""

    class Response(_SchedulerResponse):
        """Bound to one cloud."""

    Response.cloud = cloud
    return Response


class _SchedulerResponse(EventBridgeSchedulerResponse):
    """moto's scheduler with AWS's checks."""

    cloud: "Cloud"

    def call_action(self) -> Any:
        """Under the service's lock."""
        with self.cloud.lock("scheduler"):
            return super().call_action()

    def _check(self) -> None:
        zone = self._get_param("ScheduleExpressionTimezone") or "UTC"
        try:
            parse_schedule(self._get_param("ScheduleExpression") or "", zone)
        except ExpressionInvalidError as error:
            text = f"Invalid Schedule Expression {self._get_param('ScheduleExpression')}. ({error})"
            raise ValidationException(text) from None
        refusal = unsupported(self._get_param("Target") or {})
        if refusal:
            raise ValidationException(refusal)
        group = self._get_param("GroupName") or "default"
        if group not in self.scheduler_backend.schedule_groups:
            raise ScheduleGroupNotFound(group)

    def create_schedule(self) -> str:
        """Create one that fires."""
        self._check()
        answer = super().create_schedule()
        self.cloud.schedules.changed()
        return answer

    def update_schedule(self) -> str:
        """Replace a schedule whole: what is not given falls back to its default."""
        self._check()
        answer = super().update_schedule()
        name = self.uri.split("?")[0].split("/")[-1]
        schedule = self.scheduler_backend.get_schedule(self._get_param("GroupName"), name)
        schedule.state = self._get_param("State") or "ENABLED"
        schedule.action_after_completion = self._get_param("ActionAfterCompletion") or "NONE"
        self.cloud.schedules.changed()
        return answer

    def create_schedule_group(self) -> Any:
        """moto would replace a group of the same name, with its schedules."""
        name = self._get_param("Name") or self.uri.split("?")[0].split("/")[-1]
        if name in self.scheduler_backend.schedule_groups:
            body = json.dumps({"Message": f"Schedule group {name} already exists."})
            return 409, {"status": 409, "x-amzn-ErrorType": "ConflictException"}, body
        return super().create_schedule_group()

    def delete_schedule_group(self) -> str:
        """A group goes with its schedules; one that does not exist is an error."""
        name = self.uri.split("?")[0].split("/")[-1]
        if name not in self.scheduler_backend.schedule_groups:
            raise ScheduleGroupNotFound(name)
        return super().delete_schedule_group()
