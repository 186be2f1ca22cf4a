"""Explanations of trained models: they add up to the prediction, whichever way they are had."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.explanation_projects import write_project

Found = dict[str, Any]
Explain = Callable[..., Found]


@pytest.fixture(scope="module")
def explained(
    jobs_python: Path, adult: str, abalone: str, tmp_path_factory: pytest.TempPathFactory
) -> Explain:
    """Train a project on some rows with the jobs' own code, explain its holdout, tell all."""
    folder = tmp_path_factory.mktemp("explained")
    found: dict[str, Found] = {}

    def explain(name: str, rows: int = 60) -> Found:
        if name not in found:
            genuine = name in ("census", "abalone")
            project = ROOT / "models" / name if genuine else write_project(name, folder)
            lines = (adult if name == "census" else abalone).splitlines()[:2501]
            data = folder / f"{name}.csv"
            data.write_text("\n".join(lines), encoding="utf-8")
            kept = folder / f"kept-{name}"
            kept.mkdir()
            small = ["data.min_rows=100", "gates={}"]
            if genuine:
                small += ["train.hyperparameters.rounds=30"]
            given = [part for pair in small for part in ("--set", pair)]
            _python(jobs_python, "jobs.check_project", project, data, "--keep", kept, *given)
            script = ROOT / "tests/jobs/explanation_checks.py"
            found[name] = json.loads(_python(jobs_python, script, project, kept, rows))
        return found[name]

    return explain


def _python(python: Path, what: object, *arguments: object) -> str:
    named = ["-m", str(what)] if isinstance(what, str) else [str(what)]
    done = subprocess.run(
        [python, "-W", "ignore", *named, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
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


def test_trees_of_classes_sum_to_the_log_odds(explained: Explain) -> None:
    """Census: exact values, row by row, in the log-odds of the probability that is served."""
    found = explained("census")
    told = _told(found)
    scores = np.array(found["scores"][0])
    assert (told["method"], told["units"], told["rows"]) == ("tree", "log-odds", 60)
    assert told["labels"] == {"label0": ">50K"}
    assert told["max_additivity_error"] < 1e-9
    assert np.array(found["sums"][0]) == pytest.approx(np.log(scores / (1 - scores)), abs=1e-9)
    assert "standard_errors" not in told


def test_trees_of_a_regression_sum_to_the_value(explained: Explain) -> None:
    """Abalone: in rings; the shell's weight tells most, as everybody finds."""
    found = explained("abalone")
    assert (_told(found)["method"], _told(found)["units"]) == ("tree", "label")
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)
    values = _values(found)
    assert max(values, key=lambda name: values[name]) == "shell_weight"


def test_each_class_has_values_of_its_own(explained: Explain) -> None:
    """Multiclass: three labels in Clarify's layout, whose softmax gives the probabilities."""
    found = explained("classes")
    assert _told(found)["labels"] == {"label0": "F", "label1": "I", "label2": "M"}
    assert (_told(found)["method"], _told(found)["units"]) == ("tree", "log-odds")
    shares = np.exp(np.array(found["sums"]))
    assert shares / shares.sum(axis=0) == pytest.approx(np.array(found["scores"]), abs=1e-9)
    assert _values(found, "label1") != _values(found, "label2")
    assert found["columns"][:2] == ["length_label0", "diameter_label0"]


@pytest.mark.parametrize("name", ["census", "abalone", "classes", "line", "own"])
def test_the_files_are_clarifys_and_the_same_each_time(explained: Explain, name: str) -> None:
    """Global values are the means of the local ones; a second run writes the same bytes."""
    found = explained(name)
    document = found["document"]
    assert list(document) == ["version", "explanations", "perennial"]
    section = document["explanations"]["kernel_shap"]["label0"]
    assert set(section) == {"global_shap_values", "expected_value"}
    assert found["off_the_mean"] < 1e-12
    assert found["same_bytes"]


def test_a_model_without_trees_is_sampled(explained: Explain) -> None:
    """Values sum to the prediction all the same; a column that is not used gets exactly 0."""
    found = explained("line")
    told, values = _told(found), _values(found)
    assert (told["method"], told["units"]) == ("sampled", "label")
    assert (told["background_rows"], told["pairs"]) == (32, 32)
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)
    assert values["diameter"] == values["sex"] == 0
    assert set(told["standard_errors"]["label0"]) == set(values)


def test_a_linear_model_is_exact_and_sampling_agrees(explained: Explain) -> None:
    """The same model with its coefficients given: the same values, without sampling."""
    exact, sampled = explained("coefficients"), explained("line")
    assert (_told(exact)["method"], _told(exact)["units"]) == ("linear", "label")
    assert _values(exact) == pytest.approx(_values(sampled), abs=1e-9)


def test_broken_coefficients_are_told_and_values_sampled(explained: Explain) -> None:
    """The reason stands in the analysis; nothing is explained by half a model."""
    found = explained("broken")
    assert _told(found)["method"] == "sampled"
    (note,) = _told(found)["notes"]
    assert note.startswith("linear values cannot be had: coefficients() answers no linear model")


def test_scores_that_the_trees_alone_do_not_give_are_sampled(explained: Explain) -> None:
    """TreeSHAP would explain another score than the one that is served; the notes say so."""
    found = explained("cut")
    assert _told(found)["method"] == "sampled"
    (note,) = _told(found)["notes"]
    assert "the tree values of the model are off what predict() gives" in note
    assert found["sums"][0] == pytest.approx(found["scores"][0], abs=1e-9)


def test_a_projects_own_values_come_first(explained: Explain) -> None:
    """They need not be of prepared columns, but they must add up."""
    found = explained("own")
    assert _told(found)["method"] == "own"
    assert set(_values(found)) == {"length", "height", "shell_weight", "is_infant"}


def test_own_values_that_do_not_add_up_fail_by_name(explained: Explain) -> None:
    """The model, the row, both figures, and what to do."""
    words = explained("wrong")["error"]
    assert words.startswith("ModelError: the explanations of wrong do not add up: at row ")
    assert "where predict() gives" in words
    assert "Correct explain() in model.py" in words


def test_own_values_of_another_shape_fail_by_name(explained: Explain) -> None:
    """Without an expected value nothing can add up."""
    words = explained("bare")["error"]
    assert words.startswith("ModelError: explain() in model.py of bare returned ")
    assert "expected_value" in words


def test_scores_that_depend_on_other_rows_fail_by_name(explained: Explain) -> None:
    """They cannot be explained row by row, nor be served so."""
    words = explained("ranked")["error"]
    assert words.startswith("ModelError: the scores of ranked cannot be explained: predict() in")
    assert "beside 59 others" in words
