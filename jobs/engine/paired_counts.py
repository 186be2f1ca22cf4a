"""Figures that are functions of counts, for many multinomial draws of two models' cells at once.

A cell is (label, candidate's class, champion's class). Drawing n rows with replacement draws the
cells' counts from a multinomial with n trials, exactly, so the rows themselves are not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.model_quality import THRESHOLD

Array = np.ndarray[Any, Any]

BLOCK = 1 << 20  # cells x draws that are worked on at once: 8 MiB
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
RATES = ("precision", "recall", *BETAS)
BINARY = (
    "true_positive_rate",
    "true_negative_rate",
    "false_positive_rate",
    "false_negative_rate",
)


def is_count_figure(name: str) -> bool:
    """Say whether a figure depends on the predicted classes alone."""
    return name == "accuracy" or name in BINARY or name.removeprefix("weighted_") in RATES


@dataclass(frozen=True)
class Totals:
    """Per draw and class: the rows of the class, those predicted as it, and those rightly so."""

    actual: Array
    predicted: tuple[Array, Array]
    right: tuple[Array, Array]


@dataclass(frozen=True)
class Cells:
    """The cells that occur: `keys` has a row (label, candidate's class, champion's class) each.

    `mirrored` says that the models' columns are exchanged. One of a pair and its mirror is always
    stored as the other, so that both meet the same random numbers and differ in sign alone. A
    table that is its own mirror cannot be told from it: the difference is 0, its draws are not.
    """

    problem: str
    classes: int
    keys: Array
    counts: Array
    mirrored: bool

    @classmethod
    def of(cls, problem: str, labels: Array, candidate: Array, champion: Array) -> Cells:
        """Count the cells of some rows."""
        codes = labels.astype(np.int64)
        if problem == "binary":
            predicted = [(scores >= THRESHOLD).astype(np.int64) for scores in (candidate, champion)]
            classes = 2
        else:
            predicted = [scores.argmax(axis=1) for scores in (candidate, champion)]
            classes = candidate.shape[1]
        found = []
        for first, second in (predicted, predicted[::-1]):
            packed, counts = np.unique(
                (codes * classes + first) * classes + second, return_counts=True
            )
            found.append((packed, counts))
        mirrored = _precedes(found[1], found[0])
        packed, counts = found[int(mirrored)]
        keys = np.stack([packed // classes**2, packed // classes % classes, packed % classes], 1)
        return cls(problem, classes, keys, counts, mirrored)

    def draw(self, draws: int, random: np.random.Generator) -> Iterator[tuple[slice, Totals]]:
        """The totals of the draws, block by block."""
        rows = int(self.counts.sum())
        # A draw needs a place per cell and per class of each of five totals.
        step = max(BLOCK // (len(self.counts) + 5 * self.classes), 1)
        members = [np.eye(self.classes)[self.keys[:, i]] for i in range(3)]
        same = [(self.keys[:, 0] == self.keys[:, i])[:, None] * members[0] for i in (1, 2)]
        for start in range(0, draws, step):
            size = min(step, draws - start)
            drawn = random.multinomial(rows, self.counts / rows, size).astype(np.float64)
            yield (
                slice(start, start + size),
                Totals(
                    drawn @ members[0],
                    (drawn @ members[1], drawn @ members[2]),
                    (drawn @ same[0], drawn @ same[1]),
                ),
            )


def _precedes(one: tuple[Array, Array], other: tuple[Array, Array]) -> bool:
    return [part.tolist() for part in one] < [part.tolist() for part in other]


def count_difference(cells: Cells, totals: Totals, name: str) -> Array:
    """A figure of the candidate less the champion's, draw by draw; NaN where one is undefined."""
    first, second = (
        _figure(name, cells.problem, totals.actual, totals.predicted[i], totals.right[i])
        for i in (0, 1)
    )
    return second - first if cells.mirrored else first - second


def _figure(name: str, problem: str, actual: Array, predicted: Array, right: Array) -> Array:
    """A figure of jobs/model_quality.py for each draw (a row of the arrays), NaN for its None."""
    if name == "accuracy":
        return np.asarray(right.sum(axis=1) / actual.sum(axis=1))
    if problem == "multiclass":
        return _weighted(name.removeprefix("weighted_"), actual, predicted, right)
    negatives, positives = actual[:, 0], actual[:, 1]
    precision = _ratio(right[:, 1], predicted[:, 1])
    recall = _ratio(right[:, 1], positives)
    if name in BETAS:
        return _f_score(precision, recall, BETAS[name])
    return {
        "precision": precision,
        "recall": recall,
        "true_positive_rate": recall,
        "true_negative_rate": _ratio(right[:, 0], negatives),
        "false_positive_rate": _ratio(negatives - right[:, 0], negatives),
        "false_negative_rate": _ratio(positives - right[:, 1], positives),
    }[name]


def _weighted(name: str, actual: Array, predicted: Array, right: Array) -> Array:
    """A figure of each class weighted by its rows; a class without predictions has precision 0."""
    precision = np.nan_to_num(_ratio(right, predicted))
    recall = np.nan_to_num(_ratio(right, actual))
    if name in BETAS:
        values = _f_score(precision, recall, BETAS[name])
    else:
        values = precision if name == "precision" else recall
    return np.asarray((actual * values).sum(axis=1) / actual.sum(axis=1))


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _f_score(precision: Array, recall: Array, beta: float) -> Array:
    """The F score; 0 where precision and recall are both 0, NaN where one of them is."""
    weight = beta * beta
    under = weight * precision + recall
    score = np.nan_to_num(_ratio((1 + weight) * precision * recall, under))
    return np.where(np.isnan(under), np.nan, score)
