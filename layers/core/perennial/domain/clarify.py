"""Amazon SageMaker Clarify (provider `sagemaker`): its configuration, and what its analysis says.

The managed job measures what jobs/measure_bias.py measures by counts. Its container is open to
existing customers of Clarify alone. Parameters and layout are those of "Analysis Configuration
Files" in the SageMaker developer guide; the tests compare with the SageMaker Python SDK.

The dataset is made for it by the evaluation (jobs/clarify_data.py): one Parquet file of the
holdout's rows. Label and prediction are 1 where they are the favourable outcome and 0 elsewhere,
and every facet and the conditional group are texts, the names of the groups. So Clarify takes no
number for a threshold and no text for a missing value, and measures every group that ours does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perennial.domain.gates import POST_TRAINING_BIAS, PRE_TRAINING_BIAS, facet_metric
from perennial.domain.settings import Settings

PARQUET = "application/x-parquet"
FAVOURABLE = 1
#: The column of predictions; two underscores are kept from the settings' own names.
PREDICTED = "__predicted"
#: Below a step's place: where the evaluation lays the dataset, and the plan the configuration.
DATASET, CONFIG = "evaluation/clarify/dataset.parquet", "clarify/analysis_config.json"
REMARK = "measured by Amazon SageMaker Clarify, without an interval"
NOTE = (
    "bias was measured by Amazon SageMaker Clarify: labels and predictions of the holdout's rows, "
    "without intervals"
)
STAGES = {
    "pre_training_bias_metrics": PRE_TRAINING_BIAS,
    "post_training_bias_metrics": POST_TRAINING_BIAS,
}


def dataset_columns(settings: Settings) -> tuple[str, ...]:
    """The dataset's columns in order: label, prediction, facets and the conditional group."""
    raw = (*(facet.column for facet in settings.facets), settings.bias.group)
    return tuple(dict.fromkeys((settings.label, PREDICTED, *(name for name in raw if name))))


def analysis_config(settings: Settings) -> dict[str, Any]:
    """The content of analysis_config.json for every facet of the settings.

    Raises ValueError when there is no facet.
    """
    if not settings.facets:
        raise ValueError(f"{settings.project} has no facets; Clarify needs one")
    document: dict[str, Any] = {
        "dataset_type": PARQUET,
        "headers": list(dataset_columns(settings)),
        "label": settings.label,
        "predicted_label": PREDICTED,
        "label_values_or_threshold": [FAVOURABLE],
        "facet": [{"name_or_index": facet.column} for facet in settings.facets],
        "methods": _methods(settings.bias.methods),
    }
    if settings.bias.group:
        document["group_variable"] = settings.bias.group
    return document


def _methods(chosen: tuple[str, ...]) -> dict[str, Any]:
    methods: dict[str, Any] = {"report": {"name": "report", "title": "Analysis Report"}}
    for stage, names in (
        ("pre_training_bias", PRE_TRAINING_BIAS),
        ("post_training_bias", POST_TRAINING_BIAS),
    ):
        # FT is not among ours, but "all" means Clarify's own list to Clarify.
        wanted = "all" if "all" in chosen else [name for name in names if name in chosen]
        if wanted:
            methods[stage] = {"methods": wanted}
    return methods


def read_metrics(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an analysis.json of Clarify's, by the names that gates read.

    A figure that could not be computed is None. Raises ValueError for a document without any of
    its sections, KeyError and TypeError for odd parts.
    """
    if not any(stage in analysis for stage in STAGES):
        raise ValueError(f"it has none of {', '.join(STAGES)}")
    return {name: value for stage in STAGES for name, value in _of_stage(analysis, stage)}


def _of_stage(analysis: Mapping[str, Any], stage: str) -> Iterator[tuple[str, Any]]:
    for column, values in analysis.get(stage, {}).get("facets", {}).items():
        for each in values:
            for metric in each["metrics"]:
                if metric["name"] in STAGES[stage]:
                    name = facet_metric(metric["name"], column, str(each["value_or_threshold"]))
                    yield name, metric.get("value")
