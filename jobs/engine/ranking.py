"""Has what a model attends to changed? nDCG of the features' order, as Clarify's monitors have it.

The baseline's global values are the gains; features are put in the order of the window's values.
DCG is the sum of gain / log2(place + 1), and nDCG is DCG over that of the baseline's own order: 1
where the order is the same ("Feature Attribution Drift for Models in Production", SageMaker
developer guide; Järvelin and Kekäläinen, ACM TOIS 20, 2002).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DRAWS = 2_000
# Of fewer rows the spread of a feature's values cannot be known.
FEWEST_ROWS = 100
BLOCK = 4_000_000
CAUTION = 1 / 3


def ndcg(now: Array, then: Array) -> float:
    """The nDCG of the order of `now` with the gains `then`; 1 where nothing gains anything."""
    ideal = float(_dcg(then[np.argsort(-then, kind="stable")]))
    return float(_dcg(then[np.argsort(-now, kind="stable")])) / ideal if ideal else 1.0


def ndcg_chance(values: Array, then: Array, base_rows: int, seed: int = 0) -> float:
    """The chance of an nDCG so low when features matter as they did.

    `values` are the rows' |values| (rows, features), `then` the baseline's global ones of
    `base_rows` rows. Each feature's values are scaled to the baseline's mean, and a third as many
    rows are drawn from them as both samples together are worth (a feature that matters in few rows
    varies more than the rows at hand show): their nDCG is what chance gives. 1 below 100 rows.
    """
    rows = len(values)
    if rows < FEWEST_ROWS:
        return 1.0
    observed = ndcg(values.mean(axis=0), then)
    means = values.mean(axis=0)
    scaled = np.where(means > 0, values * (then / np.where(means > 0, means, 1)), then)
    worth = rows * base_rows / (rows + base_rows) if base_rows else rows
    drawn_rows = max(int(worth * CAUTION), 1)
    random = np.random.default_rng(seed)
    low = 0
    step = max(BLOCK // rows, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        counts = random.multinomial(drawn_rows, np.full(rows, 1 / rows), size)
        drawn = counts @ scaled / drawn_rows
        order = np.argsort(-drawn, axis=1, kind="stable")
        found = _dcg(then[order]) / max(ndcg_ideal(then), 1e-300)
        low += int((found <= observed + 1e-12).sum())
    return (low + 1) / (DRAWS + 1)


def ndcg_ideal(then: Array) -> float:
    """The DCG of the baseline's own order."""
    return float(_dcg(np.sort(then)[::-1]))


def _dcg(gains: Array) -> Array:
    places = np.arange(2, gains.shape[-1] + 2)
    return np.asarray((gains / np.log2(places)).sum(axis=-1))
