"""What an operator reads at night: stopped runs, causes, logs, dead letters, mistyped options."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner
from perennial.aws.history import Visit
from perennial.aws.log_groups import LogLine, read_lines
from perennial.aws.machine import Execution
from perennial.aws.registry import Version
from perennial.domain.ledger.rows import RunRow
from perennial.read_report import Report
from perennial.watch_run import RunView
from rich.console import Console

from cli.local_cloud import RunningCloud
from cli.logs import show
from cli.main import perennial
from cli.output import Screen
from cli.run import show_run
from cli.session import Session
from cli.target import Target

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cloud

Make = Callable[..., Path]


@pytest.fixture
def session() -> Session:
    """A session whose screen is text in memory."""
    screen = Screen()
    screen.out = Console(file=io.StringIO(), width=200)
    return Session(Target("perennial", "eu-west-1"), screen)


def shown(session: Session) -> str:
    """What the session's screen holds."""
    file = session.screen.out.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def run_row(**facts: Any) -> RunRow:
    """An ended run of churn."""
    return RunRow(model="churn", number=4, settings=1, opened_ms=1_000, state="ended", **facts)


def test_a_state_that_was_cut_off_is_not_done(session: Session) -> None:
    """After `run stop` the state at work reads "stopped", and the one before it "done"."""
    path = (
        Visit("CheckData", "Task", 1_000, 2_000, "p-check-data-0"),
        Visit("Train", "Task", 2_000, 9_000, "p-train-0", error="Aborted"),
    )
    view = RunView(Execution("a", "n", "ABORTED", "{}", None, "", "", 0, None, 0), path, None, ())
    show_run(session, run_row(outcome="stopped", ended_ms=9_000), Report(), view)
    lines = [line.split() for line in shown(session).splitlines()]
    assert ["CheckData", "done", "1.0", "s", "p-check-data-0"] in lines
    assert ["Train", "stopped", "7.0", "s", "p-train-0"] in lines


def test_a_jobs_description_is_not_printed_as_a_cause(session: Session) -> None:
    """The reason stands in the words; 3 kB of a job's description helps nobody."""
    cause = 'States.TaskFailed: {"FailureReason": "no more leaves", "HyperParameters": {}}'
    show_run(session, run_row(outcome="failed", ended_ms=2_000, cause=cause), Report(), None)
    assert "HyperParameters" not in shown(session)
    assert "perennial run retry churn 4" in shown(session)


def test_as_many_lines_as_asked_are_shown_for_people(session: Session) -> None:
    """Lambda's frame around each invocation does not count as a line."""
    frame = ("START RequestId: 1", "first", "END RequestId: 1", "REPORT RequestId: 1")
    lines = [LogLine(str(i), i, "worker", text) for i, text in enumerate((*frame, "second"))]
    show(session, lambda _: lines, 2, follow=False, raw=False)
    assert [line.rsplit(" ", 1)[-1] for line in shown(session).splitlines()] == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "group", "stream"),
    [
        ("perennial-churn-1-train-0", "TrainingJobs", "{}/algo-1-1"),
        ("perennial-churn-1-compare-0", "ProcessingJobs", "{}/algo-1-1"),
        ("perennial-monitor-churn-bias-mwqfs0cf", "ProcessingJobs", "{}/algo-1-1"),
        ("perennial-churn-b20261121-124838-6bba", "TransformJobs", "{}/i-1"),
        ("perennial-0123456789abcdef-0", "TrainingJobs", "{}-007-5d1c/algo-1-1"),
        ("perennial-live-churn", "Endpoints/{}", "main/i-1"),
    ],
)
def test_logs_of_every_kind_of_job_and_of_endpoints(
    cloud: Cloud, name: str, group: str, stream: str
) -> None:
    """By the name alone, wherever SageMaker writes it."""
    logs, at = boto3.client("logs"), int(time.time() * 1000)
    place = {"logGroupName": f"/aws/sagemaker/{group.format(name)}"}
    logs.create_log_group(**place)
    others = {} if group.startswith("Endpoints") else {"another-job/algo-1": "another's"}
    for each, text in {stream.format(name): "its own", **others}.items():
        logs.create_log_stream(**place, logStreamName=each)
        event = {"timestamp": at, "message": text}
        logs.put_log_events(**place, logStreamName=each, logEvents=[event])
    lines = cloud.run("logs", name).stdout.splitlines()[-1:]
    assert [line.endswith("its own") for line in lines] == [True]
    assert "another's" not in cloud.run("logs", name).stdout


def test_logs_name_a_run_that_does_not_exist(cloud: Cloud, project: Make) -> None:
    """Not "no lines yet", which would be waited for."""
    cloud.run("push", str(project()))
    result = cloud.run("logs", "run", "99")
    assert result.exit_code == 4
    assert "no run 99 of churn" in result.stderr
    assert cloud.run("logs", "run").exit_code == 2


def test_the_newest_lines_of_a_group_are_read(cloud: Cloud) -> None:
    """CloudWatch tells the oldest first; a week of lines must not hide the last minute."""
    logs = boto3.client("logs")
    now = int(time.time() * 1000)
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    moments = [now - 9 * 24 * 3_600_000, now - 2 * 3_600_000, *(now - 50 + i for i in range(5))]
    events: Any = [{"timestamp": at, "message": f"line {i}"} for i, at in enumerate(moments)]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)
    assert [line.text for line in read_lines("g", most=2)] == ["line 5", "line 6"]
    assert next(line.text for line in read_lines("g", most=6)) == "line 1"
    assert len(read_lines("g", most=100)) == 7


def test_dead_letters_come_with_what_to_do(cloud: Cloud) -> None:
    """The list alone says neither why a message failed nor how to bring it back."""
    boto3.client("sqs").send_message(
        QueueUrl=cloud.outputs["SignalDeadLettersUrl"], MessageBody="poison"
    )
    listed = cloud.run("replay", "--list")
    assert listed.exit_code == 0
    assert "perennial logs on_signal" in listed.stdout
    assert json.loads(cloud.run("replay", "--list", "--json").stdout)[0]["body"] == "poison"


@pytest.mark.parametrize("options", [["--port", "99999"], ["--port", "0"], ["--clock", "0"]])
def test_a_port_or_clock_that_cannot_be_is_a_usage_error(options: list[str]) -> None:
    """Exit code 2 and the range, no traceback of a server that could not start."""
    result = CliRunner().invoke(perennial, ["up", *options])
    assert result.exit_code == 2
    assert "range" in result.stderr


def test_the_port_comes_from_the_environment_too() -> None:
    """`PERENNIAL_PORT=… make up` chooses the port where no option can be given."""
    result = CliRunner().invoke(perennial, ["up"], env={"PERENNIAL_PORT": "99999"})
    assert result.exit_code == 2
    assert "99999" in result.stderr


def test_a_lineage_tells_what_nothing_was_learned_from(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarantined object was read by the run, but the version does not come from it."""
    bucket = cloud.outputs["ArtifactBucket"]
    objects = [{"bucket": "b", "key": key, "version_id": "1", "size": 7} for key in ("a", "bad")]
    report = {"objects": [{**objects[0]}, {**objects[1], "quarantined": True}]}
    for key, document in (("m.json", {"objects": objects}), ("check/report.json", report)):
        boto3.client("s3").put_object(
            Bucket=bucket, Key=f"runs/churn/1/{key}", Body=json.dumps(document)
        )
    metadata = {"perennial:manifest": f"s3://{bucket}/runs/churn/1/m.json"}
    version = Version("perennial-churn", 1, "arn", "Approved", "", "", metadata, 0, {})
    monkeypatch.setattr("perennial.describe_lineage.find_version", lambda *_: version)
    found = cloud.json("lineage", "churn", "1")["objects"]
    assert [item["left_out"] for item in found] == ["", "quarantined"]
    assert "from 1 of them nothing was learned" in cloud.run("lineage", "churn", "1").stdout


def test_a_shell_that_does_not_know_the_command_is_told_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After `make up` in a fresh clone nothing is on the PATH yet; what comes next says so."""
    there = RunningCloud("http://127.0.0.1:1", 1, "", "eu-west-1")
    monkeypatch.setattr("cli.cloud.find_cloud", lambda: there)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    result = CliRunner().invoke(perennial, ["up", "--keep"])
    assert "source .venv/bin/activate &&" in result.stdout
