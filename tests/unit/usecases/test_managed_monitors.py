"""Monitors that SageMaker's own schedules judge: kept, replaced, removed, and taken over."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import pytest
from perennial import end_monitor as ending
from perennial import keep_watch, look_after_monitors, remove_remains, take_executions
from perennial.aws import jobs, monitoring_schedules
from perennial.describe_monitors import read_windows, window_by_schedule
from perennial.domain.errors import Denied, NotFound
from perennial.domain.ledger.rows import Live
from perennial.domain.ledger.store import change
from perennial.domain.sagemaker_monitor import Execution
from perennial.start_monitor import read_monitor_row, start_monitor

from tests.unit.usecases.test_monitors import (
    HOUR,
    KIND,
    SECTIONS,
    metric,
    put,
    told,
    watched,
)
from tests.unit.world import MODEL, World

__all__ = ["told", "watched"]  # fixtures
MANAGED: dict[str, Any] = {
    **SECTIONS,
    "monitor": {KIND: {"every": "1h"}},
    "providers": {"monitor": "sagemaker"},
}
LOOK = {"perennial": "monitor", "model": MODEL, "monitor": KIND}
ENDED = {"perennial": "monitoring-ended", "model": MODEL, "monitor": KIND}


@dataclass
class Service:
    """Model Monitor as far as it is asked here: names that exist, and executions by schedule."""

    definitions: set[str] = field(default_factory=set)
    schedules: dict[str, Any] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    jobs: dict[str, Any] = field(default_factory=dict)

    def put_definition(self, _kind: str, request: Any) -> None:
        """One more definition."""
        self.definitions.add(request["JobDefinitionName"])

    def put_schedule(self, request: Any) -> None:
        """One more schedule, of a definition that is there."""
        config = request["MonitoringScheduleConfig"]
        assert config["MonitoringJobDefinitionName"] in self.definitions
        self.schedules.setdefault(request["MonitoringScheduleName"], config["ScheduleConfig"])

    def delete_watch(self, _kind: str, name: str) -> None:
        """Both, if they are there."""
        self.definitions.discard(name)
        self.schedules.pop(name, None)

    def delete_schedule(self, name: str) -> None:
        """The schedule alone."""
        self.schedules.pop(name, None)

    def list_schedules(self, part: str) -> list[str]:
        """By a part of their names."""
        return [name for name in self.schedules if part in name]

    def list_executions(self, schedule: str, after_ms: int) -> list[Execution]:
        """Of one schedule, the oldest first."""
        found = [each for each in self.executions if each.schedule == schedule]
        return sorted(
            (each for each in found if each.scheduled_ms > after_ms),
            key=lambda each: each.scheduled_ms,
        )

    def describe_processing_job(self, name: str) -> Any:
        """A job of an execution."""
        if name not in self.jobs:
            raise NotFound(name)
        return self.jobs[name]

    def execute(self, name: str, end_ms: int, status: str = "Completed", far: float = 0) -> str:
        """An execution over the hour to a moment, whose job found this drift; the job's name."""
        job = f"data-quality-monitoring-{end_ms}"
        self.executions.append(Execution(name, end_ms, status, job))
        words = f"Baseline drift distance: {far} exceeds threshold: 0.1"
        found = {"feature_name": "age", "constraint_check_type": "baseline_drift_check"}
        files = {
            "out/statistics.json": {"dataset": {"item_count": 100}, "features": []},
            "out/constraint_violations.json": {
                "violations": [{**found, "description": words}] if far else []
            },
            "runs/census/1/baselines/data_quality/statistics.json": {"features": []},
        }
        for key, document in files.items():
            put(key.replace("out/", f"out/{end_ms}/"), json.dumps(document))
        root = "s3://artifacts/runs/census/1/baselines/data_quality"
        self.jobs[job] = {
            "ProcessingJobName": job,
            "ProcessingJobStatus": status.replace("WithViolations", ""),
            "FailureReason": "AlgorithmError: it broke",
            "Environment": {
                "start_time": moment(end_ms - HOUR),
                "end_time": moment(end_ms),
                "baseline_constraints": "/c/constraints.json",
                "baseline_statistics": "/s/statistics.json",
            },
            "ProcessingInputs": [
                {"S3Input": {"LocalPath": "/c", "S3Uri": f"{root}/constraints.json"}},
                {"S3Input": {"LocalPath": "/s", "S3Uri": f"{root}/statistics.json"}},
            ],
            "ProcessingOutputConfig": {
                "Outputs": [{"S3Output": {"S3Uri": f"s3://artifacts/out/{end_ms}"}}]
            },
        }
        return job


def moment(at_ms: int) -> str:
    """A moment as a job is told it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def service(watched: World, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The model, watched by SageMaker from now on; nothing is placed yet."""
    made = Service()
    for name in ("put_definition", "put_schedule", "delete_watch", "delete_schedule",
                 "list_schedules", "list_executions"):  # fmt: skip
        monkeypatch.setattr(monitoring_schedules, name, getattr(made, name))
    monkeypatch.setattr(jobs, "describe_processing_job", made.describe_processing_job)
    watched.outputs |= {"MONITOR_IMAGE": "analyzer"}
    push(watched, MANAGED)
    return made


def push(world: World, sections: dict[str, Any]) -> None:
    """Push other settings; what a push says is known by its content."""
    text = json.dumps(sections, sort_keys=True).encode()
    world.push(hashlib.sha256(text).hexdigest(), **sections)


def keep(world: World, by: str = "") -> Any:
    """What the function that is asked for a monitor does."""
    return start_monitor(world.ports, MODEL, KIND, by=by)


def placed(world: World) -> str:
    """The schedule that the ledger names."""
    head = read_monitor_row(world.ledger, MODEL, KIND)
    assert head is not None
    return head.watch


def take(world: World) -> list[ending.EndedWindow]:
    """What the function that hears of jobs' ends does."""
    return take_executions.take_executions(world.ports, MODEL, KIND)


def release(world: World, number: int) -> None:
    """Another version is live since now."""
    live = Live("perennial-live-census", "c", number, number, "arn:2", world.clock.now_ms, run=1)
    world.ledger.commit([change(world.model(), live=live)])


def test_the_sweeper_asks_until_the_schedule_stands(
    watched: World, service: Service, told: list[dict[str, Any]]
) -> None:
    """It is named in the ledger before it is made; whoever died in between is made up for."""
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert told == [LOOK]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keep_watch, "_put", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            keep(watched)
    name = placed(watched)
    assert service.schedules == {}
    told.clear()
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert told == [LOOK]
    assert keep(watched).decision == "kept"
    assert service.schedules == {name: {"ScheduleExpression": "cron(0 * ? * * *)"}}
    assert service.definitions == {name}
    told.clear()
    watched.clock.now_ms = watched.model().live.since_ms  # type: ignore[union-attr]
    assert look_after_monitors.look_after_monitors(watched.ports, watched.model()) == ()
    assert told == []


def test_a_new_release_and_new_settings_replace_it(watched: World, service: Service) -> None:
    """What the version before violated is not held against the new one; constraints that a
    person edited count as well."""
    keep(watched)
    first = placed(watched)
    release(watched, 2)
    keep(watched)
    second = placed(watched)
    assert set(service.schedules) == service.definitions == {second} != {first}
    assert metric("violations") == [0.0]
    push(watched, {**MANAGED, "monitor": {KIND: {"every": "1h", "distance": 0.2}}})
    keep(watched)
    third = placed(watched)
    assert set(service.schedules) == {third} != {second}
    put("runs/census/1/baselines/data_quality/constraints.json", '{"features": []}')
    keep(watched)
    assert placed(watched) != third
    assert metric("violations") == [0.0]


def test_nobody_watches_what_is_not_asked_for(
    watched: World, service: Service, told: list[dict[str, Any]]
) -> None:
    """Another provider, or nothing live: the sweeper has schedule and definition removed."""
    keep(watched)
    push(watched, {**SECTIONS, "tags": {}})
    told.clear()
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert LOOK in told
    assert keep(watched).decision != "kept"
    assert (service.schedules, service.definitions, placed(watched)) == ({}, set(), "")
    push(watched, MANAGED)
    keep(watched)
    watched.ledger.commit([change(watched.model(), live=None)])
    assert keep(watched).decision == "none"
    assert (service.schedules, placed(watched)) == ({}, "")


def test_a_version_without_baseline_or_a_region_without_image_is_blind(
    watched: World, service: Service
) -> None:
    """People are told by the alarm of monitors that see nothing."""
    watched.outputs["MONITOR_IMAGE"] = ""
    failed = keep(watched)
    assert failed.decision == "failed"
    assert "no image in this Region" in failed.words
    watched.outputs["MONITOR_IMAGE"] = "analyzer"
    live = watched.model().live
    assert live is not None
    watched.ledger.commit([change(watched.model(), live=replace(live, run=9))])
    assert "has no data-quality baseline" in keep(watched).words
    assert metric("blind") == [1.0, 1.0]
    assert service.schedules == {}


def test_an_account_that_model_monitor_refuses_is_told(
    watched: World, service: Service, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No dead letter every five minutes, but the alarm, and another try by the sweeper."""

    def refuse(*_: Any) -> None:
        raise Denied("defining x: AccessDeniedException: closed to new customers")

    with monkeypatch.context() as patch:
        patch.setattr(monitoring_schedules, "put_definition", refuse)
        refused = keep(watched)
    assert refused.decision == "failed"
    assert "closed to new customers" in refused.words
    assert metric("blind") == [1.0]
    told.clear()
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert told == [LOOK]
    assert keep(watched).decision == "kept"


def test_executions_become_windows_in_order(
    watched: World, service: Service, told: list[dict[str, Any]]
) -> None:
    """Each once, with its figures published; one under way holds back those after it; an hour
    that the release cut begins with the release; nothing captured is blind."""
    live = watched.model().live
    assert live is not None
    half = live.since_ms - HOUR // 2
    watched.ledger.commit([change(watched.model(), live=replace(live, since_ms=half))])
    keep(watched)
    name, first = placed(watched), live.since_ms
    service.execute(name, first)
    service.execute(name, first + HOUR, "CompletedWithViolations", far=0.31)
    service.executions.append(
        Execution(name, first + 2 * HOUR, "Failed", "", "Job inputs had no data")
    )
    service.execute(name, first + 3 * HOUR, "InProgress")
    service.execute(name, first + 4 * HOUR)
    told.clear()
    assert [each.decision for each in take(watched)] == ["done", "done", "empty"]
    assert told[-1] == LOOK  # edited constraints count from now on
    windows = read_windows(watched.ports, MODEL, KIND)
    assert [(each.start_ms, each.end_ms) for each in windows] == [
        (half, first),
        (first, first + HOUR),
        (first + HOUR, first + 2 * HOUR),
    ]
    assert [each.violations for each in windows] == [0, 1, 0]
    assert windows[1].words == "`age` drifted 0.31 from its baseline (bound 0.10)"
    assert metric("violations") == [0.0, 1.0]
    assert metric("blind") == [0.0, 0.0, 1.0]
    assert take(watched) == []
    service.jobs[f"data-quality-monitoring-{first + 3 * HOUR}"]["ProcessingJobStatus"] = "Failed"
    service.executions[3] = replace(service.executions[3], status="Failed")
    assert [each.decision for each in take(watched)] == ["failed", "done"]
    failed = read_windows(watched.ports, MODEL, KIND)[3]
    assert "failed: AlgorithmError: it broke" in failed.words


def test_whoever_dies_half_way_is_made_up_for(
    watched: World, service: Service, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that was opened is ended by the next look; what nobody heard of, the sweeper asks
    for once it was due."""
    live = watched.model().live
    assert live is not None
    keep(watched)
    service.execute(placed(watched), live.since_ms + HOUR)
    told.clear()
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert told == [ENDED]
    with monkeypatch.context() as patch:
        patch.setattr(take_executions, "end_monitor", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(watched)
    (window,) = read_windows(watched.ports, MODEL, KIND)
    assert window.state == "open"
    assert ending.end_monitor(watched.ports, MODEL, KIND).decision == "done"
    assert take(watched) == []
    (window,) = read_windows(watched.ports, MODEL, KIND)
    assert window.state == "done"


def test_files_that_make_no_report_fail_the_window(watched: World, service: Service) -> None:
    """The words say what was missing."""
    live = watched.model().live
    assert live is not None
    keep(watched)
    job = service.execute(placed(watched), live.since_ms + HOUR)
    service.jobs[job]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] += "-gone"
    (done,) = take(watched)
    assert done.decision == "failed"
    assert done.found is not None
    assert "left no report" in done.found.words


def test_a_look_by_hand_is_a_schedule_that_runs_once(
    watched: World, service: Service, told: list[dict[str, Any]]
) -> None:
    """Over what came since the last window; one at a time; gone when it was taken over."""
    live = watched.model().live
    assert live is not None
    watched.clock.now_ms = live.since_ms + 90_000
    started = keep(watched, by="ann")
    assert started.decision == "started"
    assert service.schedules[started.schedule] == {
        "ScheduleExpression": "NOW",
        "DataAnalysisStartTime": "-PT90S",
        "DataAnalysisEndTime": "-PT0S",
    }
    again = keep(watched, by="bob")
    assert (again.decision, again.schedule) == ("open", started.schedule)
    told.clear()
    look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert told == [ENDED]
    assert take(watched) == []  # nothing of it yet
    service.execute(started.schedule, watched.clock.now_ms)
    assert [each.decision for each in take(watched)] == ["done"]
    window = window_by_schedule(watched.ports, MODEL, KIND, started.schedule)
    assert window is not None
    assert (window.start_ms, window.end_ms) == (live.since_ms, watched.clock.now_ms)
    assert started.schedule not in service.schedules
    watched.clock.now_ms += 500
    assert keep(watched, by="ann").words == f"{MODEL} was judged a moment ago"


def test_a_look_by_hand_at_nothing_is_an_empty_window(watched: World, service: Service) -> None:
    """SageMaker starts no job then, and tells nobody: whoever asked is answered all the same."""
    kind = "model-quality"
    put("runs/census/1/baselines/model_quality/constraints.json")
    push(watched, {**MANAGED, "monitor": {kind: {"every": "1h", "delay": "0s"}}})
    live = watched.model().live
    assert live is not None
    # Captured lines tell their second: so does the beginning of a version's first window.
    watched.ledger.commit([change(watched.model(), live=replace(live, since_ms=live.since_ms + 7))])
    watched.clock.now_ms = live.since_ms + 90_000
    started = start_monitor(watched.ports, MODEL, kind, by="ann")
    ended = Execution(
        started.schedule, watched.clock.now_ms + 50, "Failed", "", "Job inputs had no data"
    )
    service.executions.append(ended)
    (done,) = take_executions.take_executions(watched.ports, MODEL, kind)
    assert done.decision == "empty"
    window = window_by_schedule(watched.ports, MODEL, kind, started.schedule)
    assert window is not None
    assert (window.start_ms, window.end_ms) == (live.since_ms, ended.scheduled_ms)


def test_a_removal_stops_the_jobs_of_executions(watched: World, service: Service) -> None:
    """They would write reports of a model that is gone; those that are over need it no more."""
    live = watched.model().live
    assert live is not None
    keep(watched)
    watched.clock.now_ms = live.since_ms + 4 * HOUR
    service.execute(placed(watched), live.since_ms + HOUR)
    job = service.execute(placed(watched), live.since_ms + 2 * HOUR, "InProgress")
    assert keep_watch.jobs_at_work(watched.ports, MODEL) == [job]


def test_removals_take_the_schedules_along(watched: World, service: Service) -> None:
    """With the endpoint by the ledger; with the model's stack by name, and no other model's."""
    keep(watched, by="ann")
    assert len(service.schedules) == 2
    assert keep_watch.remove_watches(watched.ports, MODEL) == [KIND]
    assert (service.schedules, service.definitions) == ({}, set())
    assert keep_watch.remove_watches(watched.ports, MODEL) == []
    keep(watched)
    other = f"perennial-watch-{MODEL}-2-{KIND}-0123456789"
    service.schedules[other] = {}
    remove_remains.remove_schedules("perennial", MODEL)
    assert list(service.schedules) == [other]
