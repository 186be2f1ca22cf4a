"""Runs in the jobs' environment: writes a small run's files below a job's folder."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import parse_settings

from jobs.casting import Caster, TrainingSchema
from jobs.check_data import write_json
from jobs.model_quality import statistics

SETTINGS: dict[str, Any] = {
    "problem": "binary",
    "label": "paid",
    "positive": "yes",
    "data": {
        "header": True,
        "columns": {
            "age": {"type": "int"},
            "share": {"type": "float", "required": False},
            "job": {"type": "category", "open": True, "required": False},
            "member": {"type": "bool"},
            "since": {"type": "date"},
            "words": {"type": "string"},
            "never": {"type": "float", "required": False},
            "paid": {"type": "category", "levels": ["no", "yes"]},
        },
    },
}
JOBS = ("cook", "driver", None, "cook", "baker", "cook")


def rows(count: int) -> pa.Table:
    """So many rows, the same each time."""
    number = np.arange(count)
    columns: dict[str, Any] = {
        "age": pa.array(20 + number * 7 % 50, pa.int64()),
        "share": pa.array([None if i % 5 == 4 else i / 4 - 1 for i in range(count)], pa.float64()),
        "job": pa.array([JOBS[i % len(JOBS)] for i in range(count)], pa.string()),
        "member": pa.array([i % 3 == 0 for i in range(count)], pa.bool_()),
        "since": pa.array([date(2024, 1 + i % 2, 1) for i in range(count)], pa.date32()),
        "words": pa.array([f"free text {i}" for i in range(count)], pa.string()),
        "never": pa.array([None] * count, pa.float64()),
        "paid": pa.array(["yes" if i % 2 else "no" for i in range(count)], pa.string()),
        "__row": pa.array([f"{i:032x}" for i in range(count)], pa.string()),
    }
    return pa.table(columns)


def main(base: Path, count: int) -> None:
    """Write the inputs of the baseline step, without edits."""
    settings = parse_settings(SETTINGS, project="shop")
    caster = Caster(settings)
    caster.levels[2] |= {"cook", "driver", "baker", "pilot"}  # one that only training rows had
    schema = TrainingSchema.of(settings, caster.levels)
    inputs = base / "processing" / "input"
    for name in ("check", "settings", "holdout", "evaluation"):
        (inputs / name).mkdir(parents=True, exist_ok=True)
    write_json(inputs / "check" / "schema.json", schema.to_json())
    write_json(inputs / "settings" / "settings.json", settings.to_json())
    pq.write_table(rows(count), inputs / "holdout" / "rows.parquet")
    random = np.random.default_rng(count)
    labels = random.integers(0, 2, 400)
    scores = np.clip(labels * 0.4 + random.random(400) * 0.6, 0, 1)
    times = {"evaluation_time": "2026-01-01T00:00:00Z"}
    document = statistics("binary", labels, scores, ("no", "yes"), times)
    document["perennial"] = {"rows": 400, "threshold": 0.5, "metrics": {}}
    write_json(inputs / "evaluation" / "evaluation.json", document)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
