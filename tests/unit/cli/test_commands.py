"""The commands on a stack: what they print, what they change, and their exit codes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
import pytest
from perennial.sweep import sweep
from perennial.wiring import connect

from cli.main import MODULES, perennial

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cloud

Make = Callable[..., Path]


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        return [
            leaf
            for name in command.list_commands(context)
            if (found := command.get_command(context, name)) is not None
            for leaf in leaves(found, (*path, name))
        ]
    return [(" ".join(path), command)]


def test_every_command_explains_itself_with_examples() -> None:
    """A first sentence, and examples that begin with the command's own name."""
    for name, command in leaves(perennial):
        words = command.help or ""
        assert "Examples:" in words, name
        assert f"perennial {name}" in words, name
        assert len(words.splitlines()[0]) > 20, name


def test_all_commands_of_the_plan_are_there() -> None:
    """What the documentation promises exists."""
    promised = {
        *("up", "down", "env", "demo", "init", "check", "push", "remove", "fetch-data", "land"),
        *("data", "status", "why", "runs", "run", "lineage", "logs", "retrain", "pause", "resume"),
        *("approve", "reject", "replay", "cost", "predict", "batch"),
        *("release", "releases", "rollback", "endpoint", "adopt", "ab", "demo-release"),
        *("monitor", "drift", "label", "demo-drift"),
    }
    assert promised == set(MODULES)


def test_an_empty_stack_says_what_to_do(cloud: Cloud) -> None:
    """No model yet: the next command is named, and the target was printed first."""
    result = cloud.run("status")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == (
        "target: AWS eu-west-1 · the environment's credentials · stack perennial"
    )
    assert "no models here yet" in result.stdout
    assert "perennial push" in result.stdout


def test_a_stack_that_is_not_there_is_unreachable(cloud: Cloud) -> None:
    """Exit code 3, the stack's name, and how to deploy it; no traceback."""
    result = cloud.runner.invoke(perennial, ["--target", "aws:-/eu-west-1/other", "status"])
    assert result.exit_code == 3
    assert "There is no stack 'other' on AWS eu-west-1" in result.stderr
    assert "sam deploy" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["status", "ghost"],
        ["why", "ghost"],
        ["runs", "ghost"],
        ["runs", "compare", "ghost", "1", "2"],
        ["cost", "ghost"],
        ["run", "show", "ghost", "1"],
        ["run", "card", "ghost", "1"],
        ["pause", "ghost", "--because", "x"],
        ["retrain", "ghost", "--because", "x"],
        ["remove", "ghost", "--yes"],
        ["approve", "ghost", "1", "--because", "x", "--yes"],
        ["lineage", "ghost", "1"],
        ["push", "models/ghost"],
        ["land", "ghost", "no-such-file.csv"],
    ],
)
def test_what_does_not_exist_is_not_found(cloud: Cloud, command: list[str]) -> None:
    """Exit code 4 and the name that was asked for."""
    result = cloud.run(*command)
    assert result.exit_code == 4, result.output
    assert "ghost" in result.stderr or "no-such-file.csv" in result.stderr


def test_push_publishes_once(cloud: Cloud, project: Make) -> None:
    """The first push makes settings 1; the same content again publishes nothing."""
    folder = str(project())
    first = cloud.json("push", folder)
    again = cloud.json("push", folder)
    assert (first["version"], first["changed"], first["uploaded"]) == (1, True, True)
    assert (again["version"], again["changed"], again["uploaded"]) == (1, False, False)
    assert "is unchanged: settings 1 stay" in cloud.run("push", folder).stdout


def test_push_with_another_setting_is_another_version(cloud: Cloud, project: Make) -> None:
    """The digest covers the settings that hold after --set."""
    folder = str(project())
    first = cloud.json("push", folder)
    second = cloud.json("push", folder, "--set", "gates.auc.min=0.9")
    assert second["version"] == 2
    assert first["code_sha"] != second["code_sha"]
    assert cloud.json("push", folder, "--set", "gates.auc.min=0.9")["changed"] is False


def test_push_names_every_mistake_and_changes_nothing(cloud: Cloud, project: Make) -> None:
    """Two mistakes of model.yaml in one message; no model came to be."""
    folder = project(problem="binry", gates={"auc": {"min": "high"}})
    result = cloud.run("push", str(folder))
    assert result.exit_code == 1
    assert "problem: found" in result.stderr
    assert "gates.auc.min: found" in result.stderr
    assert "Nothing was changed" in result.stderr
    assert cloud.json("status") == []


def test_push_refuses_a_key_that_stands_twice(cloud: Cloud, project: Make) -> None:
    """YAML would silently keep the last; the line of the second is named."""
    folder = project()
    (folder / "model.yaml").write_text("problem: binary\nlabel: a\nproblem: regression\n")
    result = cloud.run("push", str(folder))
    assert result.exit_code == 1
    assert "line 3, column 1: the key 'problem' stands twice" in result.stderr


def test_status_and_why_tell_what_a_model_waits_for(cloud: Cloud, project: Make) -> None:
    """After a push alone there is a code signal, and no data to learn from yet."""
    cloud.run("push", str(project()))
    status = cloud.json("status", "churn")
    assert (status["settings"], status["champion"], status["now"]) == (1, None, None)
    result = cloud.run("why", "churn")
    assert result.exit_code == 0
    assert "settings 1, pushed by ann" in result.stdout
    assert "no data" in result.stdout
    assert "churn" in cloud.run("status").stdout


def test_land_puts_files_under_the_models_prefix(cloud: Cloud, tmp_path: Path) -> None:
    """Version ids come from S3, and the content is what the file held."""
    first, second = tmp_path / "a.csv", tmp_path / "b c+%.csv"
    first.write_text("age,left\n1,no\n")
    second.write_text("age,left\n2,yes\n")
    landed = cloud.json("land", "churn", str(first), str(second))
    assert [item["key"] for item in landed] == ["incoming/churn/a.csv", "incoming/churn/b c+%.csv"]
    for item, path in zip(landed, (first, second), strict=True):
        found = boto3.client("s3").get_object(
            Bucket=cloud.outputs["LandingBucket"], Key=item["key"], VersionId=item["version_id"]
        )
        assert found["Body"].read() == path.read_bytes()


def test_land_uploads_nothing_when_one_file_is_missing(cloud: Cloud, tmp_path: Path) -> None:
    """All or nothing, as far as can be known before."""
    there = tmp_path / "a.csv"
    there.write_text("age,left\n")
    result = cloud.run("land", "churn", str(there), str(tmp_path / "b.csv"))
    assert result.exit_code == 4
    found = boto3.client("s3").list_objects_v2(Bucket=cloud.outputs["LandingBucket"])
    assert found["KeyCount"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["land", "Churn", "a.csv"], "cannot name a model"),
        (["land", "churn", "a.csv", "b.csv", "--as", "c.csv"], "takes one file"),
        (["land", "churn", "a.csv", "other/a.csv"], "would both become"),
        (["retrain", "churn", "--set", "rounds", "--because", "x"], "is no key=value"),
        (["run", "show", "churn", "first"], "is not [model] run"),
        (["remove", "models/churn"], "Did you mean 'churn'?"),
    ],
)
def test_nonsense_is_a_usage_error(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """Exit code 2 and what was wrong with the words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for name in ("a.csv", "b.csv", "other/a.csv"):
        (tmp_path / name).write_text("age,left\n")
    result = cloud.run(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_a_request_opens_a_run_and_runs_lists_it(
    cloud: Cloud, project: Make, tmp_path: Path
) -> None:
    """`retrain` passes every wait; the run row tells who asked and why."""
    cloud.run("push", str(project()))
    data = tmp_path / "a.csv"
    data.write_text("age,left\n1,no\n")
    cloud.run("land", "churn", str(data))
    asked = cloud.json("retrain", "churn", "--set", "gates.auc.min=0.7", "--because", "lower bar")
    assert asked["overrides"] == {"gates.auc.min": "0.7"}
    sweep(connect({**cloud.outputs, "StackName": "perennial"}), deadline=time.monotonic() + 60)
    runs = cloud.json("runs", "churn")
    assert [run["number"] for run in runs] == [1]
    assert any(
        "asked by ann with gates.auc.min=0.7: lower bar" in line for line in runs[0]["because"]
    )
    shown = cloud.run("run", "show", "1", "--model", "churn")
    assert shown.exit_code == 0, shown.output
    assert "churn run 1" in shown.stdout
    assert "gates.auc.min=0.7" in shown.stdout
    assert cloud.json("status", "churn")["now"]["run"] == 1


def test_retrain_refuses_a_setting_that_one_run_cannot_change(cloud: Cloud, project: Make) -> None:
    """The mistake names the key and what may be set."""
    cloud.run("push", str(project()))
    result = cloud.run("retrain", "churn", "--set", "label=age", "--because", "x")
    assert result.exit_code == 1
    assert "label: found a key that one run cannot change" in result.stderr


def test_pause_and_resume_are_told_by_status_and_why(cloud: Cloud, project: Make) -> None:
    """Who paused it, why, and how to go on."""
    cloud.run("push", str(project()))
    assert cloud.run("pause", "churn", "--because", "producer is repaired").exit_code == 0
    assert "churn is paused by ann" in cloud.run("status").stdout
    assert "producer is repaired" in cloud.run("why", "churn").stdout
    assert cloud.run("resume", "churn").exit_code == 0
    assert cloud.json("status", "churn")["paused"] is None


@pytest.mark.parametrize(
    "command", [["approve", "churn", "1"], ["reject", "churn", "1"], ["remove", "churn"]]
)
def test_on_aws_what_weighs_needs_a_yes(cloud: Cloud, project: Make, command: list[str]) -> None:
    """Nobody is at the terminal: exit code 5, nothing is done."""
    cloud.run("push", str(project()))
    because = ["--because", "x"] if command[0] != "remove" else []
    result = cloud.run(*command, *because)
    assert result.exit_code == 5, result.output
    assert "--yes" in result.stderr
    assert cloud.json("status", "churn")["settings"] == 1


def test_replay_brings_signals_back(cloud: Cloud) -> None:
    """The body is on the signal queue again, and the dead-letter queue is empty."""
    queue = boto3.client("sqs")
    body = '{"perennial":"wake","model":"churn"}'
    queue.send_message(QueueUrl=cloud.outputs["SignalDeadLettersUrl"], MessageBody=body)
    listed = cloud.json("replay", "--list")
    assert [(letter["queue"], letter["replayed"]) for letter in listed] == [("signals", False)]
    replayed = cloud.json("replay")
    assert [(letter["body"], letter["replayed"]) for letter in replayed] == [(body, True)]
    found = queue.receive_message(QueueUrl=cloud.outputs["SignalQueueUrl"])["Messages"]
    assert [message["Body"] for message in found] == [body]
    assert "no dead letters" in cloud.run("replay").stdout


def test_replay_keeps_what_fails_again(cloud: Cloud) -> None:
    """A message that nobody can read stays, is named, and the exit code is 1."""
    queue = boto3.client("sqs")
    queue.send_message(QueueUrl=cloud.outputs["RunEndedDeadLettersUrl"], MessageBody="noise")
    result = cloud.run("replay")
    assert result.exit_code == 1
    assert "stays" in result.stdout
    attributes = queue.get_queue_attributes(
        QueueUrl=cloud.outputs["RunEndedDeadLettersUrl"],
        AttributeNames=["ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_with_json_only_the_document_is_on_stdout(cloud: Cloud, project: Make) -> None:
    """The target goes to stderr, so that a script can pipe stdout."""
    cloud.run("push", str(project()))
    result = cloud.run("why", "churn", "--json")
    assert result.stdout.startswith("{")
    assert result.stderr.startswith("target: AWS eu-west-1")


def test_the_only_model_need_not_be_named(cloud: Cloud, project: Make) -> None:
    """With one model it is meant; with two, the command asks which."""
    cloud.run("push", str(project("churn")))
    assert "churn" in cloud.run("why").stdout
    cloud.run("push", str(project("fraud")))
    result = cloud.run("why")
    assert result.exit_code == 2
    assert "churn, fraud" in result.stderr


def test_a_file_that_cannot_be_read_is_told_in_words(
    cloud: Cloud, project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, the file and the reason; no traceback."""
    folder = project()

    def refuse(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    result = cloud.run("push", str(folder))
    assert result.exit_code == 1
    assert f"{folder}/model.yaml: Permission denied." in result.stderr


def test_env_is_for_the_local_cloud_only(cloud: Cloud) -> None:
    """With an AWS target it prints nothing that a shell would evaluate."""
    result = cloud.run("env")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "the target is 'aws:-/eu-west-1/perennial'" in result.stderr


def test_the_demo_never_runs_on_an_account(cloud: Cloud) -> None:
    """Refused before anything is started or called."""
    result = cloud.run("demo")
    assert result.exit_code == 5
    assert "on the local cloud only" in result.stderr
