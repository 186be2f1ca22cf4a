"""Bias metrics that come from counts, by the names and rules of Amazon SageMaker Clarify.

A facet value's rows are d (the disadvantaged), all others a. Labels and predictions are positive
or not (a set of classes, or above a threshold), so everything follows from a table of rows by
side, conditional group, label and prediction. Formulas: "Measure Pre-training Bias" and "Measure
Post-training Data and Model Bias" of the SageMaker developer guide. FT, the flip test, is left
out: it compares neighbours, not counts.

As in Clarify, 0/0 counts as 0, x/0 as infinite, and two infinite rates differ by 0. KL is
infinite where d has no row of a label that a has (its formula; Clarify's code drops that label).

Intervals. Differences of two rates of separate rows: Newcombe's hybrid score (Statistics in
Medicine 17, 1998, method 10), which keeps its width where a rate is 0 or 1. CI: Wilson's score of
the share of d. All others: percentiles of a bootstrap of the table's counts, which equals one of
the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from jobs.engine.comparison import bounds

Array = np.ndarray[Any, Any]

CONFIDENCE = 0.95
DRAWS = 2_000
PRIOR = 0.5
BLOCK = 1 << 20  # cells x draws that are worked on at once
PRE_TRAINING = {
    "CI": "Class Imbalance (CI)",
    "DPL": "Difference in Positive Proportions in Labels (DPL)",
    "KL": "Kullback-Liebler Divergence (KL)",
    "JS": "Jensen-Shannon Divergence (JS)",
    "LP": "L-p Norm (LP)",
    "TVD": "Total Variation Distance (TVD)",
    "KS": "Kolmogorov-Smirnov Distance (KS)",
    "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
}
POST_TRAINING = {
    "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
    "DI": "Disparate Impact (DI)",
    "DCA": "Difference in Conditional Acceptance (DCA)",
    "DCR": "Difference in Conditional Rejection (DCR)",
    "RD": "Recall Difference (RD)",
    "SD": "Specificity Difference (SD)",
    "DAR": "Difference in Acceptance Rates (DAR)",
    "DRR": "Difference in Rejection Rates (DRR)",
    "AD": "Accuracy Difference (AD)",
    "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
    "TE": "Treatment Equality (TE)",
    "GE": "Generalized Entropy (GE)",
}
CONDITIONAL = ("CDDL", "CDDPL")
METHODS = {
    "difference": "Newcombe's hybrid score interval",
    "share": "Wilson's score interval",
    "other": f"percentiles of {DRAWS:,} multinomial draws of the counts",
}

# Cells of a table (label, prediction) whose sums make a rate, and whose rate is taken from whose.
TP, FN, FP, TN = (1, 1), (1, 0), (0, 1), (0, 0)
ALL = (TP, FN, FP, TN)
RATES: Mapping[str, tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...], int]] = {
    "DPL": ((TP, FN), ALL, 1),
    "DPPL": ((TP, FP), ALL, 1),
    "RD": ((TP,), (TP, FN), 1),
    "SD": ((TN,), (TN, FP), -1),
    "DAR": ((TP,), (TP, FP), 1),
    "DRR": ((TN,), (TN, FN), -1),
    "AD": ((TP, TN), ALL, 1),
}


# What has an interval in closed form, of any confidence.
CLOSED = ("CI", *RATES)


class Undefined(ValueError):
    """A metric that these rows have none of; the message says why."""


@dataclass(frozen=True)
class Metric:
    """One metric of one facet value; `error` says why there is no value."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    error: str = ""

    @property
    def description(self) -> str:
        """Clarify's description."""
        return {**PRE_TRAINING, **POST_TRAINING}[self.name]

    def to_json(self) -> dict[str, Any]:
        """The entry in analysis.json."""
        entry = {"name": self.name, "description": self.description, "value": number(self.value)}
        return {**entry, "error": self.error} if self.error else entry


def number(value: float | None) -> float | str | None:
    """A value as Clarify writes it: infinities are words."""
    if value is None or math.isfinite(value):
        return value
    return "Infinity" if value > 0 else "-Infinity"


def table_of(
    values: tuple[Array, int], groups: tuple[Array, int] | None, positives: Sequence[Array]
) -> Array:
    """Count rows by facet value, conditional group, label and prediction.

    `values` and `groups` are codes from 0 and how many there are; `positives` holds one mask (the
    labels alone) or two (labels and predictions). The prediction of labels alone counts as 0.
    """
    codes, size = values
    if groups is not None:
        codes, size = codes * groups[1] + groups[0], size * groups[1]
    for mask in (*positives, *[np.zeros(1, dtype=bool)] * (2 - len(positives))):
        codes = codes * 2 + mask
    counted = np.bincount(codes, minlength=size * 4)
    return counted.reshape(values[1], groups[1] if groups else 1, 2, 2)


def measure_value(  # noqa: PLR0913  # what is measured, and how surely
    table: Array,
    code: int,
    names: Iterable[str],
    *,
    conditional: bool,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> list[Metric]:
    """The metrics of one facet value against all others, by name, with their intervals.

    `table` is that of `table_of`; `conditional` says whether its groups are a column's. A value
    without rows, or with all of them, is told by each metric's error. Percentiles of draws know no
    confidence beyond 1 - 2 / DRAWS.
    """
    names = sorted(names)
    sides = np.stack([table.sum(axis=0) - table[code], table[code]]).astype(np.float64)
    empty = _empty_words(sides)
    if empty:
        return [Metric(name, None, error=empty) for name in names]
    closed = {*CLOSED, *(() if conditional else CONDITIONAL)}
    drawn = _draw_metrics(sides, [name for name in names if name not in closed], seed)
    found = []
    for name in names:
        if name in CONDITIONAL and not conditional:
            found.append(Metric(name, None, error="no group column: bias.group names none"))
            continue
        try:
            value = float(compute(name, sides)) + 0.0  # no -0.0
        except Undefined as error:
            found.append(Metric(name, None, error=str(error)))
            continue
        found.append(Metric(name, value, _interval(name, sides, value, drawn, confidence)))
    return found


def _empty_words(sides: Array) -> str:
    if not sides[1].sum():
        return "no row has this value"
    return "" if sides[0].sum() else "every row has this value; there is none to compare with"


def compute(name: str, sides: Array) -> Array:
    """A metric of tables with the axes (..., side a and d, group, label, prediction).

    Raises `Undefined` for a single table that has no such metric.
    """
    if name in CONDITIONAL:
        # Labels stand in axis -2, predictions in axis -1; the other one is summed up.
        return _conditional(sides.sum(axis=-1 if name == "CDDL" else -2))
    tables = sides.sum(axis=-3)
    a, d = tables[..., 0, :, :], tables[..., 1, :, :]
    if name in RATES:
        hits, whole, sign = RATES[name]
        rates = [_divide(_cells(side, hits), _cells(side, whole)) for side in (a, d)]
        return sign * (rates[0] - rates[1])
    if name in ("KL", "JS", "LP", "TVD", "KS"):
        return _distance(name, *(_shares(side.sum(axis=-1)) for side in (a, d)))
    return _RATIOS[name](a, d)


def _cells(table: Array, cells: Iterable[tuple[int, int]]) -> Array:
    return np.asarray(sum(table[..., label, predicted] for label, predicted in cells))


def _divide(part: Array, whole: Array) -> Array:
    """A ratio of counts: 0/0 is 0, x/0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(part == 0, 0.0, part / whole))


def _minus(one: Array, other: Array) -> Array:
    """A difference in which two infinite rates are equal."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(one == other, 0.0, one - other))


def _shares(counts: Array) -> Array:
    return _divide(counts, counts.sum(axis=-1, keepdims=True))


def _distance(name: str, a: Array, d: Array) -> Array:
    """How far apart two distributions of labels are."""
    gap = np.abs(a - d)
    if name == "KL":
        return _divergence(a, d)
    if name == "JS":
        middle = (a + d) / 2
        return (_divergence(a, middle) + _divergence(d, middle)) / 2
    if name == "LP":
        return np.asarray(np.sqrt((gap**2).sum(axis=-1)))
    return np.asarray(gap.sum(axis=-1) / 2 if name == "TVD" else gap.max(axis=-1))


def _divergence(one: Array, other: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(one > 0, one * np.log(one / other), 0.0).sum(axis=-1))


def _conditional(counts: Array) -> Array:
    """The mean over groups, weighted by rows, of d's share of the refused less of the accepted.

    `counts` has the axes (..., side, group, refused or accepted).
    """
    whole = counts.sum(axis=-3)
    if counts.ndim == 3:
        for index, kind in enumerate(("negative", "positive")):
            if not whole[:, index].sum():
                raise Undefined(f"no row is {kind}")
    shares = _divide(counts[..., 1, :, :], whole)
    disparity = shares[..., 0] - shares[..., 1]
    rows = whole.sum(axis=-1)
    return np.asarray((rows * disparity).sum(axis=-1) / rows.sum(axis=-1))


def _impact(a: Array, d: Array) -> Array:
    accepted = [_divide(_cells(side, (TP, FP)), _cells(side, ALL)) for side in (a, d)]
    return _divide(accepted[1], accepted[0])


def _acceptance(a: Array, d: Array) -> Array:
    rates = [_divide(_cells(side, (TP, FN)), _cells(side, (TP, FP))) for side in (a, d)]
    return _minus(rates[0], rates[1])


def _rejection(a: Array, d: Array) -> Array:
    rates = [_divide(_cells(side, (TN, FP)), _cells(side, (TN, FN))) for side in (a, d)]
    return _minus(rates[1], rates[0])


def _treatment(a: Array, d: Array) -> Array:
    rates = [_divide(_cells(side, (FN,)), _cells(side, (FP,))) for side in (a, d)]
    return _minus(rates[1], rates[0])


def _entropy(a: Array, d: Array) -> Array:
    """Generalised entropy with alpha 2 of the benefits 0 (false negative), 1, 2 (false positive).

    It knows no facet: half the benefits' squared coefficient of variation over all rows.
    """
    whole = a + d
    rows, more, less = (_cells(whole, cells) for cells in (ALL, (FP,), (FN,)))
    mean = (rows + more - less) / rows
    if whole.ndim == 2 and not mean:
        raise Undefined("every row is a false negative")
    square = (rows + 3 * more - less) / rows
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((square / mean**2 - 1) / 2)


def _imbalance(a: Array, d: Array) -> Array:
    sizes = [_cells(side, ALL) for side in (a, d)]
    return np.asarray((sizes[0] - sizes[1]) / (sizes[0] + sizes[1]))


_RATIOS = {
    "CI": _imbalance,
    "DI": _impact,
    "DCA": _acceptance,
    "DCR": _rejection,
    "TE": _treatment,
    "GE": _entropy,
}


def _draw_metrics(sides: Array, names: Sequence[str], seed: int) -> dict[str, Array]:
    """The metrics of multinomial draws of the table's counts."""
    found = {name: np.empty(DRAWS) for name in names}
    for place, drawn in _drawn_tables(sides, seed) if names else ():
        for name in names:
            found[name][place] = compute(name, drawn)
    return found


def _drawn_tables(sides: Array, seed: int) -> Iterator[tuple[slice, Array]]:
    cells = np.flatnonzero(sides)
    counts = sides.ravel()[cells]
    rows = int(counts.sum())
    random = np.random.default_rng(seed)
    step = max(BLOCK // sides.size, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        drawn = np.zeros((size, sides.size))
        drawn[:, cells] = random.multinomial(rows, counts / rows, size)
        yield slice(start, start + size), drawn.reshape(size, *sides.shape)


def credible_intervals(
    table: Array, code: int, names: Iterable[str], *, labels_only: bool, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The 95 % intervals of metrics over the tables that may lie behind some counts.

    Unlike a bootstrap's they do not shrink to a point where a count is zero: each cell has half a
    row more (Jeffreys' prior). `labels_only` says that the table has no predictions.
    """
    names = list(names)
    sides = np.stack([table.sum(axis=0) - table[code], table[code]]).astype(np.float64)
    if _empty_words(sides) or not names:
        return {}
    prior = np.full(sides.shape, PRIOR / sides.shape[1])
    if labels_only:
        prior[..., 1] = 0.0
    random = np.random.default_rng(seed)
    step = max(BLOCK // sides.size, 1)
    drawn: dict[str, list[Array]] = {name: [] for name in names}
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        tables = random.standard_gamma(sides + prior, (size, *sides.shape))
        for name in names:
            drawn[name].append(compute(name, tables))
    found = {}
    for name, parts in drawn.items():
        values = np.sort(np.concatenate(parts))
        place = round((1 - CONFIDENCE) / 2 * len(values))
        found[name] = (float(values[place]), float(values[-1 - place]))
    return found


def _interval(
    name: str, sides: Array, value: float, drawn: Mapping[str, Array], confidence: float
) -> tuple[float, float] | None:
    if name in drawn:
        return bounds(drawn[name], value, 1 - confidence).interval
    a, d = sides.sum(axis=1)
    if name == "CI":
        low, high = wilson(float(d.sum()), float(sides.sum()), confidence)
        return 1 - 2 * high, 1 - 2 * low
    hits, whole, sign = RATES[name]
    first, second = (a, d) if sign > 0 else (d, a)
    return newcombe(
        (float(_cells(first, hits)), float(_cells(first, whole))),
        (float(_cells(second, hits)), float(_cells(second, whole))),
        confidence,
    )


def wilson(hits: float, rows: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a rate; without rows it may be anything from 0 to 1."""
    if not rows:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = hits / rows
    centre = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt((rate * (1 - rate) + z * z / (4 * rows)) / rows)
    return (
        max(centre - half, 0.0) if hits else 0.0,
        min(centre + half, 1.0) if hits < rows else 1.0,
    )


def newcombe(
    first: tuple[float, float], second: tuple[float, float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Newcombe's interval of the difference of two rates, each given as (hits, rows)."""
    rates = [hits / rows if rows else 0.0 for hits, rows in (first, second)]
    (low, high), (other_low, other_high) = (
        wilson(hits, rows, confidence) for hits, rows in (first, second)
    )
    difference = rates[0] - rates[1]
    return (
        difference - math.hypot(rates[0] - low, other_high - rates[1]),
        difference + math.hypot(high - rates[0], rates[1] - other_low),
    )
