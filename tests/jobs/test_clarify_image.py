"""Provider `sagemaker`: Clarify's dataset, and the local stand-in of its container."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from perennial.domain.findings import read_bias

from tests.jobs.conftest import ROOT

PROGRAM = ROOT / "local/images/clarify_image.py"


@pytest.fixture(scope="module")
def found(jobs_python: Path) -> dict[str, Any]:
    """Everything that clarify_cases.py prints."""
    done = subprocess.run(
        [jobs_python, "-W", "ignore", "-m", "tests.jobs.clarify_cases", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize(
    "name",
    ["binary", "multiclass", "regression", "few", "two_classes", "threshold", "no_group",
     "one_value", "accepted"],
)  # fmt: skip
def test_figures_equal_the_other_providers(found: dict[str, Any], name: str) -> None:
    """Two programs, one dataset: every metric of every value that has rows, of every facet."""
    case = found[name]
    assert case["words"] == ""
    theirs, ours = read_bias(case["analysis"]).metrics, case["ours"]
    assert theirs
    lacking = {each for each in ours if each not in theirs}
    assert {each.partition(":")[2] for each in lacking} <= {"sex=X", "sex=M"}
    assert all(ours[each] is None for each in lacking)
    for each, value in theirs.items():
        expected = float(ours[each]) if ours[each] is not None else None
        if expected is None or value is None or math.isinf(expected):
            assert value == expected, each
        else:
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12), each


def test_the_flip_test_is_refused_by_name(found: dict[str, Any]) -> None:
    """Among "all" it is an entry with an error; it takes neighbours, which counts do not know."""
    facets = found["binary"]["analysis"]["post_training_bias_metrics"]["facets"]
    (entry,) = (each for each in facets["sex"][0]["metrics"] if each["name"] == "FT")
    assert entry["value"] is None
    assert "no flip test" in entry["error"]


def test_what_is_not_done_fails_by_name(found: dict[str, Any]) -> None:
    """Never measured otherwise than asked: the job's exit message names what it does not do."""
    assert {words: words in text for words, text in found["failures"].items()} == dict.fromkeys(
        found["failures"], True
    )
    assert len(found["failures"]) == 13


def test_a_champion_on_other_data_is_no_failure(found: dict[str, Any]) -> None:
    """Nobody measures its bias: it is scored all the same, and its log says why there is none."""
    assert {words: words in text for words, text in found["champion"].items()} == dict.fromkeys(
        found["champion"], True
    )
