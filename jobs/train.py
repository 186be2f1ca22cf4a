"""Trains the candidate on the prepared rows and writes what the model's archive holds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from perennial.domain.holdout import in_validation
from perennial.domain.settings import Settings
from perennial.domain.verdict import HEADLINES

from jobs.attribute import BACKGROUND
from jobs.casting import ROW, SOURCE, TrainingSchema, read_schema, restore_prepared
from jobs.check_data import write_json
from jobs.contract import BACKGROUND_FILE, SAMPLE_FILE, Project, project_folder
from jobs.failures import ModelError, SettingsError
from jobs.learning import LearningCurve
from jobs.model_quality import figures
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.scoring import Scorer, plain

FORMAT = 1
LEARNING_VERSION = 1
#: The gap to the validation rows is measured on so many of the rows that were learned from.
MOST_GAP_ROWS = 100_000


def run(paths: Paths, settings: Settings) -> str:
    """The job: channels training, check and settings in, the model folder out."""
    schema = read_schema(paths.channel("check") / "schema.json")
    parameters = settings.train.parameters() | job_hyperparameters(paths.hyperparameters)
    settings = replace(
        settings, train=replace(settings.train, hyperparameters=tuple(parameters.items()))
    )
    project = Project.of(settings, project_folder())
    rows = paths.channel("training") / "rows.parquet"
    kept = checkpoints_of(paths, settings)
    metrics = train(settings, project, schema, rows, paths.model, checkpoints=kept)
    print_figures(metrics)
    return ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())


def checkpoints_of(paths: Paths, settings: Settings) -> Path | None:
    """The folder kept across interruptions, made; None for a job that nothing interrupts."""
    if not settings.train.spot:
        return None
    paths.checkpoints.mkdir(parents=True, exist_ok=True)
    return paths.checkpoints


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


def train(  # noqa: PLR0913  # a job's inputs and its output
    settings: Settings,
    project: Project,
    schema: TrainingSchema,
    rows: Path,
    folder: Path,
    *,
    checkpoints: Path | None = None,
) -> dict[str, float]:
    """Train, save, load again and compare.

    Answer the figures on the validation rows, and as `rows` how many were learned from.
    """
    learn, watch, sources = read_rows(rows, settings, schema)
    # One seed for every generator that a library may fall back on.
    random.seed(settings.train.seed)
    np.random.seed(settings.train.seed)  # libraries use the global generator
    given = {"seed": settings.train.seed, **settings.train.parameters()}
    curve = LearningCurve()
    aids = {
        "weights": weights_of(sources, settings, project),
        "checkpoints": checkpoints,
        "report": curve,
    }
    model = project.train(learn.copy(), watch.copy(), given, aids)
    project.save(model, folder)
    features = [name for name, _, _ in schema.prepared]
    loaded = project.check_saved(model, folder, learn[features])
    check_row_path(Scorer(project, loaded, schema), rows.with_name(SAMPLE_FILE))
    write_background(learn[features], folder / BACKGROUND_FILE)
    write_json(folder / "schema.json", schema.to_json())
    metadata = {
        "format": FORMAT,
        "model": settings.project,
        "problem": settings.problem,
        "hyperparameters": given,
        "rows": {"training": len(learn), "validation": len(watch)},
        "sources": {name: int(count) for name, count in sources.value_counts().items()},
    }
    write_json(folder / "metadata.json", metadata)
    write_json(folder / "settings.json", settings.to_json())
    metrics = {"rows": float(len(learn))}
    learning: dict[str, Any] = {"version": LEARNING_VERSION, "rounds": curve.rounds}
    if len(watch):
        scores = project.predict(loaded, watch[features])
        found = figures(settings.problem, watch[schema.label].to_numpy(), scores)
        metrics = {name: value for name, value in found.items() if value is not None} | metrics
        learning["gap"] = gap_of(project, loaded, learn, schema, found)
    write_json(folder / "learning.json", learning)
    return metrics


def check_row_path(scorer: Scorer, sample: Path) -> None:
    """Raise `ModelError` unless a project's predict_row agrees with predict on some raw rows."""
    if scorer.has_row_path:
        scorer.check_rows([plain(row) for row in pq.read_table(sample).to_pylist()])


def write_background(prepared: pd.DataFrame, path: Path) -> None:
    """Keep a few prepared rows with the model, drawn evenly, for explanations."""
    places = np.linspace(0, len(prepared) - 1, min(BACKGROUND, len(prepared))).astype(int)
    table = pa.Table.from_pandas(prepared.iloc[places], preserve_index=False)
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):  # levels stand in schema.json
            table = table.set_column(place, field.name, pc.cast(table.column(place), pa.string()))
    pq.write_table(table, path)


def weights_of(sources: pd.Series[Any], settings: Settings, project: Project) -> pd.Series[Any]:
    """The weight of each row by its source; raises `ModelError` if train() would lose them."""
    weights = dict(settings.data.sources)
    if len(set(weights.values())) > 1 and not project.takes("weights"):
        named = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        raise ModelError(
            f"train() in model.py of {project.name} takes no weights, but data.sources weighs its "
            f"sources unequally ({named}). Add a parameter `weights` to train(), or give all "
            "sources one weight."
        )
    return sources.map(weights).fillna(1.0).astype("float64").rename("weight")


def gap_of(
    project: Project,
    model: Any,
    learn: pd.DataFrame,
    schema: TrainingSchema,
    validation: Mapping[str, float | None],
) -> dict[str, Any]:
    """The problem's first headline figure on rows that were learned from, and on the others."""
    metric = HEADLINES[schema.problem][0]
    sample = learn
    if len(learn) > MOST_GAP_ROWS:
        sample = learn.sample(MOST_GAP_ROWS, random_state=0)
    scores = project.predict(model, sample[[name for name, _, _ in schema.prepared]])
    found = figures(schema.problem, sample[schema.label].to_numpy(), scores)
    gap = {"metric": metric, "train": found[metric], "validation": validation[metric]}
    for part in ("train", "validation"):
        if gap[part] is not None:
            print(f"{part}_{metric}={gap[part]:.10g};", flush=True)
    return gap


def read_rows(
    path: Path, settings: Settings, schema: TrainingSchema
) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series[Any]]:
    """The prepared rows with their label, split into those to learn from and those to watch.

    The third answer is the source of each row to learn from.
    """
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
    sources = pd.Series(table.column(SOURCE).to_pylist(), dtype=object)
    learn = frame[~watch].reset_index(drop=True)
    return learn, frame[watch].reset_index(drop=True), sources[~watch].reset_index(drop=True)


def print_figures(metrics: dict[str, float]) -> None:
    """Print each figure as `name=value;`, the form that the job's metric definitions read."""
    for name, value in metrics.items():
        print(f"{name}={value:.10g};", flush=True)
