"""Model quality, as SageMaker Model Monitor's analyzer measures it from merged answers.

`model_monitor_image.py` loads it for the analysis MODEL_QUALITY: answers with ground truth in,
figures by AWS's names and the bounds that they break out. Figures are those of "Model Quality
Metrics" in the SageMaker developer guide; their deviations, and the best constant classifier's, are
left out. A request of several rows tells no single label, and is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

SECTIONS = {
    "BinaryClassification": "binary_classification",
    "MulticlassClassification": "multiclass_classification",
    "Regression": "regression",
}
STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
LESS = "LessThanThreshold"


class QualityError(Exception):
    """What makes the job fail, in words for its exit message."""


def at_path(document: Any, path: str) -> Any:
    """What a JSONPath of names and places (`$.predictions[0].score`) leads to, else None."""
    steps = list(STEP.finditer(path))
    if not path.startswith("$") or "".join(step[0] for step in steps) != path[1:]:
        raise QualityError(f"the local cloud's analyzer does not take {path} as a JSONPath")
    for step in steps:
        key: Any = step[1] if step[1] is not None else int(step[2])
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def rows_of(lines: Iterator[Mapping[str, Any]], environment: Mapping[str, str]) -> list[Any]:
    """(label, prediction, score) of each request of one row."""
    found = []
    for line in lines:
        truth, answer = line["groundTruthData"], line["captureData"]["endpointOutput"]
        label = str(truth["data"]).strip().strip('"')
        if label.startswith("["):
            continue
        try:
            document = json.loads(answer["data"])
        except ValueError:
            raise QualityError("an answer is no JSON, and the paths are JSONPaths") from None
        prediction = at_path(document, environment["inference_attribute"])
        score = environment.get("probability_attribute")
        if prediction is not None:
            found.append((label, prediction, at_path(document, score) if score else None))
    return found


def figures_of(problem: str, rows: Sequence[Any]) -> dict[str, float]:
    """Every figure of the problem that these rows have."""
    if not rows:
        return {}
    if problem == "Regression":
        return regression(*(np.array([float(row[n]) for row in rows]) for n in (0, 1)))
    labels, predictions = ([str(row[n]) for row in rows] for n in (0, 1))
    if problem == "MulticlassClassification":
        return multiclass(labels, predictions)
    scores = np.array([float(row[2]) for row in rows])
    return binary(labels, predictions, scores)


def regression(truth: Any, answers: Any) -> dict[str, float]:
    """mae, mse, rmse and r2."""
    errors = answers - truth
    mse = float(np.mean(errors**2))
    spread = float(np.mean((truth - truth.mean()) ** 2))
    found = {"mae": float(np.mean(np.abs(errors))), "mse": mse, "rmse": mse**0.5}
    return found | ({"r2": 1 - mse / spread} if spread else {})


def f_score(beta: float, precision: float, recall: float) -> float:
    """The weighted harmonic mean of both."""
    below = beta * beta * precision + recall
    return (1 + beta * beta) * precision * recall / below if below else 0.0


def ratio(part: float, whole: float) -> float:
    """A share; of nothing it is 0."""
    return part / whole if whole else 0.0


def binary(labels: Sequence[str], predictions: Sequence[str], scores: Any) -> dict[str, float]:
    """Rates of the class that is predicted from half the probability on."""
    likely = [each for each, score in zip(predictions, scores, strict=True) if score >= 0.5]
    unlikely = [each for each, score in zip(predictions, scores, strict=True) if score < 0.5]
    others = set(unlikely)
    positive = likely[0] if likely else next((each for each in labels if each not in others), "")
    is_true = np.array([label == positive for label in labels])
    said = np.array([each == positive for each in predictions])
    tp, fn = int((is_true & said).sum()), int((is_true & ~said).sum())
    fp, tn = int((~is_true & said).sum()), int((~is_true & ~said).sum())
    recall, precision = ratio(tp, tp + fn), ratio(tp, tp + fp)
    found = {
        "recall": recall,
        "precision": precision,
        "accuracy": ratio(tp + tn, len(labels)),
        "true_positive_rate": recall,
        "true_negative_rate": ratio(tn, tn + fp),
        "false_positive_rate": ratio(fp, fp + tn),
        "false_negative_rate": ratio(fn, fn + tp),
        "f0_5": f_score(0.5, precision, recall),
        "f1": f_score(1, precision, recall),
        "f2": f_score(2, precision, recall),
    }
    return found | area(is_true, scores)


def area(is_true: Any, scores: Any) -> dict[str, float]:
    """The area under the ROC curve, by ranks; none with one class alone."""
    positives, negatives = int(is_true.sum()), int((~is_true).sum())
    if not positives or not negatives:
        return {}
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    ranks = (below + upto + 1) / 2
    total = float(ranks[is_true].sum()) - positives * (positives + 1) / 2
    return {"auc": total / (positives * negatives)}


def multiclass(labels: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Accuracy, and rates of each class weighted by its rows."""
    truth, said = np.array(labels), np.array(predictions)
    found = {"accuracy": float(np.mean(truth == said))}
    parts: dict[str, float] = {}
    for name in sorted(set(labels)):
        hits = int(((truth == name) & (said == name)).sum())
        recall = ratio(hits, int((truth == name).sum()))
        precision = ratio(hits, int((said == name).sum()))
        share = float(np.mean(truth == name))
        each = {
            "weighted_recall": recall,
            "weighted_precision": precision,
            "weighted_f0_5": f_score(0.5, precision, recall),
            "weighted_f1": f_score(1, precision, recall),
            "weighted_f2": f_score(2, precision, recall),
        }
        parts = {key: parts.get(key, 0.0) + share * value for key, value in each.items()}
    return found | parts


def judge(
    problem: str, figures: Mapping[str, float], constraints: Mapping[str, Any]
) -> list[dict[str, str]]:
    """The bounds that are broken, in AWS's words."""
    section = constraints.get(f"{SECTIONS[problem]}_constraints")
    if not isinstance(section, Mapping):
        raise QualityError(f"constraints.json has no {SECTIONS[problem]}_constraints")
    found = []
    for name, entry in section.items():
        bound, operator = float(entry["threshold"]), entry["comparison_operator"]
        value = figures.get(name)
        if value is not None and (value < bound if operator == LESS else value > bound):
            words = f"Metric {name} with {value} was {operator} {bound}"
            found.append(
                {"constraint_check_type": operator, "description": words, "metric_name": name}
            )
    return found


def documents(
    problem: str, rows: Sequence[Any], constraints: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, str]], dict[str, float]]:
    """statistics.json, the violations, and the figures for CloudWatch."""
    figures = figures_of(problem, rows)
    statistics = {
        "version": 0.0,
        "dataset": {"item_count": len(rows)},
        f"{SECTIONS[problem]}_metrics": {
            name: {"value": value, "standard_deviation": "NaN"} for name, value in figures.items()
        },
    }
    return statistics, judge(problem, figures, constraints), figures
