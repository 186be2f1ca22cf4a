"""Looks which schedules are due on the services' clock, and sets them off.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import logging
import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.events.models import events_backends
from moto.scheduler.models import scheduler_backends

from local.events.bus import scheduled_event
from local.schedules.delivery import Firing, ScheduleDelivery
from local.schedules.expression import At, Rate, Schedule, parse_schedule

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
LOOK_EVERY = 0.2  # seconds
MAX_BEHIND = 100  # firings made up for at once where the clock runs faster than we look


@dataclass
class _Plan:
    """One schedule as it was when its next time was found."""

    version: Any
    schedule: Schedule
    due: float | None


def iso(moment: float) -> str:
    """A moment as AWS writes it in events."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(value: Any) -> float | None:
    """A start or end date (epoch seconds or ISO text) in epoch seconds."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return float(value)
    return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()


class ScheduleRunner:
    """One thread for all schedules."""

    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self.delivery = ScheduleDelivery(cloud)
        self._plans: dict[str, _Plan] = {}
        self._wake = threading.Event()
        cloud.background("schedules", self._watch)

    def changed(self) -> None:
        """A schedule was created or changed: look now."""
        self._wake.set()

    def _watch(self) -> None:
        while not self.cloud.stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("schedules could not be looked at")
            self._wake.wait(LOOK_EVERY)
            self._wake.clear()

    def _look(self) -> None:
        now = self.cloud.clock.service_now()
        seen = set()
        for key, schedule in self._schedules():
            seen.add(key)
            self._run_due(key, schedule, now)
        for key, rule in self._rules():
            seen.add(key)
            self._fire_rule(key, rule, now)
        for key in set(self._plans) - seen:
            del self._plans[key]

    def _schedules(self) -> list[tuple[str, Any]]:
        backend = scheduler_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("scheduler"):
            groups = list(backend.schedule_groups.values())
            return [(s.arn, s) for group in groups for s in group.schedules.values()]

    def _rules(self) -> list[tuple[str, Any]]:
        backend = events_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("events"):
            buses = list(backend.event_buses.values())
            rules = [rule for bus in buses for rule in bus.rules.values()]
            return [(rule.arn, rule) for rule in rules if rule.scheduled_expression]

    def _run_due(self, key: str, schedule: Any, now: float) -> None:
        version = (
            schedule.schedule_expression,
            schedule.schedule_expression_timezone,
            schedule.last_modified_date,
        )
        plan = self._plans.get(key)
        start, end = epoch(schedule.start_date), epoch(schedule.end_date)
        if plan is None or plan.version != version:
            parsed = parse_schedule(
                schedule.schedule_expression, schedule.schedule_expression_timezone
            )
            plan = self._plans[key] = _Plan(version, parsed, None)
            # A rate begins with the schedule; what lies in the past of an at() runs once.
            plan.due = _first(parsed, max(now, start or now))
        for due in self._times(plan, now):
            if schedule.state == "ENABLED" and not (end is not None and due > end):
                self._fire_schedule(schedule, due)
        if plan.due is None and schedule.action_after_completion == "DELETE":
            self._delete(schedule)

    def _times(self, plan: _Plan, now: float) -> list[float]:
        """The times up to now that have not been fired; sets the plan to the next one."""
        times = []
        while plan.due is not None and plan.due <= now:
            times.append(plan.due)
            plan.due = _next(plan.schedule, plan.due)
            if len(times) >= MAX_BEHIND:
                plan.due = _next(plan.schedule, now)
        return times

    def _fire_schedule(self, schedule: Any, due: float) -> None:
        window = schedule.flexible_time_window or {}
        spread = 0.0
        if window.get("Mode") == "FLEXIBLE":
            minutes = window.get("MaximumWindowInMinutes") or 1
            spread = self.cloud.clock.real_seconds(random.random() * 60 * minutes)  # noqa: S311
        self.cloud.journal.add("schedule", arn=schedule.arn, due=iso(due))
        self.delivery.start(Firing(schedule.arn, dict(schedule.target), iso(due)), spread)

    def _fire_rule(self, key: str, rule: Any, now: float) -> None:
        plan = self._plans.get(key)
        if plan is None or plan.version != rule.scheduled_expression:
            parsed = parse_schedule(rule.scheduled_expression, allow_at=False)
            plan = self._plans[key] = _Plan(rule.scheduled_expression, parsed, None)
            plan.due = _next(parsed, now)
        for due in self._times(plan, now):
            if rule.state != "DISABLED":
                self.cloud.journal.add("schedule", arn=rule.arn, due=iso(due))
                self.cloud.bus.fire(rule, scheduled_event(self.cloud, rule.arn, iso(due)))

    def _delete(self, schedule: Any) -> None:
        backend = scheduler_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("scheduler"):
            group = backend.schedule_groups.get(schedule.group_name)
            if group is not None:
                group.schedules.pop(schedule.name, None)


def _first(schedule: Schedule, moment: float) -> float | None:
    if isinstance(schedule, Rate):
        return moment
    if isinstance(schedule, At):
        return schedule.moment
    return schedule.next_after(moment)


def _next(schedule: Schedule, after: float) -> float | None:
    if isinstance(schedule, Rate):
        return after + schedule.seconds
    if isinstance(schedule, At):
        return None
    return schedule.next_after(after)
