"""What follows a run sees of a training and of a search while they are at work."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
from perennial import watch_run
from perennial.aws.clients import forget_clients
from perennial.aws.history import Visit
from perennial.aws.machine import Execution
from perennial.watch_run import RunView
from perennial.watch_training import watch_training
from rich.console import Console

from cli.live import Progress
from cli.training import TrainingTeller
from tests.functional.sagemaker.conftest import IMAGE
from tests.functional.sagemaker.tuning_jobs import Tuning

EXECUTION = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)
# A figure a second, so that each has a second of its own in CloudWatch.
CURVE = """
    import time
    for number in range(1, 5):
        print(f"auc={number / 10};", flush=True)
        time.sleep(1.1)
"""
# The value of a trial is its place on the range; one in two of them fails.
TRIALS = """
    import json, pathlib
    found = json.loads(pathlib.Path("/opt/ml/input/config/hyperparameters.json").read_text())
    pace = float(json.loads(found["pace"]) if found["pace"].startswith('"') else found["pace"])
    if found["colour"].strip('"') == "red":
        raise SystemExit("red fails")
    print(f"loss={pace};", flush=True)
"""


@pytest.fixture
def on_cloud(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Points this process at the local cloud, as a command does."""
    for name, value in jobs.cloud.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    forget_clients()
    yield
    forget_clients()


def view(state: str, job: str, left_ms: int | None = None) -> RunView:
    """A run that is in this state with this job."""
    return RunView(EXECUTION, (Visit(state, "Task", 0, left_ms, job),), None, ())


def follow(jobs: Any, state: str, job: str, over: Any, *, terminal: bool) -> tuple[str, list[Any]]:
    """Follow a job to its end as the command does; what was printed, and each picture."""
    stream, pictures = io.StringIO(), []
    console = Console(file=stream, width=80, height=30, force_terminal=terminal)
    with Progress(console) as progress:
        teller = TrainingTeller(progress, watch_training, 0)
        deadline = time.monotonic() + 60
        while not over():
            assert time.monotonic() < deadline, stream.getvalue()
            pictures.append(teller.tell(view(state, job)))
            time.sleep(0.1)
        teller.tell(view(state, job, int(time.time() * 1000)))
    return stream.getvalue(), pictures


def plain(printed: str) -> str:
    """What a terminal was sent, without its codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed)


def train(jobs: Any) -> str:
    """Start a training of four rounds whose name says that it is a run's."""
    name: str = jobs.train(
        CURVE,
        TrainingJobName=f"{jobs.name('train')}-train-0",
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": "auc", "Regex": "auc=([0-9.]+);"},
                {"Name": "never", "Regex": "never=([0-9.]+);"},
            ],
        },
    )
    return name


def test_a_training_is_followed_point_by_point(jobs: Any, on_cloud: None) -> None:
    """In a file each second's figure is one line, also the last one; a silent metric has none."""
    name = train(jobs)
    over = lambda: jobs.describe(name)["Status"] != "InProgress"  # noqa: E731
    printed, pictures = follow(jobs, "Train", name, over, terminal=False)
    told = [line.split()[-1] for line in printed.splitlines()]
    found = watch_training(name)
    assert found is not None
    (curve,) = found.curves
    assert len(curve.points) >= 2
    assert told == [f"auc={value:.4f}" for _, value in curve.points]
    assert told[-1] == "auc=0.4000"
    assert not any(pictures)


def test_a_training_is_drawn_while_it_runs(jobs: Any, on_cloud: None) -> None:
    """On a terminal the chart grows before the job is over, and a line of it stays."""
    name = train(jobs)
    over = lambda: jobs.describe(name)["Status"] != "InProgress"  # noqa: E731
    printed, pictures = follow(jobs, "Train", name, over, terminal=True)
    heads = [picture[0] for picture in pictures if picture]
    assert len(set(heads)) >= 2
    assert heads == sorted(heads)
    assert any(len(picture) == 5 and "┤" in picture[1] for picture in pictures)
    assert any("▁" in line and line.endswith("0.4000") for line in plain(printed).splitlines())


def test_a_search_is_followed_by_its_trials(jobs: Any, on_cloud: None) -> None:
    """Done, running and failed trials are counted, and the best so far is named."""
    tuning = Tuning(jobs)
    name = tuning.start(TRIALS, name=f"{jobs.name('hpo')[:20]}-0", Strategy="Random")
    ended = ("Completed", "Failed", "Stopped")
    over = lambda: tuning.describe(name)["HyperParameterTuningJobStatus"] in ended  # noqa: E731
    printed, _ = follow(jobs, "Tune", name, over, terminal=False)
    found = watch_training(name)
    assert found is not None
    assert found.search is not None
    search = found.search
    assert (search.trials, search.objective, search.goal) == (6, "loss", "minimize")
    assert search.done + search.failed == 6
    assert search.running == search.stopped == 0
    values = [value for curve in found.curves for _, value in curve.points]
    assert len(values) == search.done
    assert (search.best.value if search.best else None) == min(values, default=None)
    assert f"{search.done} of 6 trials done · 0 running" in printed
    assert printed.count("loss=") == search.done
    job = watch_run.describe_job(name)
    assert job is not None
    assert (job.kind, job.status) == (
        "tuning",
        tuning.describe(name)["HyperParameterTuningJobStatus"],
    )


def test_what_is_not_there_has_no_curve(jobs: Any, on_cloud: None) -> None:
    """A job that was asked for a moment ago, and a job that trains nothing."""
    assert watch_training("nobody-1-train-0") is None
    assert watch_training("nobody-0123456789abcdef-0") is None
    assert watch_training("nobody-1-evaluate-0") is None
