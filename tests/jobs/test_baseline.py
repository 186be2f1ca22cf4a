"""The baselines of a winner: AWS's layouts, read back by AWS's SDK, and edits that survive.

Golden files are in golden/baseline; PERENNIAL_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from statemachines.sdk import quiet_import
from tests.jobs.conftest import ROOT

GOLDEN = Path(__file__).parent / "golden" / "baseline"
KINDS = ("data_quality", "model_quality", "bias", "attribution")
BIAS = {
    "version": "1.0",
    "pre_training_bias_metrics": {
        "label": "paid",
        "label_value_or_threshold": "yes",
        "facets": {
            "member": [
                {
                    "value_or_threshold": "true",
                    "metrics": [
                        {"name": "CI", "description": "Class Imbalance (CI)", "value": 0.25},
                        {"name": "KL", "description": "Divergence", "value": "Infinity"},
                    ],
                }
            ]
        },
    },
    "post_training_bias_metrics": {
        "label": "paid",
        "label_value_or_threshold": "yes",
        "facets": {
            "member": [
                {
                    "value_or_threshold": "true",
                    "metrics": [{"name": "DPPL", "description": "…", "value": -0.125}],
                }
            ]
        },
    },
    "perennial": {"rows": 400, "intervals": {"DPPL": {"member=true": [-0.2, -0.05]}}, "seed": 0},
}
EXPLANATIONS = {
    "version": "1.0",
    "explanations": {
        "kernel_shap": {
            "label0": {"global_shap_values": {"age": 0.5, "share": 0.25}, "expected_value": -1.5}
        }
    },
    "perennial": {"method": "tree", "rows": 400, "units": "log-odds", "max_additivity_error": 0.0},
}


class NoCloud:
    """A session of the SDK with a bucket in memory; anything else it were asked would fail."""

    default_bucket_prefix = None

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], str] = {}

    def default_bucket(self) -> str:
        return "bucket"

    def upload_string_as_file_body(
        self, body: str, bucket: str, key: str, kms_key: str | None = None
    ) -> None:
        self.objects[bucket, key] = body

    def read_s3_file(self, bucket: str, key_prefix: str) -> str:
        return self.objects[bucket, key_prefix]


@pytest.fixture(scope="session")
def sdk() -> Any:
    """SageMaker's SDK 2, as the state machines are written with."""
    with quiet_import():
        return importlib.import_module("sagemaker.model_monitor")


def _python(python: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, "-W", "ignore", *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def _prepare(python: Path, base: Path, rows: int = 12) -> Path:
    done = _python(python, ROOT / "tests/jobs/baseline_checks.py", base, rows)
    assert done.returncode == 0, done.stderr
    inputs = base / "processing" / "input"
    for name, document in (("bias", BIAS), ("explanations", EXPLANATIONS)):
        (inputs / "verdict" / name).mkdir(parents=True)
        (inputs / "verdict" / name / "analysis.json").write_text(
            json.dumps(document), encoding="utf-8"
        )
    return inputs


def _run(python: Path, base: Path) -> tuple[int, str]:
    """Run the step as its supervisor does; its exit code and last words."""
    work = base / "work"
    work.mkdir(exist_ok=True)
    done = _python(
        python, "-m", "jobs.run_step", "baseline",
        SAGEMAKER_BASE_DIR=str(base), PERENNIAL_WORKSPACE=str(work),
        PERENNIAL_CODE_ROOT=str(base),
    )  # fmt: skip
    words = work / ("failure" if done.returncode else "message")
    assert words.exists(), done.stderr
    return done.returncode, words.read_text(encoding="utf-8")


def _output(base: Path, kind: str, name: str) -> Any:
    path = base / "processing" / "output" / "baselines" / kind / name
    return json.loads(path.read_text(encoding="utf-8"))


def _edit(before: Path, inputs: Path) -> Path:
    """Hand the baselines of a finished step to the next one, as its registered version's."""
    edits = inputs / "verdict" / "edits"
    shutil.copytree(before / "processing" / "output" / "baselines", edits)
    return edits


@pytest.fixture(scope="module")
def first(jobs_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base folder of a baseline step that has run on twelve rows."""
    base = tmp_path_factory.mktemp("baseline")
    _prepare(jobs_python, base)
    code, words = _run(jobs_python, base)
    assert code == 0, words
    assert words == ("baselines of 12 rows: data quality, model quality, bias, attribution")
    return base


@pytest.mark.parametrize(
    "name",
    [
        f"{kind}/{file}.json"
        for kind in KINDS
        for file in ("constraints", "statistics" if kind.endswith("quality") else "analysis")
    ],
)
def test_every_file_is_the_golden_one(first: Path, name: str) -> None:
    """Key by key, each figure: what AWS's tools and the monitors read."""
    found = _output(first, *name.split("/"))
    golden = GOLDEN / name.replace("/", "-")
    if os.environ.get("PERENNIAL_WRITE_GOLDEN"):
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_sdk_reads_every_file_back(sdk: Any, first: Path, kind: str) -> None:
    """SageMaker's own classes take the files, offline, and hold the same documents."""
    folder = first / "processing" / "output" / "baselines" / kind
    facts = "statistics.json" if kind.endswith("quality") else "analysis.json"
    session = NoCloud()
    statistics = sdk.Statistics.from_file_path(str(folder / facts), sagemaker_session=session)
    constraints = sdk.Constraints.from_file_path(
        str(folder / "constraints.json"), sagemaker_session=session
    )
    assert statistics.body_dict == _output(first, kind, facts)
    assert constraints.body_dict == _output(first, kind, "constraints.json")
    uri = constraints.file_s3_uri
    assert sdk.Constraints.from_s3_uri(uri, sagemaker_session=session).body_dict["version"] in (
        0,
        "1.0",
    )


def test_the_raw_features_of_requests_are_profiled(first: Path) -> None:
    """In the settings' order, without the label and our own columns, and it is said so."""
    statistics = _output(first, "data_quality", "statistics.json")
    types = {entry["name"]: entry["inferred_type"] for entry in statistics["features"]}
    assert types == {
        "age": "Integral", "share": "Fractional", "job": "String", "member": "String",
        "since": "String", "words": "String", "never": "Unknown",
    }  # fmt: skip
    assert statistics["perennial"]["sources"] == ["holdout"]
    assert "the holdout, a random part" in statistics["perennial"]["words"]


def test_domains_have_what_training_rows_had_and_texts_have_none(first: Path) -> None:
    """A level that only training rows had is no violation later; free text has no domain."""
    constraints = _output(first, "data_quality", "constraints.json")
    domains = {
        entry["name"]: entry.get("string_constraints", {}).get("domains")
        for entry in constraints["features"]
    }
    assert domains["job"] == ["baker", "cook", "driver", "pilot"]
    assert domains["member"] == ["false", "true"]
    assert domains["words"] is None
    assert domains["since"] is None


def test_texts_of_single_rows_are_not_written_out(first: Path) -> None:
    """They may be somebody's own words; how many there are is told all the same."""
    statistics = _output(first, "data_quality", "statistics.json")
    (words,) = [e for e in statistics["features"] if e["name"] == "words"]
    assert words["string_statistics"]["distinct_count"] == 12
    assert words["string_statistics"]["distribution"]["categorical"]["buckets"] == []
    assert "free text" not in json.dumps(statistics)


def test_thresholds_are_one_deviation_worse(first: Path) -> None:
    """Lower where more is better, higher where less is; none for what is not AWS's."""
    section = _output(first, "model_quality", "statistics.json")["binary_classification_metrics"]
    limits = _output(first, "model_quality", "constraints.json")[
        "binary_classification_constraints"
    ]
    auc, false = section["auc"], section["false_positive_rate"]
    assert limits["auc"] == {
        "threshold": auc["value"] - auc["standard_deviation"],
        "comparison_operator": "LessThanThreshold",
    }
    assert limits["false_positive_rate"] == {
        "threshold": false["value"] + false["standard_deviation"],
        "comparison_operator": "GreaterThanThreshold",
    }
    assert "log_loss" not in limits


def test_edited_constraints_survive(
    sdk: Any, jobs_python: Path, first: Path, tmp_path: Path
) -> None:
    """Edits by the SDK's class and by hand come through two more baselines; figures are new."""
    second = tmp_path / "second"
    edits = _edit(first, _prepare(jobs_python, second, rows=40))
    file = edits / "data_quality" / "constraints.json"
    session = NoCloud()
    edited = sdk.Constraints.from_file_path(str(file), sagemaker_session=session)
    edited.set_monitoring(False, "words")
    config = edited.body_dict["monitoring_config"]["distribution_constraints"]
    config["comparison_threshold"] = 0.3
    file.write_text(json.dumps(edited.body_dict), encoding="utf-8")
    file = edits / "model_quality" / "constraints.json"
    limits = json.loads(file.read_text(encoding="utf-8"))
    limits["binary_classification_constraints"]["auc"]["threshold"] = 0.75
    del limits["binary_classification_constraints"]["f2"]
    file.write_text(json.dumps(limits), encoding="utf-8")
    code, words = _run(jobs_python, second)
    assert code == 0, words
    assert "data quality (2 edited places kept)" in words
    third = tmp_path / "third"
    _edit(second, _prepare(jobs_python, third, rows=60))
    code, words = _run(jobs_python, third)
    assert code == 0, words
    for base in (second, third):
        constraints = _output(base, "data_quality", "constraints.json")
        original = _output(base, "data_quality", "original.json")
        told = constraints["monitoring_config"]["distribution_constraints"]
        assert told["comparison_threshold"] == 0.3
        assert told["comparison_method"] == "Robust"
        off = {e["name"] for e in constraints["features"] if "monitoring_config_overrides" in e}
        assert off == {"words"}
        told = original["monitoring_config"]["distribution_constraints"]
        assert told["comparison_threshold"] == 0.1
        limits = _output(base, "model_quality", "constraints.json")
        fresh = _output(base, "model_quality", "original.json")["binary_classification_constraints"]
        kept = limits["binary_classification_constraints"]
        assert kept["auc"]["threshold"] == 0.75
        assert "f2" not in kept
        assert kept["recall"] == fresh["recall"]
        assert limits["perennial"]["kept_edits"] == [
            {"path": "/binary_classification_constraints/auc/threshold", "value": 0.75},
            {"path": "/binary_classification_constraints/f2", "removed": True},
        ]


def test_edits_that_cannot_be_read_fail_by_name(
    jobs_python: Path, first: Path, tmp_path: Path
) -> None:
    """A person's decision does not get lost in silence."""
    edits = _edit(first, _prepare(jobs_python, tmp_path))
    (edits / "bias" / "constraints.json").write_text("{", encoding="utf-8")
    code, words = _run(jobs_python, tmp_path)
    assert code == 1
    assert "the input constraints.json is no JSON" in words


def test_without_facets_and_explanations_two_baselines_are_written(
    jobs_python: Path, tmp_path: Path
) -> None:
    """What a run did not measure has no baseline."""
    inputs = _prepare(jobs_python, tmp_path)
    shutil.rmtree(inputs / "verdict" / "bias")
    shutil.rmtree(inputs / "verdict" / "explanations")
    assert _run(jobs_python, tmp_path) == (
        0,
        "baselines of 12 rows: data quality, model quality",
    )
    assert not (tmp_path / "processing/output/baselines/bias").exists()


def test_training_rows_count_where_they_are_kept_raw(jobs_python: Path, tmp_path: Path) -> None:
    """With the raw training rows beside the holdout, the baseline rests on both."""
    inputs = _prepare(jobs_python, tmp_path)
    (inputs / "training").mkdir()
    shutil.copy(inputs / "holdout" / "rows.parquet", inputs / "training" / "raw.parquet")
    assert _run(jobs_python, tmp_path)[0] == 0
    statistics = _output(tmp_path, "data_quality", "statistics.json")
    assert statistics["dataset"]["item_count"] == 24
    assert statistics["perennial"]["sources"] == ["holdout", "training"]


def test_a_missing_evaluation_fails_by_name(jobs_python: Path, tmp_path: Path) -> None:
    """There is no model-quality baseline without one."""
    inputs = _prepare(jobs_python, tmp_path)
    (inputs / "evaluation" / "evaluation.json").write_text("{}", encoding="utf-8")
    code, words = _run(jobs_python, tmp_path)
    assert code == 1
    assert "evaluation.json is no evaluation of a binary" in words
