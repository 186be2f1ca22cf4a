"""Compares the candidate with the champion on the same holdout rows; writes comparison.json.

Both were scored by their own code in jobs of their own. Here their predictions are joined by the
rows' identities, and jobs/engine/comparison.py says how sure the difference is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.comparison import direction, judge_champion, signed
from perennial.domain.settings import Comparison, Settings
from perennial.domain.verdict import HEADLINES

from jobs.casting import ROW
from jobs.check_data import write_json
from jobs.engine.comparison import KEPT_OF_DETAILS, Paired, compare, compare_windows
from jobs.failures import DataError, SettingsError
from jobs.paths import Paths
from jobs.run_step import read_json

Array = np.ndarray[Any, Any]

LANDED = "__landed"


@dataclass(frozen=True)
class Predictions:
    """One predictions.parquet in the order of its rows' identities.

    Equal identities, which data without identity columns may have, keep the holdout's order.
    """

    rows: Array
    labels: Array
    scores: Array

    @classmethod
    def read(cls, folder: Path) -> Predictions:
        """Read the file below a folder; raises `SettingsError` when it is missing or foreign."""
        path = folder / "predictions.parquet"
        table = read_table(path)
        names = [name for name in table.column_names if name.startswith("score_")]
        columns = [f"score_{code}" for code in range(len(names))] or ["score"]
        if not {ROW, "label", *columns} <= set(table.column_names):
            raise SettingsError(f"{path} holds no predictions: {', '.join(table.column_names)}")
        scores = np.stack([table.column(name).to_numpy() for name in columns], axis=1)
        rows = identities(table)
        order = np.argsort(rows, kind="stable")
        return cls(
            rows[order],
            table.column("label").to_numpy()[order],
            (scores if names else scores[:, 0])[order],
        )


def run(paths: Paths, settings: Settings) -> str:
    """The job: both models' evaluations and the holdout in, comparison.json out."""
    asked = settings.comparison or Comparison(HEADLINES[settings.problem][0])
    document = compare_predictions(
        asked, paths.input("evaluation"), paths.input("champion"), paths.input("holdout")
    )
    write_json(paths.output("comparison") / "comparison.json", document)
    for name in ("candidate", "champion", "difference", "lower"):
        if document[name] is not None:
            print(f"{name}={document[name]:.10g};")
    return judge_champion(document, asked).words


def compare_predictions(
    settings: Comparison, candidate: Path, champion: Path, holdout: Path
) -> dict[str, Any]:
    """The content of comparison.json.

    Raises `SettingsError` for predictions of different rows and `DataError` for scores that are
    no numbers. Models of different classes or problems are no error: `incompatible` says so.
    """
    mine, theirs = Predictions.read(candidate), Predictions.read(champion)
    check_rows(mine.rows, theirs.rows)
    landed = read_landed(holdout / "rows.parquet", mine.rows)
    problem, other = (_problem(folder) for folder in (candidate, champion))
    reasons = incompatible(problem, other, mine, theirs)
    document: dict[str, Any] = {"unmatched": 0, "incompatible": reasons, "changes": []}
    document["labels"] = {
        "oldest_ms": int(landed.min()) if landed is not None and len(landed) else None,
        "newest_ms": int(landed.max()) if landed is not None and len(landed) else None,
    }
    if reasons:
        return {**document, **_without_figures(settings, len(mine.rows))}
    try:
        pair = Paired(problem, mine.labels, mine.scores, theirs.scores)
    except ValueError as error:
        raise DataError(f"the predictions cannot be compared: {error}") from None
    document |= compare(pair, settings)
    document["windows"] = compare_windows(pair, landed, settings)
    document["changes"] = changes(document["metrics"])
    return document


def check_rows(mine: Array, theirs: Array) -> None:
    """Raise `SettingsError` unless two sorted lists of identities are the same."""
    if np.array_equal(mine, theirs):
        return
    apart = []
    for whose, rows, others in (("candidate", mine, theirs), ("champion", theirs, mine)):
        known, counts = np.unique(rows, return_counts=True)
        left, right = (np.searchsorted(others, known, side) for side in ("left", "right"))
        apart.append(f"{int(np.maximum(counts - (right - left), 0).sum()):,} of the {whose}'s")
    raise SettingsError(
        f"{' and '.join(apart)} predictions have no partner: both models must be scored on the "
        "holdout of this run"
    )


def read_landed(path: Path, rows: Array) -> Array | None:
    """When each predicted row landed (ms), or None when the holdout does not say so."""
    table = read_table(path, (ROW, LANDED))
    if LANDED not in table.column_names:
        return None
    known = identities(table)
    order = np.argsort(known, kind="stable")
    if not np.array_equal(known[order], rows):
        raise SettingsError("the predictions are not those of the holdout's rows")
    landed = table.column(LANDED)
    if landed.null_count:
        raise SettingsError(f"{landed.null_count:,} rows of the holdout have no {LANDED}")
    return np.asarray(landed.to_numpy(), dtype=np.int64)[order]


def incompatible(problem: str, other: str, mine: Predictions, theirs: Predictions) -> list[str]:
    """Why the two models' scores do not speak of the same thing, in words; empty when they do."""
    if problem != other:
        return [f"the candidate's problem is {problem}, the champion's is {other}"]
    if mine.scores.shape != theirs.scores.shape:
        numbers = [1 if s.ndim == 1 else s.shape[1] for s in (mine.scores, theirs.scores)]
        return [f"the candidate scores {numbers[0]} classes, the champion {numbers[1]}"]
    differing = int((mine.labels != theirs.labels).sum())
    if differing:
        what = "label" if problem == "regression" else "class"
        words = (
            f"the champion reads another {what} than the candidate in {differing:,} of "
            f"{len(mine.labels):,} rows: its classes, their order or its positive one differ"
        )
        return [words]
    return []


def changes(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """The figures that differ beyond chance, in words: their interval excludes 0."""
    words = []
    for name, entry in metrics.items():
        interval = entry["interval"]
        if interval is None or interval[0] <= 0 <= interval[1]:
            continue
        better = "better" if interval[0] > 0 else "worse"
        moved = signed(direction(name) * entry["difference"])
        words.append(f"{name} is {better}: {moved}")
    return words


def _without_figures(settings: Comparison, rows: int) -> dict[str, Any]:
    return {
        "version": 1,
        "metric": settings.metric,
        "rows": rows,
        **dict.fromkeys((*KEPT_OF_DETAILS, "lower", "better_share")),
        "confidence": 1 - settings.significance,
        "margin": settings.margin,
        "significance": settings.significance,
        "draws": 0,
        "seed": 0,
        "windows": [],
        "metrics": {},
    }


def _problem(folder: Path) -> str:
    document = read_json(folder / "evaluation.json")
    try:
        return str(document["perennial"]["problem"])
    except (KeyError, TypeError):
        raise SettingsError(f"{folder / 'evaluation.json'} is no evaluation") from None


def identities(table: pa.Table) -> Array:
    """The identities of a table's rows, as bytes that sort fast."""
    return np.array(table.column(ROW).to_pylist(), dtype="S32")


def read_table(path: Path, columns: tuple[str, ...] = ()) -> pa.Table:
    """A Parquet file, or those of the named columns that it has."""
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            return file.read(names or None)
    except (OSError, pa.ArrowInvalid):
        raise SettingsError(f"the job has no readable table at {path}") from None
