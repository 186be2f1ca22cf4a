"""The paired bootstrap: how sure is it that a candidate beats the champion on the same rows?

Rows are drawn with replacement, the same for both models, and each figure's difference is
computed again; its bounds are percentiles of the draws (Efron and Tibshirani 1993, chapter 13;
Davison and Hinkley 1997, section 5.2, for the order statistics). Differences are signed so that
positive means the candidate is better. Nothing is approximated, only arranged:

- Figures of counts (accuracy, precision, F scores, ...) depend on how often each cell of label x
  candidate's class x champion's class is drawn, and these counts are multinomial: a draw costs
  as much as there are cells, whatever the number of rows.
- Sums over rows (log loss, Brier score, errors) are products of the rows' drawn counts and the
  difference of the two models' terms; AUC is a rank count: the drawn positives below each drawn
  negative, by one running sum in the order of the scores, ties half. Both take some nanoseconds a
  row and draw, in blocks of a few MiB: 10,000 draws of 100,000 rows 4 to 10 s of a core.

Where draws x rows exceeds `MOST_ROW_DRAWS`, there are fewer draws (never below `FEWEST_DRAWS`,
which place the bound with an error of 7 % of the difference's standard error); "draws" and
"method" in the document say so. Secondary figures and windows get `DETAIL_DRAWS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from perennial.domain.comparison import direction
from perennial.domain.gates import METRICS
from perennial.domain.settings import Comparison

from jobs.engine.paired_counts import Cells, count_difference, is_count_figure
from jobs.engine.row_draws import drawn_counts
from jobs.model_quality import EPSILON, figures

Array = np.ndarray[Any, Any]

DETAIL_DRAWS = 2_000
FEWEST_DRAWS = 1_000
MOST_ROW_DRAWS = 4_000_000_000
MOST_WINDOWS = 5
KEPT_OF_DETAILS = ("candidate", "champion", "difference", "interval")


@dataclass(frozen=True)
class Paired:
    """The same rows as two models scored them: class codes or values, and their scores.

    Scores are a column (binary: of class 1; regression: the value) or a column per class.
    """

    problem: str
    labels: Array
    candidate: Array
    champion: Array

    def __post_init__(self) -> None:
        for name in ("labels", "candidate", "champion"):
            bad = int((~np.isfinite(getattr(self, name))).sum())
            if bad:
                raise ValueError(f"{bad:,} of the {name} are no finite numbers")
        if self.candidate.shape != self.champion.shape or len(self.labels) != len(self.candidate):
            raise ValueError(
                f"{len(self.labels):,} labels, scores of shape {self.candidate.shape} and "
                f"{self.champion.shape} are no pairs"
            )

    def part(self, rows: Array) -> Paired:
        """Some of the rows."""
        return Paired(self.problem, self.labels[rows], self.candidate[rows], self.champion[rows])


@dataclass(frozen=True)
class Bounds:
    """What the draws say of a difference.

    `lower` is the one-sided bound, None when too many draws have no figure; `better` the share
    of all draws in which the candidate is better; `undefined` the draws without a figure.
    """

    interval: tuple[float, float] | None
    lower: float | None
    better: float
    undefined: int


def comparable(problem: str) -> tuple[str, ...]:
    """The figures of a problem that two models can be compared by."""
    return tuple(name for name in METRICS[problem] if name != "rows")


def bounds(drawn: Array, difference: float, significance: float) -> Bounds:
    """Percentile bounds of a difference from its draws; NaN marks a draw without a figure.

    Such a draw counts as the worst for `lower` and is left out of the two-sided interval. Neither
    excludes the observed difference, which small skewed samples otherwise could.
    """
    ordered = np.sort(drawn[~np.isnan(drawn)]) + 0.0  # no -0.0
    undefined = len(drawn) - len(ordered)
    if not len(ordered):
        return Bounds(None, None, 0.0, undefined)
    tail = _place(significance / 2, len(ordered))
    low, high = float(ordered[tail]), float(ordered[len(ordered) - 1 - tail])
    place = _place(significance, len(drawn)) - undefined
    return Bounds(
        (min(low, difference), max(high, difference)),
        min(float(ordered[place]), difference) if place >= 0 else None,
        float((ordered > 0).sum()) / len(drawn),
        undefined,
    )


def _place(share: float, draws: int) -> int:
    """Where the order statistic of a share stands among `draws` ordered values, from 0."""
    return max(math.floor(share * (draws + 1)) - 1, 0)


def draw_differences(
    pair: Paired, names: Iterable[str], draws: int, seed: int = 0
) -> dict[str, Array]:
    """The difference of each figure in each draw, positive where the candidate is better.

    Swapped models give exactly the negative (but where their counts are the same either way).
    """
    wanted = list(names)
    counted = [name for name in wanted if is_count_figure(name)]
    found: dict[str, Array] = {}
    if counted:
        cells = Cells.of(pair.problem, pair.labels, pair.candidate, pair.champion)
        found |= {name: np.empty(draws) for name in counted}
        for place, totals in cells.draw(draws, np.random.default_rng(seed)):
            for name in counted:
                found[name][place] = direction(name) * count_difference(cells, totals, name)
    by_rows = [name for name in wanted if name not in found]
    if by_rows:
        found |= _draw_rows(pair, by_rows, draws, seed)
    return {name: found[name] for name in wanted}


def _draw_rows(pair: Paired, names: list[str], draws: int, seed: int) -> dict[str, Array]:
    """Differences of figures that need the drawn count of every row."""
    pair = arranged(pair)
    sums = {name: _terms(pair, name) for name in names if name not in ("auc", "rmse", "r2")}
    roots = _Squares(pair) if {"rmse", "r2"} & set(names) else None
    ranks = _Ranks(pair) if "auc" in names else None
    found = {name: np.empty(draws) for name in names}
    for place, counts in drawn_counts(len(pair.labels), draws, np.random.default_rng(seed)):
        weights = counts.astype(np.float64) if sums or roots else counts
        for name, terms in sums.items():
            found[name][place] = weighed(weights, terms) / len(terms)
        if roots is not None:
            for name in {"rmse", "r2"} & found.keys():
                found[name][place] = roots.difference(name, weights)
        if ranks is not None:
            found["auc"][place] = ranks.differences(counts)
    return found


def arranged(pair: Paired) -> Paired:
    """Binary rows with the negatives first, each class by its scores; drawing is blind to order.

    The order is the same for swapped models, and near to that of both: sorted reads are fast.
    """
    if pair.problem != "binary":
        return pair
    return pair.part(np.lexsort((pair.candidate + pair.champion, pair.labels)))


def weighed(weights: Array, terms: Array) -> Array:
    """The weighted sum of the terms for each draw.

    Not `@`: the linear algebra library would start threads for it, which on a busy machine wait
    for each other ten times as long as the sum takes.
    """
    return np.asarray(np.einsum("ij,j->i", weights, terms))


def _terms(pair: Paired, name: str) -> Array:
    """Each row's part of a mean, the champion's less the candidate's: smaller terms are better."""

    def of(scores: Array) -> Array:
        if name == "log_loss" and pair.problem == "binary":
            clipped = np.clip(scores, EPSILON, 1 - EPSILON)
            return -np.asarray(np.where(pair.labels == 1, np.log(clipped), np.log(1 - clipped)))
        if name == "log_loss":
            chosen = scores[np.arange(len(scores)), pair.labels]
            return np.asarray(-np.log(np.clip(chosen, EPSILON, 1)))
        errors = scores - pair.labels
        return np.asarray(np.abs(errors) if name == "mae" else errors**2)

    return of(pair.champion) - of(pair.candidate)


class _Squares:
    """RMSE and R² from sums of squared errors, by their difference, so that equal stays equal."""

    def __init__(self, pair: Paired) -> None:
        self.candidate = (pair.candidate - pair.labels) ** 2
        self.champion = (pair.champion - pair.labels) ** 2
        self.less = self.champion - self.candidate
        self.labels = pair.labels - pair.labels.mean()
        self.squares = self.labels**2

    def difference(self, name: str, weights: Array) -> Array:
        """The differences of the draws, positive where the candidate is better."""
        less = weighed(weights, self.less)
        with np.errstate(divide="ignore", invalid="ignore"):
            if name == "r2":
                squares = weighed(weights, self.squares)
                spread = squares - weighed(weights, self.labels) ** 2 / len(self.labels)
                return np.where(spread <= 1e-12 * squares, np.nan, less / spread)
            roots = [np.sqrt(weighed(weights, of)) for of in (self.candidate, self.champion)]
            root = (roots[0] + roots[1]) * math.sqrt(len(self.labels))
            return np.where(root > 0, less / root, 0.0)


class _Ranks:
    """AUC of both models from the drawn counts of rows that stand negatives first.

    The running sum goes over the smaller class and is read at the larger one's scores.
    """

    def __init__(self, pair: Paired) -> None:
        self.negatives = int((pair.labels == 0).sum())
        positives = len(pair.labels) - self.negatives
        self.over_positives = positives <= self.negatives
        self.orders = [self._order(scores) for scores in (pair.candidate, pair.champion)]

    def _order(self, scores: Array) -> tuple[Array, Array, Array]:
        """The smaller class in the order of its scores, and where the larger one's fall in it."""
        negatives, positives = scores[: self.negatives], scores[self.negatives :]
        summed, read = (positives, negatives) if self.over_positives else (negatives, positives)
        order = np.argsort(summed, kind="stable")
        ordered = summed[order]
        left, right = (np.searchsorted(ordered, read, side) for side in ("left", "right"))
        return order, left, left if np.array_equal(left, right) else right  # no ties

    def differences(self, counts: Array) -> Array:
        """AUC of the candidate less the champion's; NaN where a draw lacks a class."""
        negatives, positives = counts[:, : self.negatives], counts[:, self.negatives :]
        summed, read = (positives, negatives) if self.over_positives else (negatives, positives)
        below = [self._twice_below(summed, *order) for order in self.orders]
        # Twice the number of pairs in the right order, as whole numbers: equal stays equal.
        less = ((below[0] - below[1]) * read).sum(axis=1)
        pairs = 2.0 * negatives.sum(axis=1) * positives.sum(axis=1)
        sign = -1.0 if self.over_positives else 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(pairs > 0, sign * less / pairs, np.nan))

    @staticmethod
    def _twice_below(summed: Array, order: Array, left: Array, right: Array) -> Array:
        running = np.zeros((len(summed), len(order) + 1), dtype=np.int64)
        np.cumsum(summed.take(order, axis=1), axis=1, dtype=np.int64, out=running[:, 1:])
        below = running.take(left, axis=1)
        return below + (below if left is right else running.take(right, axis=1))


def affordable(rows: int, draws: int) -> int:
    """How many draws of so many rows are made."""
    return max(min(draws, MOST_ROW_DRAWS // max(rows, 1)), min(FEWEST_DRAWS, draws))


def compare(pair: Paired, settings: Comparison, seed: int = 0) -> dict[str, Any]:
    """Compare two models by one figure, and in less depth by every other one of the problem.

    The answer has the keys of comparison.json that rows and scores decide. Figures that are not
    defined on these rows (one class only, fewer than two rows) are None.
    """
    rows, metric, draws = len(pair.labels), settings.metric, settings.draws
    made = draws if is_count_figure(metric) else affordable(rows, draws)
    few = affordable(rows, min(draws, DETAIL_DRAWS))
    wanted = {**dict.fromkeys(comparable(pair.problem), few), metric: made}
    found = measure(pair, wanted, settings.significance, seed)
    method = f"paired bootstrap of the rows, percentile bounds, {made:,} draws"
    if made < draws:
        method += f" instead of {draws:,}, for there are {rows:,} rows"
    return {
        "version": 1,
        "metric": metric,
        "rows": rows,
        **found[metric],
        "confidence": 1 - settings.significance,
        "margin": settings.margin,
        "significance": settings.significance,
        "draws": made,
        "seed": seed,
        "method": method,
        "metrics": {
            name: {key: value for key, value in entry.items() if key in KEPT_OF_DETAILS}
            for name, entry in found.items()
        },
    }


def measure(
    pair: Paired, draws: dict[str, int], significance: float, seed: int
) -> dict[str, dict[str, Any]]:
    """Each figure of both models, its difference and bounds; `draws` says how many each gets."""
    mine = figures(pair.problem, pair.labels, pair.candidate)
    theirs = figures(pair.problem, pair.labels, pair.champion)
    entries = {name: _entry(name, mine[name], theirs[name]) for name in draws}
    known = [name for name in draws if entries[name]["difference"] is not None]
    if len(pair.labels) < 2:
        known = []
    for size in sorted(set(draws.values())):
        names = [name for name in known if draws[name] == size]
        for name, drawn in draw_differences(pair, names, size, seed).items():
            entries[name] |= _said(bounds(drawn, entries[name]["difference"], significance))
    return entries


def _entry(name: str, mine: float | None, theirs: float | None) -> dict[str, Any]:
    difference = None if mine is None or theirs is None else direction(name) * (mine - theirs)
    return {
        "candidate": mine,
        "champion": theirs,
        "difference": None if difference is None else difference + 0.0,  # no -0.0
        "interval": None,
        "lower": None,
        "better_share": None,
        "undefined": 0,
    }


def _said(found: Bounds) -> dict[str, Any]:
    return {
        "interval": None if found.interval is None else list(found.interval),
        "lower": found.lower,
        "better_share": found.better,
        "undefined": found.undefined,
    }


def compare_windows(
    pair: Paired, landed: Array | None, settings: Comparison, seed: int = 0
) -> list[dict[str, Any]]:
    """The comparison by when the rows landed (int64 ms), oldest first; one window without times."""
    if not len(pair.labels):
        return []
    whole = [np.arange(len(pair.labels))]
    metric, found = settings.metric, []
    for rows in whole if landed is None else split_by_time(landed, settings.windows):
        made = affordable(len(rows), min(settings.draws, DETAIL_DRAWS))
        entry = measure(pair.part(rows), {metric: made}, settings.significance, seed)[metric]
        found.append(
            {
                "from_ms": None if landed is None else int(landed[rows].min()),
                "to_ms": None if landed is None else int(landed[rows].max()),
                "rows": len(rows),
                **{key: entry[key] for key in KEPT_OF_DETAILS},
            }
        )
    return found


def split_by_time(landed: Array, windows: int) -> list[Array]:
    """At most `windows` sets of rows of about equal size, oldest first; equal times stay together.

    Each cut is moved to the nearest change of time, so an object's rows are never torn apart.
    """
    order = np.argsort(landed, kind="stable")
    changes = np.flatnonzero(np.diff(landed[order])) + 1
    cuts: set[int] = set()
    if len(changes):
        for i in range(1, min(windows, MOST_WINDOWS)):
            wanted = i * len(order) / min(windows, MOST_WINDOWS)
            cuts.add(int(changes[np.abs(changes - wanted).argmin()]))
    return np.split(order, sorted(cuts))
