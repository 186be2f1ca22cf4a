"""Judges a window's model quality against its baseline: is a figure worse than its bound, and is
that more than chance?

Chance is what a window of so many rows would show if the model were as good as at its baseline,
which is itself a sample of so many rows. Shares of rows (accuracy, recall …): Fisher's exact test.
Figures of counts (F scores, weighted figures): draws of tables from the baseline's own, with
Jeffreys' prior (Gelman and others, Bayesian Data Analysis, 3.4). The area under the ROC curve:
DeLong, DeLong and Clarke-Pearson's variance (Biometrics 44, 1988), at least Hanley and McNeil's
(Radiology 143, 1982). Errors of a regression: Student's t of the rows' losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.engine.checks import LEVEL, Finding, Share
from jobs.engine.tails import student_tail

Array = np.ndarray[Any, Any]

LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
DRAWS = 20_000
MOST_CELLS = 4_000_000
PRIOR = 0.5


@dataclass(frozen=True)
class Bound:
    """What a figure must keep: at least `threshold` with LESS, at most with GREATER."""

    threshold: float
    operator: str

    def is_broken(self, value: float) -> bool:
        """Whether a value is worse than the bound."""
        return value < self.threshold if self.operator == LESS else value > self.threshold

    def lag(self, value: float, reference: float) -> float:
        """How much worse a value is than another, positive where it is."""
        return reference - value if self.operator == LESS else value - reference


@dataclass(frozen=True)
class Quality:
    """A window or a baseline: its figures, rows, and, for classes, rows by actual and predicted.

    The binary positive is class 1.
    """

    figures: Mapping[str, float | None]
    rows: int
    confusion: Array | None = None


def binary_cells(confusion: Array) -> dict[str, tuple[float, float]]:
    """Hits and rows of each share of a binary table."""
    (tn, fp), (fn, tp) = confusion
    return {
        "accuracy": (tp + tn, confusion.sum()),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "true_positive_rate": (tp, tp + fn),
        "true_negative_rate": (tn, tn + fp),
        "false_positive_rate": (fp, tn + fp),
        "false_negative_rate": (fn, tp + fn),
    }


def f_scores(tables: Array) -> dict[str, Array]:
    """The F scores of binary tables with the axes (..., actual, predicted)."""
    tp, fp, fn = tables[..., 1, 1], tables[..., 0, 1], tables[..., 1, 0]
    return {name: _f_of(tp, tp + fp, tp + fn, beta) for name, beta in _BETAS.items()}


def weighted_figures(tables: Array) -> dict[str, Array]:
    """The weighted figures of tables of several classes, (..., actual, predicted)."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    actual, predicted = tables.sum(axis=-1), tables.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = actual / actual.sum(axis=-1, keepdims=True)
        parts = {
            "precision": np.where(predicted > 0, hits / predicted, 0.0),
            "recall": np.where(actual > 0, hits / actual, 0.0),
            **{name: _f_of(hits, predicted, actual, beta) for name, beta in _BETAS.items()},
        }
    return {f"weighted_{name}": (shares * part).sum(axis=-1) for name, part in parts.items()}


_BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def _f_of(hits: Array, predicted: Array, actual: Array, beta: float) -> Array:
    """F of counts: (1 + b²) hits / (predicted + b² actual); 0 without either."""
    square = beta * beta
    whole = predicted + square * actual
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, (1 + square) * hits / whole, 0.0))


def judge(
    problem: str,
    bounds: Mapping[str, Bound],
    now: Quality,
    then: Quality,
    rows: tuple[Array, Array],
) -> list[Finding]:
    """A finding for each figure that has a bound and a value; `rows` are labels and scores."""
    level = LEVEL / max(len(bounds), 1)
    chances = _Chances(problem, now, then, *rows)
    found = []
    for name, bound in bounds.items():
        value = now.figures.get(name)
        if value is None or not math.isfinite(value):
            continue
        broken = bound.is_broken(value)
        lag = bound.lag(value, bound.threshold)
        scale = max(abs(bound.threshold), abs(value), 1e-12)
        found.append(
            Finding(
                name,
                bound.operator,
                value,
                bound.threshold,
                1 + lag / scale,
                broken and chances.of(name, bound) <= level,
                f"{name} is {value:.4g} (bound {bound.threshold:.4g})",
                f"Metric {name} with {value:.10g} was {bound.operator} {bound.threshold:.10g}",
                {"baseline": then.figures.get(name)},
            )
        )
    return found


class _Chances:
    """How likely a figure so bad is when nothing has changed."""

    def __init__(
        self, problem: str, now: Quality, then: Quality, labels: Array, scores: Array
    ) -> None:
        self.problem, self.now, self.then = problem, now, then
        self.labels, self.scores = labels, scores
        self._drawn: dict[tuple[bool, str], Array] = {}

    def of(self, name: str, bound: Bound) -> float:
        """The chance; the baseline is what is compared with as long as it keeps the bound, else
        the bound itself is."""
        base = self.then.figures.get(name)
        keeps = base is not None and not bound.is_broken(base)
        reference = base if keeps and base is not None else bound.threshold
        if self.problem == "binary" and self.now.confusion is not None:
            shares = binary_cells(self.now.confusion)
            if name in shares:
                base_cells = None if self.then.confusion is None else self.then.confusion
                known = binary_cells(base_cells)[name] if base_cells is not None else (0, 0)
                return self._share(shares[name], known, bound)
        if self.problem == "multiclass" and name == "accuracy" and self.now.confusion is not None:
            base_table = self.then.confusion
            known = (0, 0) if base_table is None else (np.trace(base_table), base_table.sum())
            return self._share((np.trace(self.now.confusion), self.now.rows), known, bound)
        if name == "auc":
            return self._auc(reference, bound, keeps=keeps)
        if self.problem == "regression":
            return self._loss(name, reference, bound, keeps=keeps)
        return self._by_draws(name, bound, keeps=keeps)

    @staticmethod
    def _share(now: tuple[Any, Any], base: tuple[Any, Any], bound: Bound) -> float:
        hits, rows, base_hits, base_rows = (int(each) for each in (*now, *base))
        if not rows:
            return 1.0
        if bound.operator == LESS:
            share = Share(hits, rows, bound.threshold, base_rows - base_hits, base_rows)
        else:
            share = Share(rows - hits, rows, 1 - bound.threshold, base_hits, base_rows)
        return float(share.chance)

    def _auc(self, reference: float, bound: Bound, *, keeps: bool) -> float:
        value = self.now.figures["auc"] or 0.0
        deviation, freedom = auc_deviation(self.labels, self.scores, reference)
        return self._student(bound.lag(value, reference), deviation, freedom, keeps=keeps)

    def _loss(self, name: str, reference: float, bound: Bound, *, keeps: bool) -> float:
        found = losses(name, self.labels, self.scores)
        if found is None:
            return 1.0
        if name == "rmse":
            reference = reference * reference
        value = float(found.mean())
        deviation = float(found.std(ddof=1) / math.sqrt(len(found)))
        lag = bound.lag(value, reference)
        return self._student(lag, deviation, len(found) - 1, keeps=keeps)

    def _student(self, lag: float, deviation: float, freedom: float, *, keeps: bool) -> float:
        if keeps:  # the baseline is a sample too
            deviation *= math.sqrt(1 + self.now.rows / max(self.then.rows, 1))
        if lag <= 0 or freedom <= 0:
            return 1.0
        return student_tail(lag / deviation if deviation else math.inf, freedom)

    def _by_draws(self, name: str, bound: Bound, *, keeps: bool) -> float:
        """The share of drawn tables that are as bad: the baseline's tables of the window's size
        while it keeps the bound, else the share of the window's own that would keep it."""
        source = self.then.confusion if keeps else self.now.confusion
        if source is None or name not in self._figures_of(source):
            return 1.0
        key = (keeps, name)
        if key not in self._drawn:
            drawn = self._figures_of(draw_tables(source, self.now.rows, resample=keeps))
            self._drawn |= {(keeps, each): values for each, values in drawn.items()}
        values = self._drawn[key]
        edge = self.now.figures[name] if keeps else bound.threshold
        as_bad = values <= edge if (bound.operator == LESS) == keeps else values >= edge
        return float((as_bad.sum() + 1) / (len(values) + 1))

    def _figures_of(self, tables: Array) -> dict[str, Array]:
        return f_scores(tables) if self.problem == "binary" else weighted_figures(tables)


def draw_tables(counts: Array, rows: int, *, resample: bool, seed: int = 0) -> Array:
    """Tables of shares that may lie behind some counts; resampled, tables of so many rows of
    them."""
    random = np.random.default_rng(seed)
    cells = counts.ravel().astype(np.float64)
    draws = min(DRAWS, max(MOST_CELLS // len(cells), 2000))
    # Of many classes most cells are empty: one prior row in all, spread over them.
    prior = PRIOR if len(cells) <= 4 else 1 / len(cells)
    shares = random.standard_gamma(cells + prior, (draws, len(cells)))
    shares /= shares.sum(axis=1, keepdims=True)
    found = random.multinomial(rows, shares) if resample else shares
    return np.asarray(found).reshape(draws, *counts.shape)


def auc_deviation(labels: Array, scores: Array, reference: float) -> tuple[float, float]:
    """The standard deviation of the area under the ROC curve, and its degrees of freedom."""
    positive, negative = scores[labels == 1], scores[labels != 1]
    n, m = len(positive), len(negative)
    if min(n, m) < 2:
        return math.inf, 0
    above = _placements(positive, negative)
    below = 1 - _placements(negative, positive)
    found = float(above.var(ddof=1) / n + below.var(ddof=1) / m)
    area = min(max(reference, 1 - reference), 1 - 1e-9)
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    square = area * area
    expected = area * (1 - area) + (n - 1) * (first - square) + (m - 1) * (second - square)
    return math.sqrt(max(found, expected / (n * m))), min(n, m) - 1


def _placements(ones: Array, others: Array) -> Array:
    """For each of some scores the share of the others that lie below it; ties half."""
    ordered = np.sort(others)
    low = np.searchsorted(ordered, ones, "left")
    return np.asarray((low + np.searchsorted(ordered, ones, "right")) / 2 / len(others))


def losses(name: str, labels: Array, scores: Array) -> Array | None:
    """The row losses whose mean is a regression's figure (of rmse: its square; of R²: the figure
    plus its influence function)."""
    errors = scores - labels
    if len(labels) < 2:
        return None
    kinds: dict[str, Callable[[], Array]] = {
        "mae": lambda: np.abs(errors),
        "mse": lambda: errors**2,
        "rmse": lambda: errors**2,
    }
    if name in kinds:
        return kinds[name]()
    spread = (labels - labels.mean()) ** 2
    variance = float(spread.mean())
    if name != "r2" or not variance:
        return None
    share = float((errors**2).mean()) / variance
    return np.asarray(1 - share - (errors**2 - share * spread) / variance)
