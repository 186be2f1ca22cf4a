"""Explanations of trained models: they add up to the prediction, whichever way they are had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.explanation_projects import write_project

Found = dict[str, Any]


class Bench:
    """Trains projects with the jobs' own code, each once, and explains their holdout."""

    def __init__(self, python: Path, folder: Path, data: dict[str, str]) -> None:
        self.python = python
        self.folder = folder
        self.data = data
        self.found: dict[str, Found] = {}

    def kept(self, name: str) -> Path:
        """The folders that the jobs of a project wrote."""
        return self.folder / f"kept-{name}"

    def __call__(self, name: str) -> Found:
        """What explanation_checks.py tells of 60 rows of a project's holdout."""
        if name not in self.found:
            genuine = name in self.data
            project = ROOT / "models" / name if genuine else write_project(name, self.folder)
            lines = self.data[name if genuine else "abalone"].splitlines()[:2501]
            file = self.folder / f"{name}.csv"
            file.write_text("\n".join(lines), encoding="utf-8")
            self.kept(name).mkdir()
            small = ["data.min_rows=100", "gates={}"]
            small += ["train.hyperparameters.rounds=30"] if genuine else []
            given = [part for pair in small for part in ("--set", pair)]
            command = ("jobs.check_project", project, file, "--keep", self.kept(name))
            _python(self.python, *command, *given)
            script = ROOT / "tests/jobs/explanation_checks.py"
            told = _python(self.python, script, project, self.kept(name), 60)
            self.found[name] = json.loads(told)
        return self.found[name]


@pytest.fixture(scope="module")
def explained(
    jobs_python: Path, adult: str, abalone: str, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    """Explanations of any of the projects."""
    folder = tmp_path_factory.mktemp("explained")
    return Bench(jobs_python, folder, {"census": adult, "abalone": abalone})


def _python(python: Path, what: object, *arguments: object, **environment: str) -> str:
    named = ["-m", str(what)] if isinstance(what, str) else [str(what)]
    done = subprocess.run(
        [python, "-W", "ignore", *named, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _told(found: Found) -> dict[str, Any]:
    assert "document" in found, found
    told: dict[str, Any] = found["document"]["perennial"]
    return told


def _values(found: Found, label: str = "label0") -> dict[str, float]:
    values: dict[str, float] = found["document"]["explanations"]["kernel_shap"][label][
        "global_shap_values"
    ]
    return values


def test_trees_of_classes_sum_to_the_log_odds(explained: Bench) -> None:
    """Census: exact values, row by row, in the log-odds of the probability that is served."""
    found = explained("census")
    told = _told(found)
    scores = np.array(found["scores"][0])
    assert (told["method"], told["units"], told["rows"]) == ("tree", "log-odds", 60)
    assert told["labels"] == {"label0": ">50K"}
    assert told["max_additivity_error"] < 1e-9
    assert np.array(found["sums"][0]) == pytest.approx(np.log(scores / (1 - scores)), abs=1e-9)
    assert "standard_errors" not in told


def test_trees_of_a_regression_sum_to_the_value(explained: Bench) -> None:
    """Abalone: in rings; the shell's weight tells most, as everybody finds."""
    found = explained("abalone")
    assert (_told(found)["method"], _told(found)["units"]) == ("tree", "label")
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)
    values = _values(found)
    assert max(values, key=lambda name: values[name]) == "shell_weight"


def test_each_class_has_values_of_its_own(explained: Bench) -> None:
    """Multiclass: three labels in Clarify's layout, whose softmax gives the probabilities."""
    found = explained("classes")
    assert _told(found)["labels"] == {"label0": "F", "label1": "I", "label2": "M"}
    assert (_told(found)["method"], _told(found)["units"]) == ("tree", "log-odds")
    shares = np.exp(np.array(found["sums"]))
    assert shares / shares.sum(axis=0) == pytest.approx(np.array(found["scores"]), abs=1e-9)
    assert _values(found, "label1") != _values(found, "label2")
    assert found["columns"][:2] == ["length_label0", "diameter_label0"]


@pytest.mark.parametrize("name", ["census", "abalone", "classes", "line", "own"])
def test_the_files_are_clarifys_and_the_same_each_time(explained: Bench, name: str) -> None:
    """Global values are the means of the local ones; a second run writes the same bytes."""
    found = explained(name)
    document = found["document"]
    assert list(document) == ["version", "explanations", "perennial"]
    section = document["explanations"]["kernel_shap"]["label0"]
    assert set(section) == {"global_shap_values", "expected_value"}
    assert found["off_the_mean"] < 1e-12
    assert found["same_bytes"]


def test_a_model_without_trees_is_sampled(explained: Bench) -> None:
    """Values sum to the prediction all the same; a column that is not used gets exactly 0."""
    found = explained("line")
    told, values = _told(found), _values(found)
    assert (told["method"], told["units"]) == ("sampled", "label")
    assert (told["background_rows"], told["pairs"]) == (32, 32)
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)
    assert values["diameter"] == values["sex"] == 0
    assert set(told["standard_errors"]["label0"]) == set(values)


def test_a_linear_model_is_exact_and_sampling_agrees(explained: Bench) -> None:
    """The same model with its coefficients given: the same values, without sampling."""
    exact, sampled = explained("coefficients"), explained("line")
    assert (_told(exact)["method"], _told(exact)["units"]) == ("linear", "label")
    assert _values(exact) == pytest.approx(_values(sampled), abs=1e-9)


def test_broken_coefficients_are_told_and_values_sampled(explained: Bench) -> None:
    """The reason stands in the analysis; nothing is explained by half a model."""
    found = explained("broken")
    assert _told(found)["method"] == "sampled"
    (note,) = _told(found)["notes"]
    assert note.startswith("linear values cannot be had: coefficients() answers no linear model")


def test_scores_that_the_trees_alone_do_not_give_are_sampled(explained: Bench) -> None:
    """TreeSHAP would explain another score than the one that is served; the notes say so."""
    found = explained("cut")
    assert _told(found)["method"] == "sampled"
    (note,) = _told(found)["notes"]
    assert "the tree values of the model are off what predict() gives" in note
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)


def test_a_projects_own_values_come_first(explained: Bench) -> None:
    """They need not be of prepared columns, but they must add up."""
    found = explained("own")
    assert _told(found)["method"] == "own"
    assert set(_values(found)) == {"length", "height", "shell_weight", "is_infant"}


def test_own_values_that_do_not_add_up_fail_by_name(explained: Bench) -> None:
    """The model, the row, both figures, and what to do."""
    words = explained("wrong")["error"]
    assert words.startswith("ModelError: the explanations of wrong do not add up: at row ")
    assert "where predict() gives" in words
    assert "Correct explain() in model.py" in words


def test_own_values_of_another_shape_fail_by_name(explained: Bench) -> None:
    """Without an expected value nothing can add up."""
    words = explained("bare")["error"]
    assert words.startswith("ModelError: explain() in model.py of bare returned ")
    assert "expected_value" in words


def test_scores_that_depend_on_other_rows_fail_by_name(explained: Bench) -> None:
    """They cannot be explained row by row, nor be served so."""
    words = explained("ranked")["error"]
    assert words.startswith("ModelError: the scores of ranked cannot be explained: predict() in")
    assert "beside 59 others" in words


def test_the_step_explains_what_a_training_job_made(
    jobs_python: Path, explained: Bench, tmp_path: Path
) -> None:
    """As the supervisor starts it: archive, holdout and settings in, three files and words out."""
    explained("abalone")
    kept = explained.kept("abalone")
    inputs = tmp_path / "processing" / "input"
    for name in ("model", "settings"):
        (inputs / name).mkdir(parents=True)
    shutil.copytree(kept / "holdout", inputs / "holdout")
    shutil.copy(kept / "model" / "settings.json", inputs / "settings")
    with tarfile.open(inputs / "model" / "model.tar.gz", "w:gz") as archive:
        for path in sorted((kept / "model").iterdir()):
            archive.add(path, path.name)
    (tmp_path / "project").symlink_to(ROOT / "models" / "abalone")
    _python(
        jobs_python, "jobs.run_step", "explain",
        SAGEMAKER_BASE_DIR=str(tmp_path), PERENNIAL_WORKSPACE=str(tmp_path),
        PERENNIAL_CODE_ROOT=str(tmp_path),
    )  # fmt: skip
    words = (tmp_path / "message").read_text(encoding="utf-8")
    assert "holdout rows explained (tree, label): shell_weight " in words
    made = {path.name for path in (tmp_path / "processing/output/explanations").iterdir()}
    assert made == {"analysis.json", "out.csv", "rows.csv"}
