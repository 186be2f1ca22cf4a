"""The jobs of the census model on the genuine data, from objects to figures."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from perennial.domain.gates import judge_gates
from perennial.domain.holdout import in_holdout

from tests.jobs.conftest import ROOT, Done, Workbench, project_settings

Loop = dict[str, Any]


@pytest.fixture(scope="module")
def loop(census: Workbench, adult: str) -> Loop:
    """The three jobs, run once on all of UCI Adult's training part, in two objects."""
    settings = project_settings(census.project)
    header, *rows = adult.splitlines()
    half = len(rows) // 2
    entries = [
        census.land("incoming/census/a b+c%.csv", "\n".join([header, *rows[:half]]).encode()),
        census.land("incoming/census/zürich.csv", "\n".join([header, *rows[half:]]).encode()),
    ]
    checked = census.check(settings, entries)
    assert checked.code == 0, checked.log
    trained = census.train(settings, checked)
    assert trained.code == 0, trained.log
    evaluated = census.evaluate(settings, checked, trained)
    assert evaluated.code == 0, evaluated.log
    return {"settings": settings, "check": checked, "train": trained, "evaluate": evaluated}


def test_every_row_is_accounted_for(loop: Loop) -> None:
    """UCI counts 32,561 rows; each is in one set, about a fifth in the holdout."""
    summary = loop["check"].json("check/summary.json")
    rows = summary["rows"]
    assert rows["read"] == rows["good"] == rows["training"] + rows["holdout"] == 32_561
    assert 0.19 < rows["holdout"] / 32_561 < 0.21
    assert summary["objects"] == {"read": 2, "good": 2, "quarantined": 0}
    assert not summary["refused"]


def test_summary_is_small_enough_for_the_machine(loop: Loop) -> None:
    """The state machine reads the summary into its state."""
    assert (loop["check"].output("check") / "summary.json").stat().st_size < 4096


def test_genuine_data_gives_the_known_figures(loop: Loop) -> None:
    """LightGBM reaches an AUC of about 0.928 on Adult; far more would be a leak."""
    document = loop["evaluate"].json("evaluation/evaluation.json")
    metrics = document["perennial"]["metrics"]
    assert 0.92 < metrics["auc"] < 0.94
    assert 0.86 < metrics["accuracy"] < 0.885
    assert all(result.passed for result in judge_gates(loop["settings"].gates, metrics))


def test_evaluation_has_the_layout_of_model_monitor(loop: Loop) -> None:
    """Values with standard deviations, confusion matrix, curves and the constant classifier."""
    document = loop["evaluate"].json("evaluation/evaluation.json")
    section = document["binary_classification_metrics"]
    matrix = section["confusion_matrix"]
    assert document["dataset"]["item_count"] == sum(
        matrix[actual][predicted] for actual in "01" for predicted in "01"
    )
    assert 0 < section["auc"]["standard_deviation"] < 0.01
    assert section["accuracy_best_constant_classifier"]["value"] == pytest.approx(0.76, abs=0.02)
    assert section["precision_best_constant_classifier"]["value"] == "NaN"
    curve = section["receiver_operating_characteristic_curve"]
    assert curve["true_positive_rates"][-1] == curve["false_positive_rates"][-1] == 1.0


def test_every_group_of_the_facets_has_figures(loop: Loop) -> None:
    """Sex by level, age by its edges; the groups' rows add up to the holdout."""
    perennial = loop["evaluate"].json("evaluation/evaluation.json")["perennial"]
    for column, groups in (("sex", 2), ("age", 4)):
        sizes = [v for k, v in perennial["metrics"].items() if k.startswith(f"rows:{column}=")]
        assert len(sizes) == groups
        assert sum(sizes) == perennial["rows"]


def test_artifact_carries_what_serving_needs(loop: Loop) -> None:
    """The model in LightGBM's own format, with the schema that requests are cast to."""
    folder = loop["train"].base / "model"
    assert {path.name for path in folder.iterdir()} == {
        "model.txt",
        "schema.json",
        "settings.json",
        "metadata.json",
        "learning.json",
        "background.parquet",
    }
    schema = json.loads((folder / "schema.json").read_text())
    assert schema["classes"] == ["<=50K", ">50K"]
    country = next(c for c in schema["columns"] if c["name"] == "native_country")
    assert len(country["levels"]) == 41


def test_training_twice_gives_the_same_model(census: Workbench, loop: Loop) -> None:
    """Same rows, same settings, same bytes: a candidate can be made again."""
    again = census.train(loop["settings"], loop["check"], name="again")
    first = (loop["train"].base / "model" / "model.txt").read_bytes()
    assert (again.base / "model" / "model.txt").read_bytes() == first


def test_figures_are_printed_for_the_metric_definitions(loop: Loop) -> None:
    """SageMaker reads `auc=…;` from the log."""
    lines = loop["train"].log.splitlines()
    assert any(line.startswith("auc=0.9") and line.endswith(";") for line in lines)
    assert "\nrows=" in loop["train"].log
    assert "good rows" in loop["check"].message


def test_holdout_and_training_do_not_share_a_row(census: Workbench, loop: Loop) -> None:
    """The identities in both sets lie on the side that their hash says."""
    rows = read_parquet(census, loop["check"], "training/rows.parquet", "__row")
    held = read_parquet(census, loop["check"], "holdout/rows.parquet", "__row")
    assert not set(rows) & set(held)
    assert not any(in_holdout(row, 0.2) for row in rows)
    assert all(in_holdout(row, 0.2) for row in held)


def test_a_jobs_own_hyperparameter_overrides_the_settings(census: Workbench, loop: Loop) -> None:
    """What a tuning job hands over counts, and is recorded in the artifact."""
    done = census.train(loop["settings"], loop["check"], name="tuned", rounds="7")
    metadata = json.loads((done.base / "model" / "metadata.json").read_text())
    assert metadata["hyperparameters"]["rounds"] == 7
    assert (done.base / "model" / "model.txt").read_text().count("\nTree=") == 7


@pytest.fixture(scope="module")
def served(census: Workbench, loop: Loop) -> dict[str, Any]:
    """What serving_checks.py finds out about the trained model."""
    found = subprocess.run(
        [
            census.python,
            ROOT / "tests/jobs/serving_checks.py",
            loop["train"].base / "model",
            loop["check"].output("holdout") / "rows.parquet",
            census.project,
        ],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


@pytest.mark.parametrize("kind", ["typed", "text"])
def test_a_request_scores_as_its_row_did(served: dict[str, Any], kind: str) -> None:
    """One row at a time, without a frame, as JSON values or as text: the same score; and the
    same types where a frame is made."""
    assert served[kind]["same_types"]
    assert served[kind]["scores"] == pytest.approx(served["whole"], abs=1e-12)


def test_attributions_add_up_to_the_score(served: dict[str, Any]) -> None:
    """TreeSHAP is exact: features and expected value sum to the log-odds."""
    assert served["explained"] < 1e-6


def test_bad_requests_are_refused_by_column(served: dict[str, Any]) -> None:
    """The server casts requests with the checks of the data."""
    for words, message in zip(
        ("not a whole number", "one is required", "above the maximum", "none of the", "a list"),
        served["refused"],
        strict=True,
    ):
        assert words in message
        assert message.startswith(("row 1, age: ", "row 1, sex: "))
    assert served["stranger_is_missing"]


def read_parquet(bench: Workbench, done: Done, name: str, column: str) -> list[Any]:
    """A column of an output, read where pyarrow is."""
    code = (
        "import json,sys,pyarrow.parquet as q;"
        "print(json.dumps(q.read_table(sys.argv[1]).column(sys.argv[2]).to_pylist()))"
    )
    path = done.base / "processing/output" / name
    found = subprocess.run(
        [bench.python, "-c", code, str(path), column], capture_output=True, check=True, text=True
    )
    values: list[Any] = json.loads(found.stdout)
    return values
