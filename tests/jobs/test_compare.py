"""The step `compare`: predictions joined by identity, and what cannot be compared."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perennial.domain.settings import Comparison
from perennial.domain.verdict import HEADLINES

from jobs.engine.comparison import Paired, compare
from tests.jobs.conftest import ROOT


@pytest.fixture(scope="module")
def found(jobs_python: Path) -> dict[str, Any]:
    """Everything that comparison_cases.py prints."""
    done = subprocess.run(
        [jobs_python, ROOT / "tests/jobs/comparison_cases.py"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_rows_are_paired_by_identity(found: dict[str, Any], problem: str) -> None:
    """The champion's file has another order; the figures are those of the paired rows."""
    case = found[problem]
    order = np.argsort(np.array(case["rows"]))
    labels, mine, theirs = (np.array(values)[order] for values in (case["labels"], *case["scores"]))
    expected = compare(Paired(problem, labels, mine, theirs), Comparison(HEADLINES[problem][0]))
    document = case["document"]
    assert document["unmatched"] == 0
    assert document["incompatible"] == []
    for key in ("metric", "rows", "draws", "seed"):
        assert document[key] == expected[key]
    for key in ("candidate", "champion", "difference", "lower", "interval", "better_share"):
        assert document[key] == pytest.approx(expected[key], rel=1e-12), key
    assert document["metrics"].keys() == expected["metrics"].keys()
    assert document["lower"] > 0
    assert "600 paired rows" in case["words"]


def test_the_document_says_how_old_its_labels_are(found: dict[str, Any]) -> None:
    """From the first object to the last, in at most five windows of about equal size."""
    document = found["binary"]["document"]
    assert document["labels"] == {"oldest_ms": 0, "newest_ms": 5 * 3_600_000}
    windows = document["windows"]
    assert [window["rows"] for window in windows] == [100, 100, 200, 100, 100]
    assert all(a["to_ms"] < b["from_ms"] for a, b in pairwise(windows))
    assert sum(window["rows"] for window in windows) == document["rows"]


def test_figures_beyond_chance_are_named(found: dict[str, Any]) -> None:
    """The sentences of a card: which figures moved, and which way is better."""
    document = found["regression"]["document"]
    assert any(words.startswith("mae is better: -0.") for words in document["changes"])
    assert any(words.startswith("r2 is better: +0.") for words in document["changes"])


def test_a_holdout_without_times_is_one_window(found: dict[str, Any]) -> None:
    """Earlier runs did not keep when a row landed."""
    document = found["without_times"]["document"]
    assert document["labels"] == {"oldest_ms": None, "newest_ms": None}
    assert [window["rows"] for window in document["windows"]] == [600]
    assert document["windows"][0]["from_ms"] is None
    assert document["difference"] == found["binary"]["document"]["difference"]


def test_equal_identities_keep_their_order(found: dict[str, Any]) -> None:
    """Data without identity columns may hold a row twice, with different labels."""
    assert found["twins"]["document"]["incompatible"] == []
    assert found["twins"]["document"]["difference"] == pytest.approx(
        found["binary"]["document"]["difference"]
    )


def test_predictions_of_other_rows_are_refused(found: dict[str, Any]) -> None:
    """A comparison of different rows would compare rows, not models."""
    assert found["other_rows"]["failure"] == (
        "SettingsError: 2 of the candidate's and 2 of the champion's predictions have no partner: "
        "both models must be scored on the holdout of this run"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other_positive", "the champion reads another class than the candidate in 600 of 600"),
        ("other_classes", "the candidate scores 3 classes, the champion 4"),
        ("other_problem", "the candidate's problem is binary, the champion's is regression"),
    ],
)
def test_models_of_different_classes_are_incompatible(
    found: dict[str, Any], name: str, words: str
) -> None:
    """No crash: the document says why, and the gate fails with the same words."""
    document = found[name]["document"]
    assert words in document["incompatible"][0]
    assert words in found[name]["words"]
    assert document["difference"] is None
    assert document["windows"] == []
    assert document["metrics"] == {}


def test_scores_that_are_no_numbers_fail_the_job(found: dict[str, Any]) -> None:
    """With the count, and whose they are."""
    assert found["no_number"]["failure"] == (
        "DataError: the predictions cannot be compared: 2 of the champion are no finite numbers"
    )


@pytest.mark.parametrize("name", ["missing", "torn"])
def test_a_lost_input_is_named(found: dict[str, Any], name: str) -> None:
    """The file that the champion's evaluation should have left."""
    assert "champion/predictions.parquet" in found[name]["failure"]
    assert found[name]["failure"].startswith("SettingsError")
