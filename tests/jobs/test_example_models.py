"""The example models on made data: they find the rules that the data were made by."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.datasets import synthetic_dataset
from cli.invented import A_YEAR, AT_COAST, BASE, SPREAD
from tests.jobs.built_in_bench import Bench
from tests.jobs.conftest import ROOT, Workbench, example, project_settings
from tests.jobs.test_check_project import check

# Explains what `check --keep` left: the analysis, as one line.
EXPLAIN = """
import json, sys
from pathlib import Path
from jobs.check_project import read_project_settings
from jobs.contract import Project
from jobs.explain import explain
folder, kept, name = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[1]).name
settings = read_project_settings(folder, name)
project = Project(folder, name, settings.problem, settings.label)
output = kept / "explanations"
output.mkdir()
rows = kept / "holdout" / "rows.parquet"
print(json.dumps(explain(settings, project, kept / "model", rows, output)))
"""

# A review model that saw no single star, then only two kinds: what it gives for any review.
FEW_CLASSES = """
import json, sys
import numpy as np, pandas as pd
sys.path.insert(0, sys.argv[1])
import model
found = []
for kinds in ((1, 2, 3, 4), (0, 4)):
    words = ["bad", "poor", "so so", "fine", "great"]
    rows = pd.DataFrame({"review": [words[k] for k in kinds] * 9, "stars": list(kinds) * 9})
    made = model.train(rows, rows[:0], {"min_rows": 1}, weights=pd.Series(np.ones(len(rows))))
    shares = model.predict(made, rows[: len(kinds)])
    values = model.explain(made, rows[: len(kinds)])
    wide = values.to_numpy().reshape(len(kinds), model.STARS, -1).sum(axis=2)
    odds = np.log(shares) - np.log(shares[:, :1])
    found.append({
        "kinds": kinds, "best": shares.argmax(axis=1).tolist(), "shares": shares.tolist(),
        "off": float(np.abs(odds - (wide - wide[:, :1])).max()),
    })
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Checked:
    """A model project after `perennial check --keep`."""

    code: int
    result: dict[str, Any]
    errors: str
    folder: Path
    kept: Path


def run(python: Path, script: str, *arguments: Path) -> Any:
    """Run a script in the jobs' environment and read its one line."""
    found = subprocess.run(
        [python, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def checked(
    request: pytest.FixtureRequest, jobs_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Checked:
    """The project that the test names, checked on the rows that `fetch-data` makes for it."""
    folder = example(request.param)
    place = tmp_path_factory.mktemp(request.param)
    (table,) = synthetic_dataset(request.param).tables
    data = place / table.name
    data.write_text(table.text())
    code, lines, errors = check(jobs_python, folder, data, "--keep", place / "kept")
    return Checked(code, lines[-1], errors, folder, place / "kept")


@pytest.mark.parametrize("checked", ["salary"], indirect=True)
def test_least_squares_find_the_rule_of_the_salaries(checked: Checked) -> None:
    """The coefficients are the generator's within their standard errors; no error is smaller."""
    assert checked.code == 0, checked.errors
    assert checked.result["passed"]
    assert checked.result["metrics"]["rmse"] == pytest.approx(SPREAD, rel=0.1)
    model = json.loads((checked.kept / "model" / "model.json").read_text())
    # 400 / sqrt(2,150 rows) over each column's standard deviation: 1.0 a year, 18 for the coast.
    assert model["intercept"] == pytest.approx(BASE, abs=60)
    assert model["management_years"] == pytest.approx(A_YEAR, abs=4)
    assert model["at_coast"] == pytest.approx(AT_COAST, abs=70)


@pytest.mark.parametrize("checked", ["salary"], indirect=True)
def test_a_project_with_coefficients_is_explained_exactly(
    checked: Checked, jobs_python: Path
) -> None:
    """By its coefficients, not by samples; years of experience weigh most."""
    found = run(jobs_python, EXPLAIN, checked.folder, checked.kept)
    assert found["perennial"]["method"] == "linear"
    assert found["perennial"]["max_additivity_error"] < 1e-6
    values = found["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert values["management_years"] > values["at_coast"] > 0


def test_least_squares_with_much_ridge_lose(jobs_python: Path, tmp_path: Path) -> None:
    """A hyperparameter that makes a candidate lose."""
    (table,) = synthetic_dataset("salary").tables
    data = tmp_path / table.name
    data.write_text(table.text())
    given = ("--set", "train.hyperparameters.ridge=50")
    code, lines, errors = check(jobs_python, example("salary"), data, *given)
    assert code == 1, errors
    assert not lines[-1]["passed"]


@pytest.fixture(scope="module")
def salary(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The example model, which AWS's linear learner trains."""
    place, folder = tmp_path_factory.mktemp("salary"), ROOT / "models" / "salary"
    work = Workbench(jobs_python, s3, place / "jobs", folder)
    return Bench(work, project_settings(folder), place)


def test_salary_finds_the_rule_of_its_data(salary: Bench) -> None:
    """The linear learner's weights are the generator's; both sites together have one intercept."""
    (table,) = synthetic_dataset("salary").tables
    checked = salary.check(table.text())
    assert checked.code == 0, checked.log
    trained = salary.train(checked)
    assert trained.code == 0, trained.log
    evaluated = salary.work.evaluate(salary.settings, checked, trained)
    assert evaluated.code == 0, evaluated.log
    metrics = evaluated.json("evaluation/evaluation.json")["perennial"]["metrics"]
    assert metrics["rmse"] == pytest.approx(SPREAD, rel=0.1)
    found = salary.explain(checked, trained).json("explanations/analysis.json")
    assert found["perennial"]["method"] == "linear"
    assert found["perennial"]["max_additivity_error"] < 1e-4 * BASE
    values = found["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert values["management_years"] > values["site"] > 0
    # Half of the managers are at the coast: the mean distance from the mean is half of the rise.
    assert values["site"] == pytest.approx(AT_COAST / 2, rel=0.25)


@pytest.mark.parametrize("checked", ["stars"], indirect=True)
def test_stars_reads_reviews(checked: Checked) -> None:
    """Five classes from words, well above the share of the largest; every product alike."""
    assert checked.code == 0, checked.errors
    metrics = checked.result["metrics"]
    assert 0.8 < metrics["accuracy"] < 0.95
    assert all(metrics[f"accuracy:product={name}"] > 0.8 for name in ("book", "kettle", "lamp"))
    assert checked.result["leaks"] == []


@pytest.mark.parametrize("checked", ["stars"], indirect=True)
def test_stars_is_saved_without_pickle(checked: Checked) -> None:
    """Words are JSON, and the archive of numbers holds no object."""
    names = {path.name for path in (checked.kept / "model").iterdir()}
    assert {"words.json", "numbers.npz"} <= names
    assert not any(name.endswith((".pkl", ".joblib", ".pickle")) for name in names)
    words = json.loads((checked.kept / "model" / "words.json").read_text())
    assert {"excellent", "not good"} <= set(words)


@pytest.mark.parametrize("checked", ["stars"], indirect=True)
def test_stars_explains_itself_exactly(checked: Checked, jobs_python: Path) -> None:
    """The telling words by name and the others as a sum: they add up to the log-odds."""
    found = run(jobs_python, EXPLAIN, checked.folder, checked.kept)
    assert (found["perennial"]["method"], found["perennial"]["units"]) == ("own", "log-odds")
    assert found["perennial"]["max_additivity_error"] < 1e-6
    labels = found["explanations"]["kernel_shap"]
    assert found["perennial"]["labels"] == {f"label{code}": str(code + 1) for code in range(5)}
    for section in labels.values():
        values = section["global_shap_values"]
        assert len(values) == 41
        assert "other words" in values
    assert "disgrace" in labels["label0"]["global_shap_values"]


def test_stars_knows_five_stars_whatever_it_saw(jobs_python: Path) -> None:
    """A number of stars that no training row has gets a probability near 0, and all add up."""
    for found in run(jobs_python, FEW_CLASSES, ROOT / "models" / "stars"):
        assert found["best"] == found["kinds"]
        assert found["off"] < 1e-6
        for shares in found["shares"]:
            assert len(shares) == 5
            assert sum(shares) == pytest.approx(1)
            unseen = [share for code, share in enumerate(shares) if code not in found["kinds"]]
            assert max(unseen) < 1e-6
