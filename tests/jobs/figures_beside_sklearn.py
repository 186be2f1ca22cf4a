"""Runs in the jobs' environment: our figures beside scikit-learn's, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import sklearn.metrics as skm

from jobs.kept import last_of_each
from jobs.model_quality import figures


def binary(random: np.random.Generator) -> list[Any]:
    """Scores with ties, and both sets of figures."""
    labels = random.integers(0, 2, 500)
    scores = np.round(np.clip(labels * 0.3 + random.random(500) * 0.7, 0, 1), 2)
    predicted = scores >= 0.5
    theirs = {
        "auc": skm.roc_auc_score(labels, scores),
        "accuracy": skm.accuracy_score(labels, predicted),
        "precision": skm.precision_score(labels, predicted),
        "recall": skm.recall_score(labels, predicted),
        "f0_5": skm.fbeta_score(labels, predicted, beta=0.5),
        "f1": skm.f1_score(labels, predicted),
        "f2": skm.fbeta_score(labels, predicted, beta=2),
        "log_loss": skm.log_loss(labels, np.clip(scores, 1e-15, 1 - 1e-15)),
        "brier": skm.brier_score_loss(labels, scores),
    }
    return [figures("binary", labels, scores), theirs]


def multiclass(random: np.random.Generator) -> list[Any]:
    """Four classes of different sizes, one of them never predicted."""
    labels = random.choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    scores = random.random((500, 4)) + np.eye(4)[labels] * 0.4
    scores[:, 3] = 0.01
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    kinds = {"average": "weighted", "zero_division": 0}
    theirs = {
        "accuracy": skm.accuracy_score(labels, predicted),
        "weighted_precision": skm.precision_score(labels, predicted, **kinds),
        "weighted_recall": skm.recall_score(labels, predicted, **kinds),
        "weighted_f0_5": skm.fbeta_score(labels, predicted, beta=0.5, **kinds),
        "weighted_f1": skm.f1_score(labels, predicted, **kinds),
        "weighted_f2": skm.fbeta_score(labels, predicted, beta=2, **kinds),
        "log_loss": skm.log_loss(labels, scores),
    }
    return [figures("multiclass", labels, scores), theirs]


def regression(random: np.random.Generator) -> list[Any]:
    """A noisy line."""
    labels = random.normal(size=500)
    scores = labels + random.normal(size=500) * 0.3
    theirs = {
        "mae": skm.mean_absolute_error(labels, scores),
        "mse": skm.mean_squared_error(labels, scores),
        "rmse": skm.root_mean_squared_error(labels, scores),
        "r2": skm.r2_score(labels, scores),
    }
    return [figures("regression", labels, scores), theirs]


def one_class() -> list[Any]:
    """Figures that are not defined."""
    labels, scores = np.ones(5, dtype=int), np.zeros(5)
    return [figures("binary", labels, scores), figures("regression", labels * 1.0, scores)]


def replaced(random: np.random.Generator) -> list[Any]:
    """Which rows stay when later ones replace earlier ones, and by plain Python."""
    rows = random.integers(0, 40, (300, 2)).astype(np.uint64)
    times = random.integers(0, 3, 300)
    by_time = sorted(range(300), key=lambda i: (times[i], i))
    last = {tuple(rows[i].tolist()): i for i in by_time}
    return [np.nonzero(last_of_each(rows, times))[0].tolist(), sorted(last.values())]


def main() -> None:
    """Print everything."""
    random = np.random.default_rng(7)
    found = {
        "binary": [binary(random) for _ in range(20)],
        "multiclass": [multiclass(random) for _ in range(20)],
        "regression": [regression(random) for _ in range(20)],
        "replaced": [replaced(random) for _ in range(20)],
        "one_class": one_class(),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
