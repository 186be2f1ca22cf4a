"""A monitor's life: windows, jobs, figures, alarms, signals, notices."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from perennial import end_monitor as ending
from perennial import look_after_monitors, start_monitor
from perennial.aws import functions, jobs, objects, registry
from perennial.describe_monitors import describe_monitors, find_window, read_windows
from perennial.domain.captured import read_labels
from perennial.domain.errors import NotFound
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.ledger.monitors import Found
from perennial.domain.ledger.rows import Champion, Live
from perennial.domain.ledger.store import change, drop
from perennial.domain.monitor_windows import hour_folders
from perennial.record_window import metrics_of
from perennial.send_labels import allowed_labels, send_labels
from perennial.wiring import now_ms

from tests.alarms import put_alarm
from tests.unit.world import DOCUMENT, MODEL, World, boto_client

HOUR = 3_600_000
KIND = "data-quality"
ALARM = f"perennial-monitor-{MODEL}-{KIND}"
SECTIONS: dict[str, Any] = {
    "release": {"endpoint": {"count": 2}},
    "monitor": {KIND: {"every": "1h", "delay": "5m"}},
    "data": {**DOCUMENT["data"], "sources": ["landed", "labelled-traffic"]},
    "triggers": {**DOCUMENT["triggers"], "quiet_period": "0s"},
}
CONTAINER = {"ModelDataUrl": "s3://artifacts/m.tar.gz", "Environment": {"PERENNIAL_CODE": "s3://c"}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What functions were told, as they are asked in production; none runs here."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(functions, "tell", lambda _arn, event: said.append(dict(event)))
    raw = {"InferenceSpecification": {"Containers": [CONTAINER]}}
    monkeypatch.setattr(registry, "describe_version", lambda _arn: SimpleNamespace(raw=raw))
    return said


@pytest.fixture
def watched(world: World, told: list[dict[str, Any]]) -> World:
    """A model whose version 1 of run 1 is live since the full hour three hours ago."""
    assert told == []
    world.clock.now_ms = now_ms() // HOUR * HOUR
    world.outputs |= {
        "JobImage": "image",
        "JobRoleArn": "arn:aws:iam::123456789012:role/job",
        "MonitorDueFunctionArn": "due",
        "MonitoringEndedFunctionArn": "ended",
    }
    world.push(**SECTIONS)
    live = Live("perennial-live-census", "c", 1, 1, "arn:1", world.clock.now_ms - 3 * HOUR, run=1)
    champion = Champion(1, "arn:1", "d", 1, 1, world.clock.now_ms - 3 * HOUR)
    row = world.model()
    fields: Any = {"live": live, "champion": champion, "has_data": True, "last_run": 1}
    # The push was run 1's: only what happens here calls for another run.
    world.ledger.commit([change(row, **fields), *map(drop, world.signals())])
    world.wakes()
    put("runs/census/1/baselines/data_quality/constraints.json")
    put_alarm(boto_client("cloudwatch"), ALARM)
    return world


def put(key: str, body: str = "{}") -> None:
    """Write an object."""
    boto_client("s3").put_object(Bucket="artifacts", Key=key, Body=body.encode())


def capture(world: World, back: int = 1) -> None:
    """A capture file in the folder of the hour that began so many hours ago."""
    folder = hour_folders(world.clock.now_ms - back * HOUR, world.clock.now_ms)[0]
    put(f"capture/census/perennial-live-census/main/{folder}/file.jsonl", "x")


def look(world: World, **given: Any) -> start_monitor.Started:
    """One firing of the schedule."""
    return start_monitor.start_monitor(world.ports, MODEL, KIND, **given)


def finish(world: World, violations: int = 0, rows: int = 100) -> ending.EndedWindow:
    """Let the job of the open window end with this report."""
    window = start_monitor.read_open(world.ledger, MODEL, KIND)
    assert window is not None
    worst = {"name": "age", "value": 0.31, "bound": 0.1, "words": "`age` drifted 0.31 (bound 0.10)"}
    report = {
        "version": 1,
        "rows": rows,
        "worst": worst,
        "violations": [worst] * violations,
        "metrics": [],
    }
    put(f"{window.place}/report/report.json", json.dumps(report))
    return ending.end_monitor(world.ports, MODEL, KIND, window.job)


def metric(name: str) -> list[float]:
    """The values of a figure that were published, in order of publication."""
    from moto.cloudwatch.models import cloudwatch_backends

    backend: Any = cloudwatch_backends["123456789012"]["eu-west-1"]
    return [each.value for each in backend.metric_data if each.name == name]


def sound(state: str = "ALARM") -> None:
    """Set the alarm's state, as CloudWatch does by its metric."""
    boto_client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue=state, StateReason="r")


def alarm_event() -> str:
    """The event of the alarm that goes off."""
    return json.dumps(
        {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "detail": {
                "alarmName": ALARM,
                "state": {"value": "ALARM", "reason": "Threshold Crossed", "timestamp": "t1"},
            },
        }
    )


def test_a_window_is_judged_by_one_job(watched: World, told: list[dict[str, Any]]) -> None:
    """The job reads the window's capture alone, and its figures reach ledger and CloudWatch; what
    is missed is asked for at once, until nothing is due."""
    capture(watched, back=3)
    started = look(watched)
    assert started.decision == "started"
    assert look(watched).decision == "open"
    window = started.window
    assert window is not None
    assert window.end_ms - window.start_ms == HOUR
    described = jobs.describe_processing_job(window.job)
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in described["ProcessingInputs"]}
    assert inputs["baseline"] == "s3://artifacts/runs/census/1/baselines/data_quality/"
    listed = boto_client("s3").get_object(
        Bucket="artifacts", Key=inputs["capture"].removeprefix("s3://artifacts/")
    )
    first, name = json.loads(listed["Body"].read())
    assert first == {"prefix": "s3://artifacts/capture/census/"}
    assert name.startswith("perennial-live-census/main/")
    done = finish(watched, violations=2)
    assert (done.decision, done.window and done.window.job) == ("done", window.job)
    assert metric("violations") == [2.0]
    assert metric("blind") == [0.0]
    assert told == [{"perennial": "monitor", "model": MODEL, "monitor": KIND}]
    assert ending.end_monitor(watched.ports, MODEL, KIND, window.job).decision == "none"
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert (kept.state, kept.rows, kept.violations) == ("done", 100, 2)
    assert kept.words == "`age` drifted 0.31 (bound 0.10)"


def test_missed_windows_follow_one_after_the_other(watched: World) -> None:
    """Three hours without a schedule give three windows, none judged twice, none left out."""
    spans = []
    while (started := look(watched)).window is not None:
        spans.append((started.window.start_ms, started.window.end_ms))
        assert started.decision == "empty"
    since = watched.clock.now_ms - 3 * HOUR
    assert spans == [(since, since + HOUR), (since + HOUR, since + 2 * HOUR)]
    assert metric("blind") == [1.0, 1.0]
    assert (
        "nothing was captured in the hour to" in read_windows(watched.ports, MODEL, KIND)[0].words
    )


@pytest.mark.parametrize(("early_s", "decision"), [(299, "started"), (301, "empty")])
def test_clocks_may_be_five_minutes_apart(
    watched: World, monkeypatch: pytest.MonkeyPatch, early_s: int, decision: str
) -> None:
    """A file that S3 says is a little older than the window may hold its requests."""
    since = watched.clock.now_ms - 3 * HOUR
    found = [("2026/01/01/00/file.jsonl", since - early_s * 1000)]
    monkeypatch.setattr(objects, "list_between", lambda *_: found)
    assert look(watched).decision == decision


@pytest.mark.parametrize(("is_whole", "published"), [(True, [1.0]), (False, [])])
def test_a_short_window_in_which_nothing_came_says_nothing(
    watched: World, is_whole: bool, published: list[float]
) -> None:
    """Between a release and the full hour may be a minute: nobody is called for that."""
    made = WindowRow(MODEL, KIND, 0, HOUR, 1, 1, 1, 1, 0, is_whole=is_whole)
    found = metrics_of(made, Found("empty"), None)
    assert [each.value for each in found if each.name == "blind"] == published
    assert [each.name for each in metrics_of(made, Found("failed"), None)] == ["blind"]


def test_the_window_that_saw_something_is_shown(watched: World) -> None:
    """Behind it may be windows in which nothing came; by its end any of them is found."""
    capture(watched, back=3)
    look(watched)
    seen = finish(watched).window
    assert seen is not None
    assert look(watched).decision == "empty"
    assert find_window(watched.ports, MODEL, KIND).end_ms == seen.end_ms
    after = find_window(watched.ports, MODEL, KIND, seen.end_ms + HOUR)
    assert (after.state, after.end_ms) == ("empty", seen.end_ms + HOUR)
    with pytest.raises(NotFound, match="judged no window to 7"):
        find_window(watched.ports, MODEL, KIND, 7)


def test_many_labels_go_into_several_objects(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request stands in one of them, once."""
    monkeypatch.setattr("perennial.send_labels.MOST_IN_ONE", 2)
    labels = [(f"e{i}", (">50K",)) for i in range(5)]
    sent = send_labels(watched.ports, MODEL, labels)
    assert (sent.requests, sent.labels, len(sent.uris)) == (5, 5, 3)
    lines = b"".join(objects.get_bytes(uri) for uri in sent.uris).decode().splitlines()
    assert [read_labels(line) for line in lines] == labels


def test_a_job_that_was_lost_is_started_again(
    watched: World, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds an open window without a job starts the very job; the sweeper sees to it."""
    capture(watched, back=3)
    with monkeypatch.context() as broken:
        broken.setattr(jobs, "start_processing_job", lambda _request: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            look(watched)
    found = look_after_monitors.look_after_monitors(watched.ports, watched.model())
    assert found == (KIND,)
    assert told[-1]["perennial"] == "monitoring-ended"
    assert ending.end_monitor(watched.ports, MODEL, KIND).decision == "lost"
    assert told[-1]["perennial"] == "monitor"
    again = look(watched)
    assert again.decision == "resumed"
    assert finish(watched).decision == "done"


def test_what_was_recorded_and_not_published_is_published(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that dies between ledger and CloudWatch is made up for; no window is lost."""
    capture(watched, back=3)
    look(watched)
    with monkeypatch.context() as broken:
        broken.setattr("perennial.record_window.publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finish(watched, violations=1)
    assert metric("violations") == []
    assert ending.end_monitor(watched.ports, MODEL, KIND).decision == "done"
    assert metric("violations") == [1.0]
    assert start_monitor.read_open(watched.ledger, MODEL, KIND) is None


def test_a_failed_job_is_an_alarm_of_its_own(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reason stands in the ledger, and `blind` is 1; want of machines is tried again."""
    capture(watched, back=3)
    started = look(watched)
    assert started.window is not None
    job = started.window.job
    failed = {"ProcessingJobName": job, "ProcessingJobStatus": "Failed"}
    for reason, decision in (
        ("CapacityError: none left", "again"),
        ("SettingsError: no", "failed"),
    ):
        window = start_monitor.read_open(watched.ledger, MODEL, KIND)
        assert window is not None
        now = {**failed, "FailureReason": reason}
        monkeypatch.setattr(jobs, "describe_processing_job", lambda _name, now=now: now)
        watched.wait(1)
        assert ending.end_monitor(watched.ports, MODEL, KIND, window.job).decision == decision
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert (kept.state, kept.attempt) == ("failed", 2)
    assert "SettingsError: no" in kept.words
    assert metric("blind") == [1.0]


def test_a_report_that_cannot_be_read_is_a_failure(watched: World) -> None:
    """A job that ended well and left nonsense has failed."""
    capture(watched, back=3)
    started = look(watched)
    assert started.window is not None
    put(f"{started.window.place}/report/report.json", "[]")
    done = ending.end_monitor(watched.ports, MODEL, KIND, started.window.job)
    assert done.decision == "failed"
    assert done.found is not None
    assert "no report of version 1" in done.found.words


def test_without_a_baseline_the_reason_is_told(watched: World) -> None:
    """A version from before baselines cannot be watched; the words say what to do."""
    boto_client("s3").delete_object(
        Bucket="artifacts", Key="runs/census/1/baselines/data_quality/constraints.json"
    )
    capture(watched, back=3)
    done = look(watched)
    assert (done.decision, metric("blind")) == ("failed", [1.0])
    assert "has no data-quality baseline" in done.words
    assert "perennial retrain census" in done.words


def test_an_alarm_waits_until_there_is_something_to_learn(watched: World) -> None:
    """The alarm's signal carries the finding, people are told why no run starts; labels let one
    start, with that evidence."""
    capture(watched, back=3)
    look(watched)
    finish(watched, violations=1)
    watched.deliver(alarm_event())
    (notice,) = watched.inbox()
    assert notice["Subject"] == "census: data-quality drifted"
    first_line = notice["Message"].splitlines()[0]
    assert first_line.startswith("`age` drifted 0.31 (bound 0.10) in the hour to ")
    assert "no run has started: nothing new to learn" in first_line
    assert watched.executions() == []
    sent = send_labels(watched.ports, MODEL, [("a", (">50K",)), ("b", ("<=50K", ">50K"))])
    assert (sent.requests, sent.labels, sent.is_learned) == (2, 3, True)
    watched.wake()
    assert watched.executions() == ["perennial-census-2"]
    assert "drift: `age` drifted 0.31 (bound 0.10) in the hour to" in watched.run(2).because[0]


def test_a_run_that_starts_is_told(watched: World) -> None:
    """With news there already, the notice names the run."""
    capture(watched, back=3)
    look(watched)
    finish(watched, violations=1)
    send_labels(watched.ports, MODEL, [("a", (">50K",))])
    watched.deliver(alarm_event())
    notices = [each for each in watched.inbox() if "drifted" in each["Subject"]]
    assert notices[0]["Message"].splitlines()[0].endswith("; run perennial-census-2 has started")


def test_an_alarm_that_stays_is_looked_at_again(watched: World) -> None:
    """It sends no event: a window with violations admits it anew once nothing of it waits, and
    only then; a notice goes out only if a run starts."""
    capture(watched, back=3)
    look(watched)
    sound()
    finish(watched, violations=1)
    (body,) = queued(watched)
    assert (body["perennial"], body["alarm"]) == ("drift", ALARM)
    watched.deliver(json.dumps(body))
    assert [row.parts[0] for row in watched.signals() if row.kind == "drift"] == [ALARM]
    assert watched.inbox() == []
    capture(watched, back=2)
    look(watched)
    finish(watched, violations=1)
    assert [each["perennial"] for each in queued(watched)] == ["wake"]


def test_an_alarm_that_is_ok_again_calls_for_nothing(watched: World) -> None:
    """A window without violations settles what its alarm called for: flapping leaves no heap."""
    capture(watched, back=3)
    look(watched)
    finish(watched, violations=1)
    watched.deliver(alarm_event())
    assert watched.states()[ALARM] == "pending"
    capture(watched, back=2)
    look(watched)
    finish(watched)
    assert watched.states()[ALARM] == "withdrawn"
    assert metric("violations") == [1.0, 0.0]


def test_a_new_version_begins_without_violations(watched: World) -> None:
    """Its windows begin with its release, and nothing of the old one is held against it."""
    capture(watched, back=3)
    look(watched)
    finish(watched, violations=1)
    row = watched.model()
    assert row.live is not None
    since = watched.clock.now_ms - HOUR - 60_000
    newer = Live("perennial-live-census", "c2", 2, 2, "arn:2", since, run=2)
    watched.ledger.commit([change(row, live=newer)])
    put("runs/census/2/baselines/data_quality/constraints.json")
    capture(watched, back=2)
    started = look(watched)
    assert started.window is not None
    assert (started.window.version, started.window.start_ms) == (2, since)
    assert not started.window.is_whole
    assert metric("violations") == [1.0, 0.0]


def test_by_hand_a_monitor_looks_at_once(watched: World) -> None:
    """A person's look ends now, whatever the schedule; the next window begins there."""
    capture(watched, back=3)
    while look(watched).window is not None:
        if start_monitor.read_open(watched.ledger, MODEL, KIND) is not None:
            finish(watched)
    watched.wait(600)
    done = look(watched, by="ann")
    assert done.window is not None
    assert (done.window.end_ms, done.window.by) == (watched.clock.now_ms - 600_000, "ann")


def test_what_is_not_watched_is_said(watched: World) -> None:
    """Unknown models are not found; kinds that nobody asks for, and nothing live, are no errors."""
    with pytest.raises(NotFound):
        start_monitor.start_monitor(watched.ports, "other", KIND)
    none = start_monitor.start_monitor(watched.ports, MODEL, "bias")
    assert (none.decision, "ask for no bias monitor" in none.words) == ("none", True)
    watched.ledger.commit([change(watched.model(), live=None)])
    assert look(watched).words == "no version of census is live, so there is no traffic to judge"


def test_monitors_are_described(watched: World) -> None:
    """Alarm, last window and next look, and windows by their end."""
    capture(watched, back=3)
    look(watched)
    finish(watched, violations=1)
    sound()
    found = describe_monitors(watched.ports, MODEL)
    (each,) = found.monitors
    assert (found.version, each.kind, each.alarm, each.blind) == (1, KIND, "ALARM", "NONE")
    assert each.last is not None
    assert each.due_ms == each.last.end_ms + HOUR + 300_000
    assert find_window(watched.ports, MODEL, KIND, each.last.end_ms) == each.last
    with pytest.raises(NotFound, match="judged no window to 5"):
        find_window(watched.ports, MODEL, KIND, 5)
    assert allowed_labels(watched.ports, MODEL) == ("<=50K", ">50K")


def queued(world: World) -> list[dict[str, Any]]:
    """Take every message off the signal queue."""
    from moto.sqs.models import sqs_backends

    backend: Any = sqs_backends["123456789012"]["eu-west-1"]
    (queue,) = [each for each in backend.queues.values() if each.name == "signals"]
    bodies = [json.loads(message.body) for message in queue._messages]
    queue._messages.clear()
    return bodies
