"""Monitoring schedules: when executions begin on the cloud's clock, and how they went."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError, in_use, invalid, unsupported
from local.sagemaker.family import Operation
from local.sagemaker.monitoring.definitions import Definitions, check_inline
from local.sagemaker.monitoring.executions import Execution, Executor, new_record
from local.sagemaker.monitoring.times import Times, read_times
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.tags import Tags
from local.schedules.expression import Cron

log = logging.getLogger(__name__)
LOOK_EVERY = 0.2  # seconds
#: AWS begins up to 20 minutes after the hour. What was captured before it must be in S3 by then.
SLIP = 300.0  # service seconds
LEAST_SLIP = 2.5  # real seconds: what the slowest writer of captures takes
LISTING = Listing(
    "MonitoringScheduleName",
    "MonitoringScheduleSummaries",
    "MonitoringScheduleStatus",
    order="Descending",
)
EXECUTIONS = Listing(
    "MonitoringScheduleName",
    "MonitoringExecutionSummaries",
    "MonitoringExecutionStatus",
    order="Descending",
)


@dataclass
class Plan:
    """One schedule: what it shows, its times, when it is due next, and its executions."""

    record: Record
    times: Times
    due: float | None
    executions: list[Execution] = field(default_factory=list)


class Schedules:
    """All monitoring schedules of the cloud."""

    def __init__(
        self,
        cloud: Cloud,
        model: ServiceModel,
        tags: Tags,
        definitions: Mapping[str, Definitions],
        executor: Executor,
    ) -> None:
        self._cloud = cloud
        self._tags = tags
        self._definitions = definitions
        self._executor = executor
        self._prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:monitoring-schedule/"
        self._describe = members(model, "DescribeMonitoringScheduleResponse")
        self._summary = members(model, "MonitoringScheduleSummary")
        self._execution = members(model, "MonitoringExecutionSummary")
        self._plans: dict[str, Plan] = {}
        self._lock = threading.RLock()
        self._watched = False
        cloud.add_idle_probe("monitoring", self.pending)

    def operations(self) -> dict[str, Operation]:
        """What this part answers."""
        return {
            "CreateMonitoringSchedule": self.create,
            "UpdateMonitoringSchedule": self.update,
            "DescribeMonitoringSchedule": self.describe,
            "ListMonitoringSchedules": self.page,
            "DeleteMonitoringSchedule": self.delete,
            "StartMonitoringSchedule": self.start,
            "StopMonitoringSchedule": self.stop,
            "ListMonitoringExecutions": self.executions,
        }

    def pending(self) -> int:
        """How many executions have no job yet, and will have one."""
        with self._lock:
            found = [each for plan in self._plans.values() for each in plan.executions]
        return sum(each.snapshot()["MonitoringExecutionStatus"] == "Pending" for each in found)

    # --- changing ---------------------------------------------------------------------------
    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateMonitoringSchedule: it fires from its next time on, or once at once."""
        name, config = parameters["MonitoringScheduleName"], parameters["MonitoringScheduleConfig"]
        arn = self._prefix + name
        times, endpoint = self._checked(config)
        now = round(time.time(), 3)
        record = {
            "MonitoringScheduleName": name,
            "MonitoringScheduleArn": arn,
            "MonitoringScheduleStatus": "Scheduled",
            "MonitoringScheduleConfig": config,
            "MonitoringJobDefinitionName": config["MonitoringJobDefinitionName"],
            "MonitoringType": config["MonitoringType"],
            "EndpointName": endpoint,
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self._lock:
            if name in self._plans:
                raise in_use(f"A monitoring schedule with this name already exists ({arn})")
            self._tags.adopt(arn, parameters.get("Tags", ()))
            plan = self._plans[name] = Plan(record, times, self._next(times))
            begin, self._watched = not self._watched, True
        if begin:
            self._cloud.background("monitoring schedules", self._watch)
        if times.schedule is None:
            self._fire(plan, self._cloud.clock.service_now())
        return {"MonitoringScheduleArn": arn}

    def update(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateMonitoringSchedule: another definition or other times."""
        config = parameters["MonitoringScheduleConfig"]
        times, endpoint = self._checked(config)
        if times.schedule is None:
            raise unsupported("an update of a schedule to NOW")
        with self._lock:
            plan = self._find(parameters["MonitoringScheduleName"])
            plan.record |= {
                "MonitoringScheduleConfig": config,
                "MonitoringJobDefinitionName": config["MonitoringJobDefinitionName"],
                "MonitoringType": config["MonitoringType"],
                "EndpointName": endpoint,
                "LastModifiedTime": round(time.time(), 3),
            }
            plan.times, plan.due = times, self._next(times)
            return {"MonitoringScheduleArn": plan.record["MonitoringScheduleArn"]}

    def start(self, parameters: dict[str, Any]) -> None:
        """StartMonitoringSchedule: what was due while it stood still is not made up for."""
        self._move(parameters["MonitoringScheduleName"], "Scheduled")

    def stop(self, parameters: dict[str, Any]) -> None:
        """StopMonitoringSchedule: executions under way go on."""
        self._move(parameters["MonitoringScheduleName"], "Stopped")

    def delete(self, parameters: dict[str, Any]) -> None:
        """DeleteMonitoringSchedule, with its executions' list."""
        with self._lock:
            plan = self._find(parameters["MonitoringScheduleName"])
            del self._plans[plan.record["MonitoringScheduleName"]]
        self._tags.drop(plan.record["MonitoringScheduleArn"])

    def _move(self, name: str, status: str) -> None:
        with self._lock:
            plan = self._find(name)
            if plan.times.schedule is None:
                raise invalid(f"Monitoring schedule {name} runs once; it cannot be {status}.")
            plan.record["MonitoringScheduleStatus"] = status
            plan.record["LastModifiedTime"] = round(time.time(), 3)
            plan.due = self._next(plan.times)

    def _checked(self, config: Record) -> tuple[Times, str]:
        """The times of a configuration, and the endpoint that its definition monitors."""
        check_inline(config)
        definitions = self._definitions.get(config["MonitoringType"])
        if definitions is None:
            raise unsupported(f"monitoring of type {config['MonitoringType']} (MonitoringType)")
        record = definitions.find(config["MonitoringJobDefinitionName"])
        schedule = config.get("ScheduleConfig")
        if not schedule:
            raise unsupported("a monitoring schedule without a ScheduleConfig")
        return read_times(schedule), definitions.endpoint(record)

    # --- looking ----------------------------------------------------------------------------
    def _find(self, name: str) -> Plan:
        if name not in self._plans:
            text = f"Monitoring Schedule {self._prefix}{name} not found."
            raise SageMakerError("ResourceNotFound", text)
        return self._plans[name]

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DescribeMonitoringSchedule, with its last execution."""
        with self._lock:
            plan = self._find(parameters["MonitoringScheduleName"])
            shown, last = dict(plan.record), plan.executions[-1:]
        for each in last:
            shown["LastMonitoringExecutionSummary"] = project(self._execution, each.snapshot())
        return project(self._describe, shown)

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListMonitoringSchedules."""
        with self._lock:
            records = [dict(plan.record) for plan in self._plans.values()]
        return self._listed(LISTING, records, self._summary, parameters)

    def executions(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListMonitoringExecutions, of one schedule or of all."""
        with self._lock:
            found = [each for plan in self._plans.values() for each in plan.executions]
        records = [each.snapshot() for each in found]
        return self._listed(EXECUTIONS, records, self._execution, parameters)

    def _listed(
        self, listing: Listing, records: list[Record], summary: Any, parameters: Record
    ) -> dict[str, Any]:
        equal = ("MonitoringScheduleName", "EndpointName", "MonitoringJobDefinitionName")
        wanted = {name: parameters[name] for name in equal if name in parameters}
        if "MonitoringTypeEquals" in parameters:
            wanted["MonitoringType"] = parameters["MonitoringTypeEquals"]
        after = parameters.get("ScheduledTimeAfter", float("-inf"))
        before = parameters.get("ScheduledTimeBefore", float("inf"))

        def fits(record: Record) -> bool:
            at = record.get("ScheduledTime", 0.0)
            in_time = "ScheduledTime" not in record or after < at < before
            return in_time and all(record[name] == value for name, value in wanted.items())

        entries, token = listed(listing, records, parameters, [fits])
        found: dict[str, Any] = {listing.result: [project(summary, each) for each in entries]}
        return {**found, "NextToken": token} if token else found

    # --- firing -----------------------------------------------------------------------------
    def _watch(self) -> None:
        while not self._cloud.stopping.wait(LOOK_EVERY):
            try:
                self._look()
            except Exception:
                log.exception("monitoring schedules could not be looked at")

    def _look(self) -> None:
        now = self._cloud.clock.service_now()
        with self._lock:
            plans = [plan for plan in self._plans.values() if plan.due is not None]
        for plan in plans:
            # Where the clock runs faster than jobs do, hours that were missed are not made up for.
            due = None
            with self._lock:
                while plan.due is not None and plan.due <= now:
                    due, plan.due = plan.due, self._next(plan.times, plan.due)
            if due is not None and plan.record["MonitoringScheduleStatus"] == "Scheduled":
                self._fire(plan, due)

    def _next(self, times: Times, after: float | None = None) -> float | None:
        if not isinstance(times.schedule, Cron):
            return None
        moment = self._cloud.clock.service_now() if after is None else after
        return times.schedule.next_after(moment)

    def _fire(self, plan: Plan, due: float) -> None:
        """Begin an execution of the time (of the services' clock) at which it was due."""
        clock, record = self._cloud.clock, plan.record
        at = clock.real_at(due)
        times = plan.times
        # The services' clock may hurry: of its hours, the time that they really took.
        span = (clock.real_at(due - times.begin), clock.real_at(due - times.end))
        if times.schedule is None:  # its times were given in the caller's own, real time
            span = (at - times.begin, at - times.end)
        kind = record["MonitoringType"]
        execution = Execution(
            new_record(
                record["MonitoringScheduleName"],
                record["MonitoringJobDefinitionName"],
                kind,
                record["EndpointName"],
                at,
            )
        )
        with self._lock:
            plan.executions.append(execution)
        schedule = {
            "name": record["MonitoringScheduleName"],
            "arn": record["MonitoringScheduleArn"],
            **({"once": "yes"} if times.schedule is None else {}),
        }
        self._cloud.journal.add("monitoring", name=schedule["name"], start=span[0], end=span[1])
        slip = 0.0 if times.schedule is None else clock.real_seconds(SLIP)
        wait = at + max(slip, LEAST_SLIP) - time.time()

        def begin() -> None:
            if not self._cloud.stopping.wait(max(0.0, wait)):
                self._executor.run(execution, self._definitions[kind], schedule, span)

        self._cloud.background(f"execution of {schedule['name']}", begin)
