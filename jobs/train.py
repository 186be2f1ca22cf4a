"""Trains the candidate on the prepared rows and writes what the model's archive holds."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from perennial.domain.holdout import in_validation
from perennial.domain.settings import Settings

from jobs.casting import ROW, TrainingSchema, read_schema, restore_prepared
from jobs.check_data import write_json
from jobs.contract import Project, project_folder
from jobs.failures import SettingsError
from jobs.model_quality import figures
from jobs.paths import Paths
from jobs.run_step import read_json

FORMAT = 1


def run(paths: Paths, settings: Settings) -> str:
    """The job: channels training, check and settings in, the model folder out."""
    schema = read_schema(paths.channel("check") / "schema.json")
    parameters = settings.train.parameters() | job_hyperparameters(paths.hyperparameters)
    settings = replace(
        settings, train=replace(settings.train, hyperparameters=tuple(parameters.items()))
    )
    project = Project(project_folder(), settings.project, settings.problem, settings.label)
    rows = paths.channel("training") / "rows.parquet"
    metrics = train(settings, project, schema, rows, paths.model)
    print_figures(metrics)
    return ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())


def job_hyperparameters(path: Path) -> dict[str, Any]:
    """What this job alone was given (by a tuning job, say), over the settings' values.

    SageMaker hands every value over as text; a text that is JSON is read as such.
    """
    if not path.exists():
        return {}
    given = {}
    for name, value in read_json(path).items():
        if name.startswith(("sagemaker_", "_tuning_")) or name == "step":
            continue
        try:
            given[name] = json.loads(value)
        except (TypeError, ValueError):
            given[name] = value
    return given


def train(
    settings: Settings, project: Project, schema: TrainingSchema, rows: Path, folder: Path
) -> dict[str, float]:
    """Train, save, load again and compare.

    Answer the figures on the validation rows, and as `rows` how many were learned from.
    """
    learn, watch = read_rows(rows, settings, schema)
    # One seed for every generator that a library may fall back on.
    random.seed(settings.train.seed)
    np.random.seed(settings.train.seed)  # libraries use the global generator
    given = {"seed": settings.train.seed, **settings.train.parameters()}
    model = project.train(learn.copy(), watch.copy(), given)
    project.save(model, folder)
    features = [name for name, _, _ in schema.prepared]
    loaded = project.check_saved(model, folder, learn[features])
    write_json(folder / "schema.json", schema.to_json())
    metadata = {
        "format": FORMAT,
        "model": settings.project,
        "problem": settings.problem,
        "hyperparameters": given,
        "rows": {"training": len(learn), "validation": len(watch)},
    }
    write_json(folder / "metadata.json", metadata)
    write_json(folder / "settings.json", settings.to_json())
    metrics = {"rows": float(len(learn))}
    if len(watch):
        scores = project.predict(loaded, watch[features])
        found = figures(settings.problem, watch[schema.label].to_numpy(), scores)
        metrics = {name: value for name, value in found.items() if value is not None} | metrics
    return metrics


def read_rows(
    path: Path, settings: Settings, schema: TrainingSchema
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The prepared rows with their label, split into those to learn from and those to watch."""
    try:
        table = pq.read_table(path)
    except OSError:
        raise SettingsError(f"the job has no training rows at {path}") from None
    frame = restore_prepared(table, schema)
    frame[schema.label] = table.column(schema.label).to_numpy()
    share = settings.train.validation
    watch = np.array(
        [in_validation(row, share) for row in table.column(ROW).to_pylist()], dtype=bool
    )
    return frame[~watch].reset_index(drop=True), frame[watch].reset_index(drop=True)


def print_figures(metrics: dict[str, float]) -> None:
    """Print each figure as `name=value;`, the form that the job's metric definitions read."""
    for name, value in metrics.items():
        print(f"{name}={value:.10g};", flush=True)
