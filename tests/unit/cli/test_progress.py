"""What follows a run: the path read from an execution's history, and its lines."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from perennial import watch_run
from perennial.aws import history
from perennial.aws.history import Visit, visits
from perennial.aws.machine import Execution
from perennial.watch_run import JobView, RunView
from rich.console import Console

from cli.deployment import worst
from cli.follow import Teller, finished, running
from cli.live import Progress
from cli.logs import readable
from cli.see import LONGEST_SIGNAL, short_words
from cli.training import TrainingTeller


def event(kind: str, second: int, **details: Any) -> dict[str, Any]:
    """One event of an execution's history, `second` seconds after its start."""
    return {"type": kind, "timestamp": datetime.fromtimestamp(second, UTC), **details}


def scheduled(second: int, job: str) -> dict[str, Any]:
    """A job of this name is asked for."""
    parameters = json.dumps({"TrainingJobName": job})
    return event("TaskScheduled", second, taskScheduledEventDetails={"parameters": parameters})


def entered(kind: str, second: int, name: str) -> dict[str, Any]:
    """A state is entered."""
    return event(f"{kind}StateEntered", second, stateEnteredEventDetails={"name": name})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a test say what an execution's history is, and reads the path from it."""

    def path(*events: dict[str, Any]) -> tuple[Visit, ...]:
        # Each event follows the one before it, unless it says which other one.
        numbered = [
            {"id": number, "previousEventId": number - 1, **each}
            for number, each in enumerate(events, 1)
        ]
        monkeypatch.setattr(history, "_events", lambda _: iter(numbered))
        return visits("arn")

    return path


def test_a_retried_job_shows_its_last_name_and_its_attempts(told: Any) -> None:
    """The first job failed, the second runs: one visit, no error any more."""
    (visit,) = told(
        entered("Task", 1, "Train"),
        scheduled(1, "p-train-0"),
        event("TaskFailed", 2, taskFailedEventDetails={"error": "SlowDown", "cause": "busy"}),
        scheduled(3, "p-train-1"),
    )
    assert visit == Visit("Train", "Task", 1_000, None, "p-train-1", attempts=2)


def test_a_caught_failure_stays_with_its_state(told: Any) -> None:
    """The state that failed keeps error and cause; the state that names it comes after."""
    path = told(
        entered("Task", 1, "CheckData"),
        event("TaskFailed", 4, taskFailedEventDetails={"error": "JobFault", "cause": "no disk"}),
        event("TaskStateExited", 4, stateExitedEventDetails={"name": "CheckData"}),
        entered("Fail", 4, "CheckDataFailed"),
        event("ExecutionFailed", 5),
    )
    assert [(v.state, v.error, v.left_ms) for v in path] == [
        ("CheckData", "JobFault", 4_000),
        ("CheckDataFailed", "", 5_000),
    ]
    assert "✗" in finished(path[0])
    assert "JobFault" in finished(path[0])


def test_branches_are_told_apart(told: Any) -> None:
    """Two jobs side by side: each failure, job and end belongs to its own state."""
    left = event("TaskStateExited", 7, stateExitedEventDetails={"name": "Evaluate"})
    whole = event("ParallelStateExited", 8, stateExitedEventDetails={"name": "Evaluations"})
    failure = {"error": "States.TaskFailed", "cause": "no column"}
    path = told(
        entered("Parallel", 1, "Evaluations"),
        entered("Task", 1, "Evaluate"),
        entered("Task", 2, "EvaluateChampion") | {"previousEventId": 1},
        scheduled(2, "p-evaluate-0") | {"previousEventId": 2},
        scheduled(2, "p-evaluate-champion-0") | {"previousEventId": 3},
        event("TaskFailed", 5, taskFailedEventDetails=failure),
        left | {"previousEventId": 4},
        whole,
    )
    assert [(v.state, v.job, v.error, v.left_ms) for v in path] == [
        ("Evaluations", "", "", 8_000),
        ("Evaluate", "p-evaluate-0", "", 7_000),
        ("EvaluateChampion", "p-evaluate-champion-0", "States.TaskFailed", None),
    ]


def test_an_aborted_execution_leaves_its_state(told: Any) -> None:
    """A stopped run is shown neither as still at work nor as done."""
    (visit,) = told(entered("Task", 1, "Train"), event("ExecutionAborted", 9))
    assert visit.left_ms == 9_000
    assert visit.error == "Aborted"
    assert "✗" in finished(visit)


def test_the_running_line_names_job_and_stage() -> None:
    """State, time, job, and what SageMaker says it does."""
    execution = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)
    visit = Visit("Train", "Task", 1_000, None, "p-train-0")
    job = JobView("p-train-0", "training", "InProgress", "Downloading", "")
    line = running(RunView(execution, (visit,), job, ()))
    assert line.startswith("Train")
    assert "p-train-0 · Downloading" in line


def test_every_branch_at_work_has_a_line() -> None:
    """The job that is looked at tells its stage; what is done, or no work, is left out."""
    execution = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)
    path = (
        Visit("Evaluations", "Parallel", 1_000),
        Visit("Evaluate", "Task", 1_000, None, "p-evaluate-0"),
        Visit("EvaluateChampion", "Task", 1_000, 2_000, "p-evaluate-champion-0"),
        Visit("Explain", "Task", 1_000, None, "p-explain-0"),
    )
    job = JobView("p-evaluate-0", "processing", "InProgress", "InProgress", "")
    first, second = running(RunView(execution, path, job, ())).splitlines()
    assert first.startswith("Evaluate ")
    assert "p-evaluate-0 · InProgress" in first
    assert second.strip().startswith("Explain ")
    assert "InProgress" not in second
    assert not running(RunView(execution, path[2:3], None, ()))


def test_a_job_is_told_when_it_has_a_name() -> None:
    """In a file its beginning and its end are a line each, however often it was looked at."""
    execution = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)
    stream = io.StringIO()
    progress = Progress(Console(file=stream, width=100))
    teller = Teller(progress, TrainingTeller(progress, lambda _: None, 0))
    for job, left in (("", None), ("p-train-0", None), ("p-train-0", None), ("p-train-0", 3_000)):
        visit = Visit("Train", "Task", 1_000, left, job)
        teller.tell(RunView(execution, (visit,), None, ()))
    begun, done = stream.getvalue().splitlines()
    assert begun.split() == ["…", "Train", "p-train-0"]
    assert done.split() == ["✓", "Train", "2.0", "s", "p-train-0"]


def test_the_working_branch_is_watched_not_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that is done already may be the newest state of the path."""
    execution = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)
    path = (
        Visit("Evaluate", "Task", 1_000, None, "p-evaluate-0"),
        Visit("EvaluateChampion", "Task", 1_000, 2_000, "p-evaluate-champion-0"),
    )
    monkeypatch.setattr(watch_run, "describe", lambda _: execution)
    monkeypatch.setattr(watch_run, "visits", lambda _: path)
    monkeypatch.setattr(watch_run, "read_lines", lambda *_, **__: [])
    monkeypatch.setattr(
        watch_run, "describe_job", lambda name: JobView(name, "processing", "", "", "")
    )
    view = watch_run.watch_run("arn")
    assert view is not None
    assert view.job is not None
    assert view.job.name == "p-evaluate-0"


def test_a_file_gets_lasting_lines_only() -> None:
    """What changes all the time is for terminals."""
    stream = io.StringIO()
    with Progress(Console(file=stream, width=100)) as progress:
        progress.now("spinning")
        progress.say("done")
        progress.quiet()
    assert stream.getvalue() == "done\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("START RequestId: 1 Version: $LATEST", ""),
        ('{"_aws": {"Timestamp": 1}, "RunsOpened": [1.0]}', ""),
        ("plain [text]", r"plain \[text]"),
        (
            '{"level": "ERROR", "message": "no luck", "model": "census", "service": "perennial"}',
            "[red]ERROR  [/] no luck [dim]model=census[/]",
        ),
    ],
)
def test_log_lines_become_words(line: str, words: str) -> None:
    """Frames and metrics are left out, entries are told, markup of others stays text."""
    assert readable(line) == words


def test_a_failed_command_is_told_from_its_first_telling_line() -> None:
    """The noise before the failure is left out."""
    lines = ["Building a", "Building b", "Build Failed", "Error: make: no rule"]
    assert worst(lines) == ["Build Failed", "Error: make: no rule"]
    assert worst(["one", "two"]) == ["one", "two"]


def test_signals_are_named_by_what_differs() -> None:
    """The model's prefix and the version id would only repeat on every line."""
    words = "data: incoming/census/2026/a (1).csv (version ab-12)"
    assert short_words(words, "census") == "data: 2026/a (1).csv"
    assert len(short_words(f"data: {'x' * 1024}", "census")) == LONGEST_SIGNAL + 1
