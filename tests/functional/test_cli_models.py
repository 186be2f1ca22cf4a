"""A model's life through the command line, on the real stack: pushed, run, judged, removed."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.datasets import synthetic_dataset
from cli.local_cloud import ROOT
from tests.functional.cli_shell import Shell, opened
from tests.functional.conftest import free_port

pytestmark = pytest.mark.timeout(600)
# Runs follow at once, and rows that mean nothing still pass.
QUICK = ("--set", "triggers.quiet_period=1s", "--set", "triggers.cool_down=0s")
LOW = ("--set", "gates.rmse.max=100", "--set", "gates.r2.min=-10")


class Stack(Shell):
    """A shell with the stack deployed, and what a test needs of the cloud beside commands."""

    def client(self, service: str) -> Any:
        """A boto3 client as `perennial env` configures it."""
        variables = self.json("env")
        connect: Any = boto3.client
        return connect(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def faults(self, **plan: Any) -> None:
        """Put a fault plan in force on the local cloud; without arguments, none."""
        given = json.loads((Path(self.environment["PERENNIAL_STATE"]) / "cloud.json").read_text())
        request = urllib.request.Request(
            given["endpoint"] + "/_local/faults",
            data=json.dumps(plan).encode(),
            headers={"X-Perennial-Token": given["token"], "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["ok"]

    def printed(self, job: str) -> list[str]:
        """The newest lines of a job's log, oldest first."""
        return [line["text"] for line in self.json("logs", job, "-n", "1000")]

    def outputs(self) -> dict[str, str]:
        """The main stack's outputs."""
        stack = self.client("cloudformation").describe_stacks(StackName="perennial")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def wait_for_run(self, model: str, number: int) -> dict[str, Any]:
        """Wait until the run is opened and over; its page."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if any(run["number"] == number for run in self.json("runs", model)):
                self.run("run", "show", model, str(number), "--follow")
                page: dict[str, Any] = self.json("run", "show", model, str(number))
                return page
            time.sleep(0.5)
        raise AssertionError(f"run {number} was not opened: {self.run('why', model).stdout}")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One deployed stack for the module, by `perennial up --deploy`."""
    with opened(Stack(tmp_path_factory.mktemp("models") / "state")) as made:
        made.ok("up", "--deploy", "--port", str(free_port()))
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred and more rows in Abalone's schema."""
    path = tmp_path_factory.mktemp("data") / "first.csv"
    path.write_text(synthetic_dataset("abalone").tables[0].text(0, 1_500))
    return path


def project(folder: Path, name: str) -> str:
    """A copy of models/abalone under another name."""
    shutil.copytree(ROOT / "models" / "abalone", folder / name)
    return str(folder / name)


def test_a_model_lives_and_is_removed(shell: Stack, data: Path, tmp_path: Path) -> None:
    """Pushed, fed, judged, rejected, overruled, champion; then nothing of it is left."""
    folder = project(tmp_path, "shell")
    assert shell.json("push", folder, *QUICK, *LOW)["version"] == 1
    shell.ok("land", "shell", str(data))
    run = shell.wait_for_run("shell", 1)
    assert (run["outcome"], run["version"]["status"]) == ("won", "PendingManualApproval")

    shell.ok("reject", "shell", "1", "--because", "not yet")
    assert shell.json("lineage", "shell", "1")["approval"] == "rejected by ann: not yet"
    shell.ok("approve", "shell", "1", "--because", "now")
    again = shell.run("approve", "shell", "1", "--because", "now")
    assert again.returncode == 5
    assert "approved already" in again.stderr
    champion = wait_for_champion(shell, "shell")
    assert (champion["version"], champion["run"]) == (1, 1)
    overruled = "approved by ann: now (overrules: rejected by ann: not yet)"
    assert overruled in shell.ok("lineage", "shell", "1")
    assert overruled in shell.ok("run", "show", "shell", "1")
    assert shell.json("run", "show", "shell", "1")["version"]["words"] == overruled

    removed = shell.json("remove", "shell", "--data")
    assert removed["stack_deleted"] is True
    assert removed["landed"] == 1
    assert nothing_is_left(shell, "shell") == []
    assert shell.run("status", "shell").returncode == 4


def wait_for_champion(shell: Stack, model: str) -> dict[str, Any]:
    """The champion, once the approval's event has been dealt with."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        champion: dict[str, Any] | None = shell.json("status", model)["champion"]
        if champion:
            return champion
        time.sleep(0.3)
    raise AssertionError(f"no champion of {model} was recorded")


def nothing_is_left(shell: Stack, model: str) -> list[str]:
    """What AWS still holds of a model: stack, package group, schedules, object versions."""
    outputs, left = shell.outputs(), []
    stacks = shell.client("cloudformation").list_stacks()["StackSummaries"]
    left += [
        s["StackName"]
        for s in stacks
        if s["StackName"] == f"perennial-model-{model}" and s["StackStatus"] != "DELETE_COMPLETE"
    ]
    groups = shell.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    left += [g["ModelPackageGroupName"] for g in groups if model in g["ModelPackageGroupName"]]
    schedules = shell.client("scheduler").list_schedules()["Schedules"]
    left += [s["Name"] for s in schedules if f"-{model}-" in s["Name"]]
    for bucket in (outputs["LandingBucket"], outputs["ArtifactBucket"]):
        found = shell.client("s3").list_object_versions(Bucket=bucket)
        entries = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
        left += [entry["Key"] for entry in entries if f"/{model}/" in entry["Key"]]
    return left


def test_a_stopped_run_is_held_and_retried(shell: Stack, data: Path, tmp_path: Path) -> None:
    """`run stop` holds its signals with the reason; `run retry` is a new run that wins."""
    folder = project(tmp_path, "stopped")
    shell.ok("push", folder, *QUICK, *LOW)
    shell.ok("land", "stopped", str(data))
    deadline = time.monotonic() + 60
    while not shell.json("status", "stopped")["now"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    shell.ok("run", "stop", "stopped", "1", "--because", "wrong file")
    run = shell.wait_for_run("stopped", 1)
    assert run["outcome"] == "stopped"
    wait = shell.json("why", "stopped")
    assert {signal["state"] for signal in wait["signals"]} == {"held"}
    assert "stopped by ann: wrong file" in shell.ok("why", "stopped")
    assert "stopped by ann: wrong file" in shell.ok("status")

    shell.ok("run", "retry", "stopped", "1", "--because", "right after all")
    repeated = shell.wait_for_run("stopped", 2)
    assert (repeated["outcome"], repeated["retry_of"]) == ("won", 1)
    assert "retry of run 1, asked by ann: right after all" in repeated["because"]
    assert shell.json("why", "stopped")["signals"] == []


SPOT = (
    *("--set", "train.spot=true", "--set", "train.hyperparameters.rounds=200"),
    *("--set", "train.hyperparameters.early_stopping=200"),
)
SEARCH = {"jobs": 3, "parallel": 2, "ranges": {"rounds": {"min": 10, "max": 20}}}


@pytest.fixture(scope="module")
def trainings(shell: Stack, data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three models whose trainings go wrong, at work beside each other: `spotty` loses its
    machine, `rotten` that and its checkpoint, and no trial of `hopeless` succeeds."""
    folder = tmp_path_factory.mktemp("trainings")
    code = Path(project(folder, "hopeless")) / "model.py"
    begin = "    parameters = dict(hyperparameters)\n"
    assert begin in code.read_text()
    code.write_text(code.read_text().replace(begin, '    raise ValueError("no luck")\n' + begin))
    shell.faults(
        interrupt=[
            {"job": "perennial-spotty-*", "checkpoint": True},
            {"job": "perennial-rotten-*", "checkpoint": True, "capacity_after_seconds": 5},
        ]
    )
    search = ("--set", f"train.tuning={json.dumps(SEARCH)}")
    for name, settings in (("hopeless", search), ("spotty", SPOT), ("rotten", SPOT)):
        place = str(folder / name) if name == "hopeless" else project(folder, name)
        shell.ok("push", place, *QUICK, *LOW, *settings)
        shell.ok("land", name, str(data))
    found = interrupted(shell, "rotten", 0.05)
    bucket, _, prefix = found["CheckpointConfig"]["S3Uri"].removeprefix("s3://").partition("/")
    place = {"Bucket": bucket, "Key": f"{prefix}/checkpoint.txt"}
    assert shell.client("s3").get_object(**place)["Body"].read()
    shell.client("s3").put_object(**place, Body=b"rotten")


def interrupted(shell: Stack, model: str, after: float) -> dict[str, Any]:
    """Wait until the first training of a model's first run has lost its machine."""
    deadline, name = time.monotonic() + 120, f"perennial-{model}-1-train-0"
    sagemaker = shell.client("sagemaker")
    while time.monotonic() < deadline:
        listed = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        if listed:
            found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
            passed = [entry["Status"] for entry in found["SecondaryStatusTransitions"]]
            if "Interrupted" in passed:
                return found
        time.sleep(after)
    raise AssertionError(f"{name} was not interrupted")


def rounds_of(lines: list[str]) -> list[int]:
    """The rounds that a training has reported, in the order of its log."""
    return [int(line.split("=")[1].split(";")[0]) for line in lines if line.startswith("round=")]


@pytest.mark.long
def test_an_interrupted_spot_training_trains_only_what_is_missing(
    shell: Stack, trainings: None
) -> None:
    """The machine goes after a checkpoint; the next one takes it up, and the log shows it all."""
    run = shell.wait_for_run("spotty", 1)
    assert run["outcome"] == "won"
    passed = [e["Status"] for e in interrupted(shell, "spotty", 0)["SecondaryStatusTransitions"]]
    once = ["Starting", "Downloading", "Training"]
    assert passed == [*once, "Interrupted", *once, "Uploading", "Completed"]
    lines = shell.printed("perennial-spotty-1-train-0")
    (taken,) = [place for place, line in enumerate(lines) if line.startswith("checkpoint: ")]
    done = int(lines[taken].split()[1])
    assert f"of 200 rounds are done; training the missing {200 - done}" in lines[taken]
    first, second = rounds_of(lines[:taken]), rounds_of(lines[taken:])
    assert 0 < done < 200
    assert first == list(range(10, first[-1] + 1, 10))
    assert second == list(range(done + 10, 201, 10))


@pytest.mark.long
def test_a_checkpoint_that_was_damaged_meanwhile_is_not_trusted(
    shell: Stack, trainings: None
) -> None:
    """Overwritten in S3 while there is no machine: said in the log, and all rounds are trained."""
    run = shell.wait_for_run("rotten", 1)
    assert run["outcome"] == "won"
    lines = shell.printed("perennial-rotten-1-train-0")
    (said,) = [place for place, line in enumerate(lines) if line.startswith("checkpoint ignored")]
    assert "it is damaged (JSONDecodeError); the training starts afresh" in lines[said]
    assert rounds_of(lines[said:]) == list(range(10, 201, 10))


@pytest.mark.long
def test_a_search_whose_trials_all_fail_says_why(shell: Stack, trainings: None) -> None:
    """The run fails once, is not repeated, and its ending has the trials' own reason and number."""
    run = shell.wait_for_run("hopeless", 1)
    assert (run["outcome"], run["error"], run["ending"]["transient"]) == (
        "failed",
        "TuneFailed",
        False,
    )
    words = run["ending"]["words"]
    assert words.startswith("failed: TuneFailed: 3 of 3 trials failed, the first so: ")
    assert "train() in model.py of hopeless raised ValueError: no luck (model.py line" in words
    assert "3 of 3 trials failed" in shell.run("run", "show", "hopeless", "1").stdout
    assert "ValueError: no luck" in shell.ok("logs", "run", "1", "--model", "hopeless")
    assert {s["state"] for s in shell.json("why", "hopeless")["signals"]} == {"held"}


def test_two_pushes_at_once_give_two_versions_and_no_damage(shell: Stack, tmp_path: Path) -> None:
    """Both succeed, in either order; the settings are one of the two, and the stack is whole."""
    folder = project(tmp_path, "twice")
    results: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(
            target=lambda bound=bound: results.append(
                shell.run("push", folder, "--json", "--set", f"gates.rmse.max={bound}")
            )
        )
        for bound in (3, 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.returncode for r in results] == [0, 0], [r.stderr for r in results]
    assert sorted(json.loads(result.stdout)["version"] for result in results) == [1, 2]
    formation = shell.client("cloudformation")
    stack = formation.describe_stacks(StackName="perennial-model-twice")["Stacks"][0]
    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_pushing_a_b_a_gives_three_versions(shell: Stack, tmp_path: Path) -> None:
    """Going back is a change as well; only repeating the last is none."""
    folder = project(tmp_path, "aba")
    versions = [
        shell.json("push", folder, "--set", f"gates.rmse.max={bound}") for bound in (3, 4, 3, 3)
    ]
    assert [(pushed["version"], pushed["changed"]) for pushed in versions] == [
        (1, True),
        (2, True),
        (3, True),
        (3, False),
    ]


def test_an_excluded_object_waits_for_nobody(shell: Stack, data: Path, tmp_path: Path) -> None:
    """It is no part of later runs until it is included again."""
    folder = project(tmp_path, "apart")
    shell.ok("push", folder, *QUICK, *LOW)
    shell.ok("pause", "apart", "--because", "first look at the data")
    shell.ok("land", "apart", str(data), "--as", "a b+%ä.csv")
    deadline = time.monotonic() + 60
    while not any(s["kind"] == "data" for s in shell.json("why", "apart")["signals"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    shell.ok("data", "exclude", "apart", "a b+%ä.csv", "--because", "twice")
    (fate,) = shell.json("why", "apart", "a b+%ä.csv")
    assert (fate["state"], fate["reason"]) == ("excluded", "excluded by ann: twice")
    shell.ok("data", "include", "apart", "a b+%ä.csv", "--because", "not twice")
    (fate,) = shell.json("why", "apart", "a b+%ä.csv")
    assert fate["state"] == "pending"


def test_logs_show_functions_and_only_the_runs_own_jobs(shell: Stack) -> None:
    """A function by its folder's name, a run by its number, a job by its name."""
    assert "stopped" in shell.ok("logs", "on_signal", "-n", "500")
    streams = {line["stream"] for line in shell.json("logs", "run", "2", "--model", "stopped")}
    assert streams
    assert all(stream.startswith("perennial-stopped-2-") for stream in streams)
    job = shell.ok("logs", "perennial-stopped-2-train-0")
    assert "rmse=" in job
    missing = shell.run("logs", "on_nothing")
    assert missing.returncode == 4
    assert "on_signal" in missing.stderr
