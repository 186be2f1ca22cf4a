"""A small model with a champion, pushed again and again with code that misbehaves.

Its policy approves whatever passes, new code too, so that bad code that came through would serve.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.functional.stack.bad_input.shell import Champion, Shell

MODEL = "brittle"
SETTINGS = """
problem: regression
label: y
data:
  min_rows: 50
  columns: {x: float, c: {type: category, open: true}, y: float}
gates: {rmse: {max: 2}, champion: "off"}
explain: "off"
release: {approval: policy, approve_code_changes: true}
triggers: {quiet_period: 0s, cool_down: 0s, max_runs_per_day: 1000}
"""
GOOD = """
def prepare(frame):
    return frame[["x"]] * 2.0

def train(train, validation, hyperparameters):
    return {"factor": float((train["y"] * train["x"]).sum() / (train["x"] ** 2).sum())}

def predict(model, frame):
    return frame["x"] * model["factor"]
"""
DATA = "x,c,y\n" + "".join(f"{i},{'ab'[i % 2]},{3 * i}\n" for i in range(1, 201))
NOISE = 'for i in range(300_000): print("noise", i)\n    print("x" * 5_000_000)\n    '


@dataclass(frozen=True)
class Code:
    """Code that fails: what `old` becomes, the state that notices it, and what is to be said."""

    name: str
    old: str
    new: str
    state: str
    says: tuple[str, ...]
    requirements: str = ""
    hangs: bool = False


FAILING = (
    Code(
        "raises",
        'frame[["x"]]',
        'frame[["z"]]',
        "CheckData",
        ("prepare() in model.py of brittle", "KeyError", "line 3"),
    ),
    Code(
        "exits",
        "return frame",
        "import os; os._exit(0); return frame",
        "CheckData",
        ("prepare() in model.py of brittle", "ended the process itself (exit code 0)"),
    ),
    Code(
        "lacks a package",
        "\ndef prepare",
        "\nimport surely_not_there\ndef prepare",
        "CheckData",
        ("needs the package 'surely_not_there'", "requirements.txt"),
    ),
    Code(
        "asks for no package",
        "* 2.0",
        "* 3.0",
        "CheckData",
        ("cannot install no-such-package-of-perennial",),
        requirements="no-such-package-of-perennial==1.0\n",
    ),
    Code(
        "hangs",
        "return frame",
        "\n    while True: pass\n    return frame",
        "CheckData",
        (
            "prepare() in model.py of brittle did not end within its time limit",
            "it was at model.py line",
            "raise jobs.check_data.max_seconds in model.yaml",
        ),
        hangs=True,
    ),
)


@dataclass
class ByHand:
    """An execution that a person started or redrove, and the ledger around it."""

    execution: dict[str, Any]
    states: list[str]
    before: dict[str, Any]
    after: dict[str, Any]
    packages: tuple[int, int]


@dataclass
class CodeStory:
    """What was seen on the way, for the tests to judge."""

    first: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    waits: dict[str, Any] = field(default_factory=dict)
    noisy: dict[str, Any] = field(default_factory=dict)
    noise: list[str] = field(default_factory=list)
    stopped: dict[str, Any] = field(default_factory=dict)
    champions: dict[str, Champion] = field(default_factory=dict)


def tell_code_story(shell: Shell, folder: Path) -> CodeStory:
    """A champion; bad code, a run each; noisy code; a run that is stopped while it trains."""
    story, project = CodeStory(), Project(shell, folder / MODEL)
    project.push(GOOD)
    shell.put(f"incoming/{MODEL}/rows.csv", DATA.encode())
    story.first = shell.ended(MODEL, 1)
    story.champions["first"] = shell.first_champion(MODEL)
    (spent,) = [
        (visit["left_ms"] - visit["entered_ms"]) / 1000
        for visit in story.first["path"]
        if visit["state"] == "CheckData"
    ]
    for number, case in enumerate(FAILING, start=2):
        assert case.old in GOOD
        # Twice what the same job has taken: its imports alone are slow on a busy machine.
        limit = f"jobs.check_data.max_seconds={math.ceil(6 + 2 * spent)}"
        project.push(
            GOOD.replace(case.old, case.new),
            *(("--set", limit) if case.hangs else ()),
            requirements=case.requirements,
        )
        story.failed[case.name] = shell.ended(MODEL, number)
        story.shown[case.name] = shell.ok("run", "show", MODEL, str(number))
        story.champions[case.name] = shell.champion(MODEL)
    story.waits = shell.json("why", MODEL)
    _print_megabytes(shell, project, len(FAILING) + 2, story)
    _stop_in_training(shell, project, len(FAILING) + 3, story)
    return story


@dataclass
class Project:
    """The small project's folder, written anew for each push."""

    shell: Shell
    folder: Path

    def push(self, source: str, *options: str, requirements: str = "") -> None:
        """Write and push it."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "model.py").write_text(source)
        (self.folder / "model.yaml").write_text(SETTINGS)
        (self.folder / "requirements.txt").write_text(requirements)
        self.shell.ok("push", str(self.folder), *options)


def _print_megabytes(shell: Shell, project: Project, number: int, story: CodeStory) -> None:
    """Noise is no failure: the run is judged as ever, here left to a person."""
    project.push(GOOD.replace("return {", NOISE + "return {"), "--set", "release.approval=person")
    story.noisy = shell.ended(MODEL, number)
    job = f"perennial-{MODEL}-{number}-train-0"
    lines = shell.json("logs", job, "-n", "1000000")
    story.noise = [line["text"] for line in lines]
    story.champions["prints megabytes"] = shell.champion(MODEL)


def _stop_in_training(shell: Shell, project: Project, number: int, story: CodeStory) -> None:
    """A run that a person stops when its check is done, while it trains for long."""
    project.push(GOOD.replace("return {", "import time; time.sleep(600)\n    return {"))
    jobs = shell.cloud.client("sagemaker")
    name = f"perennial-{MODEL}-{number}-train"

    def trains() -> bool:
        listed = jobs.list_training_jobs(NameContains=name, StatusEquals="InProgress")
        return bool(listed["TrainingJobSummaries"])

    shell.until(f"the training of run {number}", trains)
    assert shell.json("status", MODEL)["now"]["state"] == "Train"
    shell.ok("run", "stop", MODEL, str(number), "--because", "to see what a redrive does")
    story.stopped = shell.ended(MODEL, number)


def meddle(shell: Shell, story: CodeStory) -> dict[str, ByHand]:
    """Executions that a person starts and redrives; nothing else may be at work meanwhile."""
    states = shell.cloud.client("stepfunctions")
    machine = shell.outputs["RetrainMachineArn"]
    first, failed = story.first["execution"], story.failed["raises"]["execution"]
    text = states.describe_execution(executionArn=first)["input"]
    begin: dict[str, Callable[[], str]] = {
        "a run's input again": lambda: states.start_execution(
            stateMachineArn=machine, name="by-hand", input=text
        )["executionArn"],
        "a run that never was": lambda: states.start_execution(
            stateMachineArn=machine,
            name="by-guess",
            input=json.dumps({**json.loads(text), "run": 4711}),
        )["executionArn"],
        "no input": lambda: states.start_execution(stateMachineArn=machine, name="by-chance")[
            "executionArn"
        ],
        "a failed run redriven": lambda: _redrive(states, failed),
        "a stopped run redriven": lambda: _redrive(states, story.stopped["execution"]),
    }
    return {name: _by_hand(shell, start) for name, start in begin.items()}


def _redrive(states: Any, execution: str) -> str:
    states.redrive_execution(executionArn=execution)
    return execution


def _by_hand(shell: Shell, start: Callable[[], str]) -> ByHand:
    """Begin an execution, wait for its end, and let everything that follows come to rest."""
    states = shell.cloud.client("stepfunctions")
    before, packages = shell.ledger(MODEL), _packages(shell)
    execution = start()
    found = shell.until(
        f"the end of {execution}",
        lambda: next(
            (
                described
                for described in [states.describe_execution(executionArn=execution)]
                if described["status"] != "RUNNING"
            ),
            None,
        ),
    )
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for page in pages
        for event in page["events"]
        if "stateEnteredEventDetails" in event
    ]
    shell.settle()
    return ByHand(found, entered, before, shell.ledger(MODEL), (packages, _packages(shell)))


def _packages(shell: Shell) -> int:
    listed = shell.cloud.client("sagemaker").list_model_packages(
        ModelPackageGroupName=f"perennial-{MODEL}"
    )
    return len(listed["ModelPackageSummaryList"])
