"""Clarify's configuration from the same settings, beside the SageMaker SDK's own generator."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from perennial.domain.clarify import PREDICTED, analysis_config, dataset_columns, read_metrics
from perennial.domain.findings import read_bias
from perennial.domain.settings import Settings, SettingsInvalid, parse_settings

HEADERS = ("y", PREDICTED, "sex", "age", "school")


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The SDK's module of Clarify, without its notice of a newer major version."""
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    from sagemaker import clarify

    return clarify


def settings(problem: str = "binary", **changed: Any) -> Settings:
    """A model with a facet of levels and one of numbers, and a conditional group."""
    levels = {"binary": ["no", "yes"], "multiclass": ["1", "2", "3"], "regression": []}[problem]
    document: dict[str, Any] = {
        "problem": problem,
        "label": "y",
        "facets": {"sex": {}, "age": {"edges": [30, 60]}},
        "bias": {"group": "school"},
        "data": {
            "columns": {
                "sex": {"type": "category", "levels": ["F", "M"]},
                "age": {"type": "int"},
                "school": {"type": "int"},
                "y": {"type": "category", "levels": levels} if levels else {"type": "float"},
            }
        },
    }
    if problem == "binary":
        document["positive"] = "yes"
    return parse_settings({**document, **changed}, project="m")


def generated(sdk: Any, before: Any = "all", after: Any = "all") -> dict[str, Any]:
    """What the SDK writes for the same facets."""
    data = sdk.DataConfig(
        "s3://data",
        "s3://out",
        label="y",
        headers=list(HEADERS),
        dataset_type="application/x-parquet",
        predicted_label=PREDICTED,
    )
    bias = sdk.BiasConfig(
        label_values_or_threshold=[1],
        facet_name=["sex", "age"],
        facet_values_or_threshold=[None, None],
        group_name="school",
    )
    document: dict[str, Any] = sdk._AnalysisConfigGenerator.bias(
        data, bias, None, None, before, after
    )
    return document


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_the_configuration_is_the_sdks_own(sdk: Any, problem: str) -> None:
    """For every problem alike: the dataset holds outcomes, so no endpoint and no threshold."""
    ours = analysis_config(settings(problem))
    assert ours == generated(sdk)
    assert json.loads(json.dumps(ours)) == ours


def test_chosen_metrics_go_to_their_stage(sdk: Any) -> None:
    """Names of both stages in one list of the settings; a stage without any is left out."""
    chosen = settings(bias={"group": "school", "methods": ["DPL", "AD", "DI"]})
    assert analysis_config(chosen) == generated(sdk, ["DPL"], ["DI", "AD"])
    labels_alone = analysis_config(settings(bias={"methods": ["CI"]}))
    assert labels_alone["methods"].keys() == {"report", "pre_training_bias"}


def test_a_column_stands_once() -> None:
    """A facet may be the conditional group as well."""
    both = settings(bias={"group": "sex"})
    assert dataset_columns(both) == ("y", PREDICTED, "sex", "age")


def test_nothing_to_measure_is_refused() -> None:
    """Before a job is paid for."""
    with pytest.raises(ValueError, match="has no facets"):
        analysis_config(settings(facets={}, bias={}))


def analysis(value: Any = 0.25) -> dict[str, Any]:
    """Clarify's analysis of one facet value."""
    metrics = [{"name": "DPPL", "description": "d", "value": value}, {"name": "FT", "value": 1.0}]
    facets = {"sex": [{"value_or_threshold": "F", "metrics": metrics}]}
    return {"version": "1.0", "post_training_bias_metrics": {"label": "y", "facets": facets}}


@pytest.mark.parametrize(
    ("value", "figure"), [(0.25, 0.25), (None, None), ("Infinity", float("inf"))]
)
def test_gates_read_clarifys_figures_as_ours(value: Any, figure: float | None) -> None:
    """By the same names; what ours has no name for is left out, the missing interval is told."""
    found = read_bias(analysis(value))
    assert found.metrics == {"DPPL:sex=F": figure}
    assert found.intervals == {}
    assert any("without intervals" in note for note in found.notes)
    assert "without an interval" in found.remark


def test_an_analysis_without_bias_is_none() -> None:
    """Any other document of Clarify's, for instance its explanations, answers no bias gate."""
    with pytest.raises(ValueError, match="pre_training_bias_metrics"):
        read_metrics({"version": "1.0", "explanations": {}})


def test_clarify_without_facets_is_a_mistake_of_the_settings() -> None:
    """Named when the project is checked or pushed, with the key and what to write instead."""
    with pytest.raises(SettingsInvalid, match=r"providers\.bias: .*perennial, as there are no"):
        settings(facets={}, bias={}, providers={"bias": "sagemaker"})
