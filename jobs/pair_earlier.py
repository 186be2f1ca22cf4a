"""Holds an earlier version against the live one on the labelled rows of a window; pair.json.

The earlier version's own code has scored the rows in this very container (step `evaluate`); what
the live version lost on each of them stands beside the rows. Errors are on the scale of the
retrain policy (docs/retrain-policy.md): the share of wrong answers, or the root mean squared error
÷ the labels' standard deviation.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from perennial.domain.settings import Settings

from jobs.casting import ROW
from jobs.check_data import write_json
from jobs.compare import Predictions, identities, read_table
from jobs.failures import SettingsError
from jobs.paths import Paths
from jobs.window_rows import FILE, LOSS, losses_of

Array = np.ndarray[Any, Any]

VERSION = 1


def run(paths: Paths, settings: Settings) -> str:
    """The job's second half: predictions and the window's rows in, pair.json out."""
    found = pair(settings.problem, paths.output("evaluation"), paths.input("holdout") / FILE)
    write_json(paths.output("pair") / "pair.json", found)
    return (
        f"{found['rows']:,} rows: this version errs {found['error']:.4g}, the live one "
        f"{found['live']:.4g}"
    )


def pair(problem: str, evaluation: Path, rows: Path) -> dict[str, Any]:
    """Both errors on the same rows, their difference and its spread by row, as pair.json has it.

    Raises `SettingsError` when the predictions are not those of the rows.
    """
    scored = Predictions.read(evaluation)
    live = live_losses(rows, scored.rows)
    return paired(problem, scored.labels, live, losses_of(problem, scored.labels, scored.scores))


def live_losses(path: Path, wanted: Array) -> Array:
    """The live version's losses by these identities, which are in order; raises `SettingsError`."""
    table = read_table(path)
    if not {ROW, LOSS} <= set(table.column_names):
        raise SettingsError(f"{path} holds no rows of a window: {', '.join(table.column_names)}")
    known = identities(table)
    order = np.argsort(known, kind="stable")
    if not np.array_equal(known[order], wanted):
        raise SettingsError("the predictions are not those of the window's rows")
    return np.asarray(table.column(LOSS).to_numpy()[order])


def paired(problem: str, labels: Array, live: Array, other: Array) -> dict[str, Any]:
    """The figures of two versions' losses on the same rows."""
    difference = live - other
    if problem == "regression":
        variance = float(np.var(labels))
        if not variance:
            raise SettingsError("all labels of the window are one number, so no error can be told")
        errors = [math.sqrt(float(each.mean()) / variance) for each in (live, other)]
        # The difference of two roots, linearly: (a - b) / (sqrt(a) + sqrt(b)).
        scale = variance * sum(errors)
    else:
        errors, scale = [float(live.mean()), float(other.mean())], 1.0
    return {
        "version": VERSION,
        "rows": len(live),
        "live": errors[0],
        "error": errors[1],
        "gain": errors[0] - errors[1],
        "spread": float(difference.std()) / scale if scale else 0.0,
    }
