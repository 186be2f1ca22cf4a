"""What AWS does instead of our jobs, end to end: Clarify's bias, searches from earlier searches."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.aws import objects
from perennial.describe_model import describe_model
from perennial.describe_run import describe_run
from perennial.domain.findings import read_bias
from perennial.pack_project import pack_project
from perennial.push_project import Code, push_project
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from cli.model_file import read_settings
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MODEL = "abalone"
RANGE = {"type": "float", "min": 0.02, "max": 0.2, "scale": "log"}
SETTINGS: dict[str, Any] = {
    "triggers.quiet_period": "0s",
    "triggers.cool_down": "0s",
    "release.approval": "person",
    # The median of all rows and that of the holdout, of which Clarify knows, may differ.
    "bias.threshold": 9.5,
    "providers.bias": "sagemaker",
    "gates": {"DPPL:sex=M": {"min": -1, "max": 1}, "champion": "off"},
    "train.hyperparameters": {"num_leaves": 15, "learning_rate": 0.1, "rounds": 40},
    "train.tuning": {
        "objective": "rmse",
        "jobs": 3,
        "parallel": 1,
        "warm_start": True,
        "ranges": {"learning_rate": RANGE},
    },
}


@dataclass(frozen=True)
class Facts:
    """What came of one run."""

    verdict: dict[str, Any]
    analysis: dict[str, Any]
    jobs: dict[str, dict[str, Any]]

    @property
    def notes(self) -> str:
        """What the verdict tells its reader."""
        return " | ".join(self.verdict["notes"])


def until(what: str, look: Callable[[], Any], seconds: float = 240) -> Any:
    """Ask again and again until the answer is true; the answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def push(ports: Ports, folder: Path, **changed: Any) -> None:
    """Write these settings into the project and push it; a push that changes it opens a run."""
    document = yaml.safe_load((REPOSITORY / "models" / MODEL / "model.yaml").read_text("utf-8"))
    for path, value in {**SETTINGS, **changed}.items():
        *parents, last = path.split(".")
        place = document
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    (folder / "model.yaml").write_text(yaml.safe_dump(document), "utf-8")
    packed = pack_project(folder)
    code = Code(packed.body, packed.sha256)
    push_project(ports, read_settings(folder), code, pushed_by="a test", tell=lambda _: None)


def ended(ports: Ports, number: int) -> Facts:
    """What came of a run, once it is over."""

    def is_over() -> bool:
        row = describe_model(ports, MODEL)
        return row.open_run is None and row.last_run >= number

    until(f"the end of run {number}", is_over)
    run = describe_run(ports, MODEL, number)
    assert run.verdict is not None, (run.outcome, run.error, run.cause)
    verdict = objects.get_json(run.verdict.uri)
    analysis = objects.get_json(verdict["evidence"]["bias"]["uri"])
    jobs = {job["step"]: job for job in verdict["cost"]["jobs"]}
    return Facts(verdict, analysis, jobs)


@pytest.fixture(scope="module")
def runs(checkout: Checkout, ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> list[Facts]:
    """Three runs: a first search with Clarify, our own bias job, a search with a wider range."""
    folder = tmp_path_factory.mktemp("projects") / MODEL
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "models" / MODEL, folder, ignore=hidden)
    push(ports, folder)
    (table, *_) = fetch_dataset(MODEL).tables
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=table.text().encode(),
    )
    found = [ended(ports, 1)]
    push(ports, folder, **{"providers.bias": "perennial"})
    found.append(ended(ports, 2))
    wider = {**SETTINGS["train.tuning"], "ranges": {"learning_rate": {**RANGE, "max": 0.3}}}
    push(ports, folder, **{"train.tuning": wider})
    found.append(ended(ports, 3))
    return found


def test_both_providers_measure_the_same(runs: list[Facts]) -> None:
    """One model, one holdout: every figure of Clarify's job is that of ours, without intervals."""
    theirs, ours = (read_bias(each.analysis) for each in runs[:2])
    assert "perennial" not in runs[0].analysis
    after = [name for name in theirs.metrics if name.startswith(("DPPL", "DI:", "AD", "RD", "GE"))]
    assert len(after) == 5 * 3
    for name in after:
        assert theirs.metrics[name] == pytest.approx(ours.metrics[name], rel=1e-9, abs=1e-12), name
    assert theirs.intervals == {}
    assert ours.intervals


def test_the_verdict_says_who_measured(runs: list[Facts]) -> None:
    """A reader of the gate and of the notes learns that there is no interval."""
    (gate,) = {each["words"] for each in runs[0].verdict["gates"] if "DPPL" in each["name"]} - {
        each["words"] for each in runs[0].verdict["gates"] if each["name"].endswith(".max")
    }
    assert gate.endswith("(measured by Amazon SageMaker Clarify, without an interval)")
    assert "without intervals" in runs[0].notes
    assert "Clarify" not in runs[1].notes


def test_another_provider_repeats_the_evaluation_but_trains_nothing(runs: list[Facts]) -> None:
    """What Clarify reads is written by the evaluation; data and model stay as they are."""
    reused = {step for step, job in runs[1].jobs.items() if job["reused"]}
    assert {"check_data", "train"} <= reused
    assert not {"evaluate", "measure_bias"} & reused


def test_clarifys_job_ran_on_its_own_image(runs: list[Facts], checkout: Checkout) -> None:
    """With no entry point of ours, under the name of the step."""
    job = checkout.cloud.client("sagemaker").describe_processing_job(
        ProcessingJobName=runs[0].jobs["measure_bias"]["job"]
    )
    assert "sagemaker-clarify-processing" in job["AppSpecification"]["ImageUri"]
    assert "ContainerEntrypoint" not in job["AppSpecification"]
    assert job["ProcessingJobStatus"] == "Completed"


def test_a_search_continues_from_the_one_before(runs: list[Facts], checkout: Checkout) -> None:
    """The first starts cold and says so; with another range, the next begins with its best."""
    assert "the search starts cold: no earlier search of the model has finished" in runs[0].notes
    assert "the search" not in runs[1].notes
    parent, child = runs[0].jobs["train"]["job"], runs[2].jobs["train"]["job"]
    assert f"the search continues from {parent} of run 1" in runs[2].notes
    sagemaker = checkout.cloud.client("sagemaker")
    described = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=child)
    assert described["WarmStartConfig"] == {
        "WarmStartType": "TransferLearning",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}],
    }
    best = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=parent)
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=child, SortBy="CreationTime", SortOrder="Ascending"
    )["TrainingJobSummaries"]
    first = trials[0]["TunedHyperParameters"]
    assert first == best["BestTrainingJob"]["TunedHyperParameters"]
