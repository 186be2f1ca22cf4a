"""Completes a model archive that a container of its own made with what our own training adds.

AWS's algorithms and own images write the model alone. Servers, later evaluations and explanations
need the schema that requests are cast to, with the encoding of its columns, beside it.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from perennial.domain.settings import Settings
from perennial.domain.training_job import reads_tables

from jobs.casting import read_schema
from jobs.check_data import write_json
from jobs.contract import BACKGROUND_FILE, Project
from jobs.failures import SettingsError
from jobs.train import FORMAT, write_background

MOST_ROWS = 10_000


def complete(folder: Path, settings: Settings, project: Project, checked: Path) -> bool:
    """Add schema, settings and metadata to an unpacked model; False: it has them already.

    `checked` is the folder of the run's check, by whose schema its training rows were made. Raises
    `SettingsError` for an archive of our own training that lacks its schema.
    """
    if (folder / "schema.json").exists() and (folder / "metadata.json").exists():
        return False
    if not reads_tables(settings.train):
        raise SettingsError("the model archive has no schema.json; it was not made by our training")
    schema = read_schema(checked / "check" / "schema.json")
    rows = pq.read_table(checked / "holdout" / "rows.parquet").slice(0, MOST_ROWS)
    # Training rows are not at hand here; to servers any rows are as good to compare with.
    write_background(project.prepare(schema.frame(rows)), folder / BACKGROUND_FILE)
    write_json(folder / "schema.json", schema.to_json())
    metadata = {
        "format": FORMAT,
        "model": settings.project,
        "problem": settings.problem,
        "hyperparameters": settings.train.parameters(),
        "algorithm": settings.train.algorithm,
        "image": settings.train.image,
    }
    write_json(folder / "metadata.json", metadata)
    write_json(folder / "settings.json", settings.to_json())
    return True
