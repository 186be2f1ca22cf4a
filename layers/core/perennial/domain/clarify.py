"""Amazon SageMaker Clarify's analysis_config.json from a model's settings: provider `sagemaker`.

The managed job then measures what jobs/measure_bias.py measures by counts. Its container is open
to existing customers of Clarify alone. Parameters are those of "Analysis Configuration Files" in
the SageMaker developer guide; the tests compare with the SageMaker Python SDK's generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.gates import POST_TRAINING_BIAS, PRE_TRAINING_BIAS
from perennial.domain.settings import Facet, Settings

CSV = "text/csv"
THRESHOLD = 0.5


@dataclass(frozen=True)
class ClarifyData:
    """The CSV that the job reads: its columns in order, and where predictions come from.

    Either `predicted_label` names a column that holds them, or `model` a SageMaker model that the
    job puts behind an endpoint of its own on `instance`. With neither only labels are measured.
    """

    headers: tuple[str, ...]
    predicted_label: str = ""
    model: str = ""
    instance: str = "ml.m5.large"


def analysis_config(
    settings: Settings, data: ClarifyData, outcome: Sequence[str | float]
) -> dict[str, Any]:
    """The content of analysis_config.json for every facet of the settings.

    `outcome` is the favourable one: classes, or for a regression the one threshold above which a
    value is favourable. Raises ValueError when there is no facet, or nothing to measure.
    """
    if not settings.facets:
        raise ValueError(f"{settings.project} has no facets; Clarify needs one")
    document: dict[str, Any] = {
        "dataset_type": CSV,
        "headers": list(data.headers),
        "label": settings.label,
        "label_values_or_threshold": list(outcome),
        "facet": [_facet(settings, facet) for facet in settings.facets],
    }
    if settings.bias.group:
        document["group_variable"] = settings.bias.group
    if data.predicted_label:
        document["predicted_label"] = data.predicted_label
    elif data.model:
        document["predictor"] = _predictor(settings, data)
        if settings.problem == "binary":
            document["probability_threshold"] = THRESHOLD
    document["methods"] = _methods(settings, predicted=bool(data.predicted_label or data.model))
    return document


def _facet(settings: Settings, facet: Facet) -> dict[str, Any]:
    """A facet: every level by itself, or a numeric one's rows from its last edge on.

    Clarify knows one threshold per numeric facet, and takes what lies above it; ours take the
    edge as well, so the threshold is the next smaller value of the column's type.
    """
    document: dict[str, Any] = {"name_or_index": facet.column}
    if facet.edges:
        edge = facet.edges[-1]
        whole = settings.data.column(facet.column).type == "int"
        below = math.ceil(edge) - 1 if whole else math.nextafter(edge, -math.inf)
        document["value_or_threshold"] = [below]
    return document


def _predictor(settings: Settings, data: ClarifyData) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model_name": data.model,
        "instance_type": data.instance,
        "initial_instance_count": 1,
        "accept_type": CSV,
        "content_type": CSV,
    }
    if settings.problem == "multiclass":
        label = settings.data.column(settings.label)
        document["label_headers"] = list(label.levels)
    else:
        document["probability" if settings.problem == "binary" else "label"] = 0
    return document


def _methods(settings: Settings, *, predicted: bool) -> dict[str, Any]:
    chosen = settings.bias.methods
    methods: dict[str, Any] = {"report": {"name": "report", "title": "Analysis Report"}}
    stages: list[tuple[str, tuple[str, ...]]] = [("pre_training_bias", PRE_TRAINING_BIAS)]
    if predicted:
        stages.append(("post_training_bias", POST_TRAINING_BIAS))
    for stage, names in stages:
        # FT is not among ours, but "all" means Clarify's own list to Clarify.
        wanted = "all" if "all" in chosen else [name for name in names if name in chosen]
        if wanted:
            methods[stage] = {"methods": wanted}
    if len(methods) == 1:
        raise ValueError(f"bias.methods {', '.join(chosen)} need predictions, and there are none")
    return methods
