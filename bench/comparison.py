"""The paired bootstrap: 10,000 draws of 100,000 rows, beside a plain numpy row bootstrap.

    .venv/bin/python -m bench.comparison

The plain one draws the rows, computes both models' figure again and subtracts. It is given far
fewer draws and its seconds are scaled up to 10,000; each line says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from perennial.domain.comparison import direction
from perennial.domain.settings import Comparison

from bench.common import report, timed
from jobs.engine.comparison import Paired, compare, draw_differences
from jobs.model_quality import auc, multiclass_figures

ROWS = 100_000
DRAWS = 10_000
PLAIN_DRAWS = 20
FIGURES_TIMED = {
    "binary": ("auc", "f1", "log_loss"),
    "multiclass": ("weighted_f1",),
    "regression": ("rmse",),
}


def make_pair(problem: str) -> Paired:
    """Draw labels and two noisy models' scores."""
    random = np.random.default_rng(0)
    if problem == "regression":
        values = random.normal(size=ROWS)
        mine, theirs = (values + random.normal(size=ROWS) for _ in range(2))
        return Paired(problem, values, mine, theirs)
    classes = 2 if problem == "binary" else 5
    labels = random.integers(0, classes, ROWS)
    if problem == "binary":
        mine, theirs = (np.clip(0.3 * labels + 0.7 * random.random(ROWS), 0, 1) for _ in range(2))
        return Paired(problem, labels, mine, theirs)
    right = np.eye(classes)[labels]
    mine, theirs = (random.dirichlet(np.ones(classes), ROWS) + 0.3 * right for _ in range(2))
    return Paired(problem, labels, mine / 1.3, theirs / 1.3)


def f1(labels: Any, scores: Any) -> float:
    """Compute F1 and nothing else."""
    predicted = scores >= 0.5
    right = float((predicted & (labels == 1)).sum())
    return 2 * right / float(predicted.sum() + labels.sum())


def log_loss(labels: Any, scores: Any) -> float:
    """Compute the log loss and nothing else."""
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    return -float(np.mean(np.where(labels == 1, np.log(clipped), np.log(1 - clipped))))


def weighted_f1(labels: Any, scores: Any) -> float:
    """Compute the classes' F1, weighted by their rows."""
    return multiclass_figures(labels, scores)["weighted_f1"] or 0.0


def rmse(labels: Any, scores: Any) -> float:
    """Compute the root mean squared error and nothing else."""
    return float(np.sqrt(np.mean((scores - labels) ** 2)))


PLAIN = {"auc": auc, "f1": f1, "log_loss": log_loss, "weighted_f1": weighted_f1, "rmse": rmse}


def plain(pair: Paired, name: str, draws: int) -> list[float]:
    """Draw rows and compute the figure of both models anew, draw by draw."""
    random, figure = np.random.default_rng(1), PLAIN[name]
    found = []
    for _ in range(draws):
        rows = random.integers(0, ROWS, ROWS)
        labels = pair.labels[rows]
        mine, theirs = (figure(labels, of[rows]) for of in (pair.candidate, pair.champion))
        found.append(direction(name) * ((mine or 0.0) - (theirs or 0.0)))
    return found


def main() -> None:
    """Print each figure's seconds beside the plain bootstrap's, scaled."""
    for problem, names in FIGURES_TIMED.items():
        pair = make_pair(problem)
        for name in names:
            ours = timed(lambda p=pair, n=name: draw_differences(p, [n], DRAWS))
            scaled = timed(lambda p=pair, n=name: plain(p, n, PLAIN_DRAWS)) * DRAWS / PLAIN_DRAWS
            report(
                f"{name} ({problem}), {DRAWS:,} draws of {ROWS:,} rows",
                ours,
                f"plain row bootstrap, scaled from {PLAIN_DRAWS} draws",
                scaled,
            )
    pair = make_pair("binary")
    whole = timed(lambda: compare(pair, Comparison("auc")))
    print(f"the whole comparison.json of {ROWS:,} rows by auc: {whole:.1f} s")


if __name__ == "__main__":
    main()
