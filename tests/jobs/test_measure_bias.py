"""The step `measure_bias`: analysis.json in Clarify's layout, and inputs that fall short."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.engine.bias import POST_TRAINING, PRE_TRAINING
from tests.jobs.conftest import ROOT
from tests.jobs.exact_bias import Exact

STAGES = {
    "pre_training_bias_metrics": PRE_TRAINING,
    "post_training_bias_metrics": POST_TRAINING,
}
FACETS = {
    "sex": ["F", "M", "X"],
    "age": ["<30", "30-60", ">=60", "missing"],
    "member": ["False", "True", "missing"],
}
TRAINING = 700


@pytest.fixture(scope="module")
def found(jobs_python: Path) -> dict[str, Any]:
    """Everything that bias_cases.py prints."""
    done = subprocess.run(
        [jobs_python, "-W", "ignore", ROOT / "tests/jobs/bias_cases.py"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def positives(case: dict[str, Any], problem: str) -> tuple[list[bool], list[bool]]:
    """Which labels of all rows, and which predictions of the holdout, are positive."""
    scores = np.array(case["scores"])
    if problem == "regression":
        middle = statistics.median(case["labels"])
        return [label > middle for label in case["labels"]], list(scores > middle)
    if problem == "binary":
        return [label == "yes" for label in case["labels"]], list(scores >= 0.5)
    return [label == "3" for label in case["labels"]], list(scores.argmax(axis=1) == 2)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_metrics_equal_the_exact_ones(found: dict[str, Any], problem: str, stage: str) -> None:
    """Every metric of every value of every facet, from the rows of its stage."""
    case = found[problem]
    labels, predicted = positives(case, problem)
    before = stage.startswith("pre")
    start = 0 if before else TRAINING
    predictions = [False] * len(labels) if before else [False] * TRAINING + predicted
    facets = case["document"][stage]["facets"]
    assert {name: [e["value_or_threshold"] for e in facets[name]] for name in facets} == FACETS
    for groups, (name, values) in zip(case["groups"], FACETS.items(), strict=True):
        for value, entry in zip(values, facets[name], strict=True):
            metrics = {metric["name"]: metric for metric in entry["metrics"]}
            assert list(metrics) == sorted(STAGES[stage])
            if value == "X":
                assert all(m["error"] == "no row has this value" for m in metrics.values())
                continue
            rows = [
                (groups[i] == value, case["school"][i], labels[i], predictions[i])
                for i in range(start, len(labels))
            ]
            exact = Exact(rows).values()
            for metric in metrics.values():
                expected = float(exact[metric["name"]])
                assert metric["value"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gates_find_their_figures_by_name(found: dict[str, Any]) -> None:
    """A flat map beside Clarify's lists, with the same values; None for what is not defined."""
    document = found["binary"]["document"]
    flat = document["perennial"]["metrics"]
    assert len(flat) == 10 * (len(PRE_TRAINING) + len(POST_TRAINING))
    assert flat["DPPL:sex=X"] is None
    for stage in STAGES:
        for facet, entries in document[stage]["facets"].items():
            for entry in entries:
                for metric in entry["metrics"]:
                    name = f"{metric['name']}:{facet}={entry['value_or_threshold']}"
                    assert flat[name] == metric["value"]


def test_intervals_hold_the_values(found: dict[str, Any]) -> None:
    """Per metric and facet value, with how they were made."""
    perennial = found["binary"]["document"]["perennial"]
    assert set(perennial["intervals"]) == {*PRE_TRAINING, *POST_TRAINING}
    for name, intervals in perennial["intervals"].items():
        assert len(intervals) == 9
        for where, (low, high) in intervals.items():
            assert float(low) <= perennial["metrics"][f"{name}:{where}"] <= float(high)
    assert perennial["confidence"] == 0.95
    assert "Newcombe" in perennial["interval_methods"]["difference"]
    assert "FT" in perennial["left_out"]


def test_the_document_says_what_it_rests_on(found: dict[str, Any]) -> None:
    """The label, its favourable outcome, and the rows of both stages."""
    document = found["binary"]["document"]
    assert document["version"] == "1.0"
    for stage in STAGES:
        assert document[stage]["label"] == "y"
        assert document[stage]["label_value_or_threshold"] == "yes"
    assert document["perennial"]["rows"] == 300
    assert document["perennial"]["rows_pre_training"] == 1000
    assert found["binary"]["words"].endswith("300 predicted rows, 1,000 labelled ones")
    notes = found["multiclass"]["document"]["perennial"]["notes"]
    assert notes == ["y 3 is taken as the positive outcome"]
    threshold = found["regression"]["document"]["pre_training_bias_metrics"]
    assert threshold["label_value_or_threshold"].startswith("> ")


def test_without_the_training_facets_the_holdout_stands_in(found: dict[str, Any]) -> None:
    """A run whose check wrote none is measured all the same, and says so."""
    perennial = found["without_training"]["document"]["perennial"]
    assert perennial["rows_pre_training"] == perennial["rows"] == 300
    assert "labels are the holdout's alone" in perennial["notes"][0]


def test_a_constant_label_is_no_crash(found: dict[str, Any]) -> None:
    """Nobody is favoured where nobody is accepted; what needs both kinds says so."""
    document = found["constant"]["document"]
    metrics = {
        m["name"]: m for m in document["pre_training_bias_metrics"]["facets"]["sex"][0]["metrics"]
    }
    assert metrics["DPL"]["value"] == 0
    assert metrics["KL"]["value"] == 0
    assert metrics["CDDL"]["error"] == "no row is positive"


def test_methods_choose_the_metrics(found: dict[str, Any]) -> None:
    """Only what the settings ask for is measured."""
    flat = found["few"]["document"]["perennial"]["metrics"]
    assert {name.partition(":")[0] for name in flat} == {"DPL", "DI"}


@pytest.mark.parametrize(
    ("name", "problem", "words"),
    [("two_classes", "multiclass", "2,3"), ("threshold", "regression", "> 0.5")],
)
def test_the_settings_name_the_favourable_outcome(
    found: dict[str, Any], name: str, problem: str, words: str
) -> None:
    """Some classes of several, or a threshold of a number, for labels and for predictions."""
    raw, document = found[problem], found[name]["document"]
    scores = np.array(raw["scores"])
    if problem == "regression":
        labels, predicted = np.array(raw["labels"]) > 0.5, scores > 0.5
    else:
        labels, predicted = np.array(raw["labels"]) != "1", scores.argmax(axis=1) > 0
    d = np.array(raw["groups"][0]) == "F"
    flat = document["perennial"]["metrics"]
    assert flat["DPL:sex=F"] == pytest.approx(labels[~d].mean() - labels[d].mean())
    held = d[TRAINING:]
    assert flat["DPPL:sex=F"] == pytest.approx(predicted[~held].mean() - predicted[held].mean())
    assert document["pre_training_bias_metrics"]["label_value_or_threshold"] == words


def test_without_a_group_the_conditional_ones_say_so(found: dict[str, Any]) -> None:
    """The others are measured."""
    facets = found["no_group"]["document"]["pre_training_bias_metrics"]["facets"]
    errors = {m["name"] for m in facets["sex"][0]["metrics"] if "error" in m}
    assert errors == {"CDDL"}


def test_without_facets_there_is_nothing_to_measure(found: dict[str, Any]) -> None:
    """The document is there, and empty."""
    document = found["no_facets"]["document"]
    assert document["perennial"]["metrics"] == {}
    assert document["post_training_bias_metrics"]["facets"] == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lost_row", "SettingsError: the predictions are not those of the holdout's rows"),
        ("lost_facet", "SettingsError: the rows have no column sex, which bias is measured by"),
        ("other_type", "DataError: column member differs between training and holdout"),
    ],
)
def test_inputs_that_do_not_fit_are_named(found: dict[str, Any], name: str, words: str) -> None:
    """No figure from rows that are not the run's."""
    assert found[name]["failure"].startswith(words)
