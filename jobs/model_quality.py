"""A model's figures in the layout of SageMaker Model Monitor's model-quality statistics.

Formulas are the usual ones (scikit-learn's, which the tests compare with). A figure that is not
defined, say precision without any positive prediction, is None, written "NaN" as AWS does.
Standard deviations are those of five samples of 80 % of the rows, from 200 rows on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Figures = dict[str, float | None]

SAMPLES = 5
SAMPLE_SHARE = 0.8
FEWEST_FOR_DEVIATION = 200
CURVE_POINTS = 101
THRESHOLD = 0.5
EPSILON = 1e-15


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _f_score(precision: float | None, recall: float | None, beta: float) -> float | None:
    if precision is None or recall is None:
        return None
    weight = beta * beta
    return _ratio((1 + weight) * precision * recall, weight * precision + recall) or 0.0


def auc(labels: Array, scores: Array) -> float | None:
    """Area under the ROC curve as the chance that a positive scores above a negative; ties half.

    None when one class is absent.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    ranks = upper - (counts - 1) / 2  # the mean rank of equal scores
    total = float(ranks[inverse][labels == 1].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def binary_figures(labels: Array, scores: Array, threshold: float = THRESHOLD) -> Figures:
    """Every figure of a binary problem; a score of `threshold` and more predicts the positive."""
    predicted = scores >= threshold
    actual = labels == 1
    tp, fp = int((predicted & actual).sum()), int((predicted & ~actual).sum())
    fn, tn = int((~predicted & actual).sum()), int((~predicted & ~actual).sum())
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    clipped = np.clip(scores, EPSILON, 1 - EPSILON)
    loss = -np.mean(np.where(actual, np.log(clipped), np.log(1 - clipped))) if len(labels) else None
    return {
        "auc": auc(labels, scores),
        "accuracy": _ratio(tp + tn, len(labels)),
        "precision": precision,
        "recall": recall,
        "f0_5": _f_score(precision, recall, 0.5),
        "f1": _f_score(precision, recall, 1),
        "f2": _f_score(precision, recall, 2),
        "true_positive_rate": recall,
        "true_negative_rate": _ratio(tn, tn + fp),
        "false_positive_rate": _ratio(fp, tn + fp),
        "false_negative_rate": _ratio(fn, tp + fn),
        "log_loss": None if loss is None else float(loss),
        "brier": float(np.mean((scores - actual) ** 2)) if len(labels) else None,
    }


def multiclass_figures(labels: Array, scores: Array) -> Figures:
    """Every figure of a multiclass problem; weighted ones weigh each class by its rows."""
    predicted = scores.argmax(axis=1) if len(scores) else np.empty(0, dtype=int)
    weighted = dict.fromkeys(("precision", "recall", "f0_5", "f1", "f2"), 0.0)
    for code in np.unique(labels):
        actual = labels == code
        tp = int((actual & (predicted == code)).sum())
        precision = _ratio(tp, int((predicted == code).sum())) or 0.0
        recall = tp / int(actual.sum())
        share = float(actual.mean())
        parts = {
            "precision": precision,
            "recall": recall,
            "f0_5": _f_score(precision, recall, 0.5),
            "f1": _f_score(precision, recall, 1),
            "f2": _f_score(precision, recall, 2),
        }
        for name, value in parts.items():
            weighted[name] += share * (value or 0.0)
    chosen = scores[np.arange(len(labels)), labels] if len(labels) else np.empty(0)
    return {
        "accuracy": _ratio(int((predicted == labels).sum()), len(labels)),
        **{f"weighted_{name}": value for name, value in weighted.items()},
        "log_loss": float(-np.mean(np.log(np.clip(chosen, EPSILON, 1)))) if len(labels) else None,
    }


def regression_figures(labels: Array, scores: Array) -> Figures:
    """Mean absolute, mean squared and root mean squared error, and R²."""
    if not len(labels):
        return {"mae": None, "mse": None, "rmse": None, "r2": None}
    errors = scores - labels
    mse = float(np.mean(errors**2))
    spread = float(np.sum((labels - labels.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(errors))),
        "mse": mse,
        "rmse": math.sqrt(mse),
        "r2": 1 - float(np.sum(errors**2)) / spread if spread else None,
    }


FIGURES: Mapping[str, Callable[[Array, Array], Figures]] = {
    "binary": binary_figures,
    "multiclass": multiclass_figures,
    "regression": regression_figures,
}


def figures(problem: str, labels: Array, scores: Array) -> Figures:
    """The figures of a problem, and how many rows they rest on."""
    return {**FIGURES[problem](labels, scores), "rows": float(len(labels))}


def deviations(problem: str, labels: Array, scores: Array, seed: int = 0) -> Figures:
    """The standard deviation of each figure over the samples; None below 200 rows."""
    if len(labels) < FEWEST_FOR_DEVIATION:
        return dict.fromkeys(FIGURES[problem](labels, scores), None)
    random = np.random.default_rng(seed)
    size = int(len(labels) * SAMPLE_SHARE)
    samples = []
    for _ in range(SAMPLES):
        rows = random.choice(len(labels), size, replace=False)
        samples.append(FIGURES[problem](labels[rows], scores[rows]))
    spread: Figures = {}
    for name in samples[0]:
        values = [value for sample in samples if (value := sample[name]) is not None]
        spread[name] = float(np.std(values)) if len(values) == SAMPLES else None
    return spread


def statistics(
    problem: str, labels: Array, scores: Array, classes: tuple[str, ...], times: Mapping[str, str]
) -> dict[str, Any]:
    """The whole document in AWS's layout; `times` are the dataset's time keys."""
    spread = deviations(problem, labels, scores)
    constant = constant_scores(problem, labels, len(classes))
    section = _with_deviation(FIGURES[problem](labels, scores), spread)
    best = _with_deviation(
        FIGURES[problem](labels, constant), deviations(problem, labels, constant), constant=True
    )
    document: dict[str, Any] = {**section, **best}
    if problem == "regression":
        document = section
    else:
        document["confusion_matrix"] = confusion_matrix(problem, labels, scores, classes)
    if problem == "binary":
        document.update(curves(labels, scores))
    name = f"{problem}_metrics" if problem == "regression" else f"{problem}_classification_metrics"
    return {
        "version": 0.0,
        "dataset": {"item_count": len(labels), **times},
        name: document,
    }


def _with_deviation(
    values: Figures, spread: Figures, *, constant: bool = False
) -> dict[str, dict[str, Any]]:
    suffix = "_best_constant_classifier" if constant else ""
    return {
        name + suffix: {
            "value": _number(value),
            "standard_deviation": _number(spread.get(name)),
        }
        for name, value in values.items()
    }


def _number(value: float | None) -> float | str:
    return "NaN" if value is None or not math.isfinite(value) else value


def constant_scores(problem: str, labels: Array, classes: int) -> Array:
    """The scores of the best model that looks at nothing: it always names the commonest class."""
    if problem == "regression":
        return np.full(len(labels), labels.mean() if len(labels) else 0.0)
    commonest = int(np.bincount(labels, minlength=classes).argmax()) if len(labels) else 0
    if problem == "binary":
        return np.full(len(labels), float(commonest))
    scores = np.zeros((len(labels), classes))
    scores[:, commonest] = 1.0
    return scores


def confusion_matrix(
    problem: str, labels: Array, scores: Array, classes: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Actual class → predicted class → rows; binary classes are called 0 and 1 as AWS does."""
    binary = problem == "binary"
    predicted = (scores >= THRESHOLD).astype(int) if binary else scores.argmax(axis=1)
    names = ("0", "1") if binary else classes
    return {
        actual: {
            name: int(((labels == i) & (predicted == j)).sum()) for j, name in enumerate(names)
        }
        for i, actual in enumerate(names)
    }


def curves(labels: Array, scores: Array) -> dict[str, Any]:
    """ROC and precision-recall curves, thinned to at most 101 points."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return {}
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.nonzero(np.diff(scores[order]))[0], len(scores) - 1)
    hits = np.cumsum(labels[order])[ends]
    total = ends + 1
    pick = np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).round().astype(int))
    true_rates = np.append(0.0, (hits / positives)[pick])
    false_rates = np.append(0.0, ((total - hits) / negatives)[pick])
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": false_rates.tolist(),
            "true_positive_rates": true_rates.tolist(),
        },
        "precision_recall_curve": {
            "precisions": (hits / total)[pick].tolist(),
            "recalls": (hits / positives)[pick].tolist(),
        },
    }
