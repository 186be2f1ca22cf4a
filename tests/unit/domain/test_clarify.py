"""Clarify's configuration from the same settings, beside the SageMaker SDK's own generator."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from perennial.domain.clarify import ClarifyData, analysis_config
from perennial.domain.settings import Settings, parse_settings

HEADERS = ("sex", "age", "height", "school", "y", "predicted")


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The SDK's module of Clarify, without its notice of a newer major version."""
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    from sagemaker import clarify

    return clarify


def settings(problem: str = "binary", **changed: Any) -> Settings:
    """A model with a facet of levels, one of whole numbers and one of fractions."""
    levels = {"binary": ["no", "yes"], "multiclass": ["1", "2", "3"], "regression": []}[problem]
    document: dict[str, Any] = {
        "problem": problem,
        "label": "y",
        "facets": {"sex": {}, "age": {"edges": [30, 60]}, "height": {"edges": [1.5]}},
        "bias": {"group": "school"},
        "data": {
            "columns": {
                "sex": {"type": "category", "levels": ["F", "M"]},
                "age": {"type": "int"},
                "height": {"type": "float"},
                "school": {"type": "int"},
                "y": {"type": "category", "levels": levels} if levels else {"type": "float"},
            }
        },
    }
    if problem == "binary":
        document["positive"] = "yes"
    return parse_settings({**document, **changed}, project="m")


def generated(sdk: Any, outcome: list[Any], **changed: Any) -> dict[str, Any]:
    """What the SDK writes for the same facets."""
    data = sdk.DataConfig(
        "s3://data",
        "s3://out",
        label="y",
        headers=list(HEADERS),
        dataset_type="text/csv",
        predicted_label=changed.get("predicted_label"),
    )
    bias = sdk.BiasConfig(
        label_values_or_threshold=outcome,
        facet_name=["sex", "age", "height"],
        facet_values_or_threshold=[None, [59], [1.4999999999999998]],
        group_name="school",
    )
    document: dict[str, Any] = sdk._AnalysisConfigGenerator.bias(
        data,
        bias,
        changed.get("model"),
        changed.get("label"),
        changed.get("before", "all"),
        changed.get("after", "all"),
    )
    return document


def test_predictions_in_a_column_need_no_endpoint(sdk: Any) -> None:
    """The evaluation has scored the rows already; the job reads its predictions."""
    ours = analysis_config(settings(), ClarifyData(HEADERS, predicted_label="predicted"), ["yes"])
    assert ours == generated(sdk, ["yes"], predicted_label="predicted")
    assert json.loads(json.dumps(ours)) == ours


@pytest.mark.parametrize(
    ("problem", "outcome", "label"),
    [
        ("binary", ["yes"], {"probability": 0, "probability_threshold": 0.5}),
        ("multiclass", ["3"], {"label_headers": ["1", "2", "3"]}),
        ("regression", [9.5], {"label": 0}),
    ],
)
def test_a_model_is_put_behind_an_endpoint(
    sdk: Any, problem: str, outcome: list[Any], label: dict[str, Any]
) -> None:
    """The predictor's section, and how its answer is read for each problem."""
    model = sdk.ModelConfig("census-7", 1, "ml.m5.large", "text/csv", "text/csv")
    ours = analysis_config(settings(problem), ClarifyData(HEADERS, model="census-7"), outcome)
    theirs = generated(sdk, outcome, model=model, label=sdk.ModelPredictedLabelConfig(**label))
    assert ours == theirs


def test_chosen_metrics_go_to_their_stage(sdk: Any) -> None:
    """Names of both stages in one list of the settings; a stage without any is left out."""
    chosen = settings(bias={"group": "school", "methods": ["DPL", "AD", "DI"]})
    data = ClarifyData(HEADERS, predicted_label="predicted")
    ours = analysis_config(chosen, data, ["yes"])
    assert ours == generated(
        sdk, ["yes"], predicted_label="predicted", before=["DPL"], after=["DI", "AD"]
    )
    labels_alone = analysis_config(chosen, ClarifyData(HEADERS), ["yes"])["methods"]
    assert labels_alone.keys() == {"report", "pre_training_bias"}


def test_a_threshold_lies_just_below_the_edge() -> None:
    """Clarify takes what is above a threshold, our last group what is at its edge as well."""
    facets = analysis_config(settings(), ClarifyData(HEADERS), ["yes"])["facet"]
    assert facets[1]["value_or_threshold"] == [59]
    assert facets[2]["value_or_threshold"][0] < 1.5
    assert "value_or_threshold" not in facets[0]


def test_nothing_to_measure_is_refused() -> None:
    """Before a job is paid for."""
    with pytest.raises(ValueError, match="has no facets"):
        analysis_config(settings(facets={}, bias={}), ClarifyData(HEADERS), ["yes"])
    only = settings(bias={"methods": ["AD"]})
    with pytest.raises(ValueError, match="need predictions"):
        analysis_config(only, ClarifyData(HEADERS), ["yes"])
