"""Writes what Amazon SageMaker Clarify measures bias on (`providers.bias: sagemaker`).

One Parquet file of the holdout's rows, as `perennial.domain.clarify` describes it: outcomes of
label and prediction, and each facet and the conditional group by the names of their groups.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.clarify import PREDICTED, dataset_columns
from perennial.domain.settings import Settings

from jobs.casting import TrainingSchema
from jobs.compare import Predictions, identities, read_table
from jobs.measure_bias import codes_of, codes_of_texts, positive_of, raw_columns


def write_dataset(
    settings: Settings, schema: TrainingSchema, predictions: Path, holdout: Path, path: Path
) -> str:
    """Write the dataset and answer ""; or write none and answer why.

    `schema` is that of the check. The champion's code runs the same step on the holdout of a run
    that may have other columns and classes; nobody measures its bias, so that is no failure.
    """
    given = read_table(holdout)
    absent = [n for n in (settings.label, *raw_columns(settings)) if n not in given.column_names]
    if absent:
        return f"the holdout has no column {', '.join(absent)}"
    unknown = sorted(set(settings.bias.positive) - set(schema.classes))
    if unknown:
        return f"{settings.label} has no class {', '.join(unknown)}"
    scored = Predictions.read(predictions)
    held = given.take(np.argsort(identities(given), kind="stable"))
    if not np.array_equal(identities(held), scored.rows):
        return "the predictions are not those of the holdout's rows"
    positive = positive_of(settings, schema, [held.column(settings.label)])
    columns = {
        settings.label: positive.of_codes(scored.labels).astype(np.int64),
        PREDICTED: positive.of_scores(scored.scores).astype(np.int64),
    }
    for facet in settings.facets:
        codes, names = codes_of(facet, schema, held.column(facet.column))
        columns[facet.column] = _texts(codes, names)
    if settings.bias.group and settings.bias.group not in columns:
        codes, names = codes_of_texts(held.column(settings.bias.group), ())
        columns[settings.bias.group] = _texts(codes, names)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: columns[name] for name in dataset_columns(settings)}), path)
    return ""


def _texts(codes: np.ndarray[tuple[int, ...], np.dtype[np.int64]], names: list[str]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes))
