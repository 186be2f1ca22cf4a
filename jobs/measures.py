"""What an evaluation measures of a model beyond its figures: speed, size, calibration, errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LATENCY_ROWS = 200
WARM_UP = 3
#: A slow model is timed on fewer rows.
MOST_SECONDS = 20.0
MEGABYTE = 1_000_000
BINS = 10
RESIDUAL_BINS = 20
#: What the rows without a value of a facet are called.
MISSING_GROUP = "missing"


def latency(
    score: Callable[[Mapping[str, Any]], object], rows: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Milliseconds that one request takes, at the median and the 99th percentile.

    The first rows only warm up. Percentiles are the nearest above (no interpolation), so that
    the slowest request of few shows.
    """
    for row in rows[:WARM_UP]:
        score(row)
    spent: list[float] = []
    deadline = time.perf_counter() + MOST_SECONDS
    for row in rows:
        began = time.perf_counter()
        if began > deadline and spent:
            break
        score(row)
        spent.append(1000 * (time.perf_counter() - began))
    p50, p99 = (float(np.percentile(spent, share, method="higher")) for share in (50, 99))
    return {"p50": p50, "p99": p99, "rows": len(spent)}


def size_of(folder: Path) -> int:
    """The bytes of all files of an unpacked model."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def calibration(labels: Array, scores: Array) -> list[dict[str, float]]:
    """Binary scores in ten bins of equal width: mean score beside the share of positives.

    The last bin takes a score of 1; bins without rows are left out.
    """
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        rows = place == number
        if rows.any():
            bins.append(
                {
                    "from": number / BINS,
                    "to": (number + 1) / BINS,
                    "rows": int(rows.sum()),
                    "mean_score": float(scores[rows].mean()),
                    "share": float(labels[rows].mean()),
                }
            )
    return bins


def residuals(labels: Array, scores: Array) -> dict[str, Any]:
    """A histogram of predicted minus actual values in 20 bins of equal width, and quantiles."""
    errors = scores - labels
    counts, edges = np.histogram(errors, bins=RESIDUAL_BINS)
    low, median, high = (float(np.quantile(errors, share)) for share in (0.05, 0.5, 0.95))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "mean": float(errors.mean()),
        "p5": low,
        "p50": median,
        "p95": high,
    }
