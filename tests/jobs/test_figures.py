"""Our figures beside scikit-learn's, computed where the jobs run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from perennial.domain.gates import METRICS

from tests.jobs.conftest import ROOT


@pytest.fixture(scope="module")
def found(jobs_python: Path) -> dict[str, Any]:
    """Everything that figures_beside_sklearn.py prints."""
    done = subprocess.run(
        [jobs_python, "-W", "ignore", ROOT / "tests/jobs/figures_beside_sklearn.py"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_figures_equal_scikit_learns(found: dict[str, Any], problem: str) -> None:
    """Twenty random cases of each problem, ties and an unpredicted class among them."""
    for ours, theirs in found[problem]:
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_gates_know_every_figure(found: dict[str, Any], problem: str) -> None:
    """What model.yaml may name is exactly what an evaluation has."""
    ours, _ = found[problem][0]
    assert set(ours) == set(METRICS[problem])


def test_figures_that_are_not_defined_are_none(found: dict[str, Any]) -> None:
    """One class only: no AUC, no precision; the spread of equal labels is none."""
    binary, regression = found["one_class"]
    assert binary["auc"] is None
    assert binary["precision"] is None
    assert binary["recall"] == 0
    assert regression["r2"] is None


def test_the_last_row_of_each_identity_stays(found: dict[str, Any]) -> None:
    """The sorting of whole columns agrees with a plain dictionary."""
    for ours, plain in found["replaced"]:
        assert ours == plain
