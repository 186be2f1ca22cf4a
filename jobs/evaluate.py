"""Scores the holdout with the trained model and writes its figures, whole and by group."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.clarify import DATASET
from perennial.domain.gates import facet_metric
from perennial.domain.settings import Facet, Settings

from jobs.archives import ARCHIVE, code_files, pack, packs_code, unpack
from jobs.casting import ROW, TrainingSchema, read_schema
from jobs.check_data import write_json
from jobs.contract import Project, project_folder
from jobs.digests import code_digest, model_digest
from jobs.failures import SettingsError
from jobs.fitting import fit
from jobs.measures import (
    LATENCY_ROWS,
    MEGABYTE,
    MISSING_GROUP,
    calibration,
    latency,
    residuals,
    size_of,
)
from jobs.model_quality import THRESHOLD, Figures, figures, statistics
from jobs.packaging import complete
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.scoring import Scorer, plain

BATCH_ROWS = 50_000
# The figures of groups; all of them for every group would bury what matters.
GROUP_FIGURES = {
    "binary": ("auc", "accuracy", "recall", "false_positive_rate", "rows"),
    "multiclass": ("accuracy", "weighted_f1", "rows"),
    "regression": ("mae", "rmse", "rows"),
}


def run(paths: Paths, settings: Settings) -> str:
    """The job: model archive and holdout in, evaluation.json and predictions.parquet out.

    The champion's own archive runs it too, on the holdout of a run that may have other settings.
    """
    project = Project.of(settings, project_folder())
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        unpack(paths.input("model"), Path(folder))
        completed = complete(Path(folder), settings, project, paths.input("check").parent)
        code = code_files(project.folder.parent, Path(folder)) if packs_code() else {}
        if completed or code:
            pack(Path(folder), paths.output("package") / ARCHIVE, code)
        document = evaluate(
            settings,
            project,
            Path(folder),
            paths.input("holdout") / "rows.parquet",
            paths.output("evaluation"),
            checked=paths.input("check") / "schema.json",
        )
    if settings.bias.provider == "sagemaker":
        why_not = _for_clarify(paths, settings)
        if why_not:
            print(f"note: there is no dataset for Clarify: {why_not}")
    metrics = document["perennial"]["metrics"]
    for name, value in metrics.items():
        if value is not None and ":" not in name:
            print(f"{name}={value:.10g};")
    shown = ", ".join(f"{k} {v:.6g}" for k, v in list(metrics.items())[:4] if v is not None)
    return f"{document['perennial']['rows']:,} holdout rows: {shown}"


def _for_clarify(paths: Paths, settings: Settings) -> str:
    """Lay what Clarify reads beside the predictions; answer why not, if there is nothing."""
    # It rests on the bias job's module, which most evaluations have no use for.
    from jobs.clarify_data import write_dataset  # noqa: PLC0415

    folder, _, name = DATASET.partition("/")
    output = paths.output(folder)
    return write_dataset(
        settings,
        read_schema(paths.input("check") / "schema.json"),
        output,
        paths.input("holdout") / "rows.parquet",
        output / name,
    )


def evaluate(  # noqa: PLR0913  # a job's inputs and its output
    settings: Settings,
    project: Project,
    model_folder: Path,
    rows: Path,
    output: Path,
    *,
    checked: Path | None = None,
) -> dict[str, Any]:
    """Score the holdout and write the evaluation; answer it as a document.

    `checked` is the file of the schema that the holdout was checked by, if there is one.
    """
    schema = read_schema(model_folder / "schema.json")
    model = project.load(model_folder)
    try:
        table = pq.read_table(rows)
    except OSError:
        raise SettingsError(f"the job has no holdout rows at {rows}") from None
    known = read_schema(checked) if checked is not None and checked.exists() else None
    table, foreign = fit(schema, table, known)
    began = time.monotonic()
    scores = predict(project, model, schema, table)
    seconds = time.monotonic() - began
    labels = schema.labels(table)
    metrics: Figures = figures(schema.problem, labels, scores)
    for facet in settings.facets:
        if facet.column in table.column_names:
            metrics |= group_figures(schema, facet, table, labels, scores)
    measured = measure(project, model, schema, table, model_folder)
    metrics["latency_p99_ms"] = measured["latency_ms"]["p99"]
    metrics["model_mb"] = measured["model_bytes"] / MEGABYTE
    classes = () if schema.problem == "regression" else schema.classes
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = statistics(schema.problem, labels, scores, classes, {"evaluation_time": now})
    document["perennial"] = {
        "rows": table.num_rows,
        "problem": schema.problem,
        "metrics": metrics,
        "threshold": THRESHOLD if schema.problem == "binary" else None,
        "seconds_per_1000_rows": 1000 * seconds / max(table.num_rows, 1),
        "foreign": foreign,
        **measured,
        **shapes(schema.problem, labels, scores),
    }
    write_predictions(output / "predictions.parquet", table.column(ROW), labels, scores)
    write_json(output / "evaluation.json", document)
    return document


def measure(
    project: Project, model: Any, schema: TrainingSchema, table: pa.Table, folder: Path
) -> dict[str, Any]:
    """How long one request takes, from its JSON values on; size and digests; what training told.

    Raises `ModelError` when the project's predict_row and predict disagree.
    """
    sample = table.slice(0, LATENCY_ROWS).select([column.name for column in schema.features])
    rows = [plain(row) for row in sample.to_pylist()]
    # A level that an open column never saw is a missing value there too; ranges are not judged.
    lenient = replace(
        schema,
        columns=tuple(replace(c, minimum=None, maximum=None) for c in schema.columns),
    )

    scorer = Scorer(project, model, lenient)
    scorer.check_rows(rows)
    spent = latency(lambda row: scorer.scores([row]), rows)
    found: dict[str, Any] = {
        "latency_ms": spent,
        "model_bytes": size_of(folder),
        # What the server holds its own files against.
        "model_files": model_digest(folder),
        "code_files": code_digest(project.folder.parent),
    }
    learning = folder / "learning.json"
    if learning.exists():
        told = read_json(learning)
        found["learning"] = {"rounds": told.get("rounds", [])}
        found["gap"] = told.get("gap")
    return found


def shapes(
    problem: str, labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """How well scores mean what they say: calibration of a binary problem, errors of values."""
    if problem == "binary":
        return {"calibration": calibration(labels, scores)}
    if problem == "regression":
        return {"residuals": residuals(labels, scores)}
    return {}


def predict(
    project: Project, model: Any, schema: TrainingSchema, table: pa.Table
) -> np.ndarray[Any, Any]:
    """The scores of raw rows, batch by batch, through the same casting as a request's."""
    parts = []
    for batch in table.to_batches(BATCH_ROWS):
        part = pa.Table.from_batches([batch])
        parts.append(project.predict(model, project.prepare(schema.frame(part))))
    if not parts:
        raise SettingsError("the holdout has no rows")
    return np.concatenate(parts)


def group_figures(
    schema: TrainingSchema,
    facet: Facet,
    table: pa.Table,
    labels: np.ndarray[Any, Any],
    scores: np.ndarray[Any, Any],
) -> Figures:
    """The figures of each group of a facet, named `auc:sex=Female`."""
    groups = group_of_rows(facet, table.column(facet.column).to_pandas())
    found: Figures = {}
    for group in dict.fromkeys([*facet.groups(), *sorted(set(groups))]):
        rows = groups == group
        if not rows.any():
            continue
        all_figures = figures(schema.problem, labels[rows], scores[rows])
        for name in GROUP_FIGURES[schema.problem]:
            found[facet_metric(name, facet.column, group)] = all_figures[name]
    return found


def group_of_rows(facet: Facet, values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """The name of each row's group; rows without a value are a group of their own."""
    absent = values.isna().to_numpy()
    if facet.edges:
        numbers = values.astype("float64").to_numpy()
        places = np.digitize(np.where(absent, 0, numbers), facet.edges)
        names = np.array(facet.groups(), dtype=object)[places]
    else:
        names = values.astype(str).to_numpy(dtype=object)
    names[absent] = MISSING_GROUP
    return names


def write_predictions(
    path: Path, rows: Any, labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]
) -> None:
    """Each row's identity, label and score (one column per class for multiclass)."""
    columns: dict[str, Any] = {ROW: rows, "label": labels}
    if scores.ndim == 1:
        columns["score"] = scores
    else:
        columns |= {f"score_{code}": scores[:, code] for code in range(scores.shape[1])}
    pq.write_table(pa.table(columns), path)
