"""Tests a version on its staging endpoint before production: replays rows and requests, measures.

Reads target.json (what to call, and the bounds), the holdout of the version's own run and what its
evaluation predicted for those rows; writes smoke_test.json. All checks must pass; only broken
inputs, or a call that AWS refuses, fail the job itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from perennial.domain.settings import Settings

from jobs.casting import ROW
from jobs.check_data import write_json
from jobs.compare import read_table
from jobs.failures import SettingsError
from jobs.invoking import Caller, Request
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.smoke_checks import JSON, Row, SmokeTest, Target


def run(paths: Paths, settings: Settings) -> str:
    """The job: holdout and evaluation in, smoke_test.json out."""
    target = Target.from_json(read_json(paths.input("target") / "target.json"))
    rows = holdout_rows(
        read_table(paths.input("holdout") / "rows.parquet"),
        read_table(paths.input("evaluation") / "predictions.parquet"),
        settings,
        target.rows,
    )
    document = SmokeTest(Caller(), target, settings.problem).test(rows)
    write_json(paths.output("smoke_test") / "smoke_test.json", document)
    for check in document["checks"]:
        print(f"{'passed' if check['passed'] else 'NOT PASSED'}: {check['words']}")
    return str(document["words"])


def holdout_rows(
    holdout: pa.Table, predictions: pa.Table, settings: Settings, most: int
) -> list[Row]:
    """Up to `most` rows, evenly from the whole holdout, in the order that evaluation kept."""
    if holdout.column(ROW).to_pylist() != predictions.column(ROW).to_pylist():
        raise SettingsError("the evaluation's predictions are not of this holdout's rows")
    names = [name for name in predictions.column_names if name.startswith("score_")]
    columns = [f"score_{code}" for code in range(len(names))] or ["score"]
    picked = np.linspace(0, holdout.num_rows - 1, min(most, holdout.num_rows)).astype(int)
    features = [c for c in holdout.column_names if c != settings.label and not c.startswith("__")]
    rows = holdout.select(features).take(picked).to_pylist()
    scores = predictions.select(columns).take(picked).to_pylist()
    return [
        Row(
            Request(json.dumps({"instances": [_plain(row)]}).encode(), JSON),
            tuple(float(score[name]) for name in columns),
        )
        for row, score in zip(rows, scores, strict=True)
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a client sends it: dates and times as text, what is no number as nothing."""
    found = {}
    for name, value in row.items():
        is_gap = value is None or (isinstance(value, float) and not math.isfinite(value))
        found[name] = (
            None if is_gap else value.isoformat() if hasattr(value, "isoformat") else value
        )
    return found
