"""How much each feature adds to each score: exact values of libraries and linear models, or
sampled Shapley values.

`sample` draws permutations in antithetic pairs (Mitchell, Cooper, Frank and Holmes, "Sampling
Permutations for Shapley Value Estimation", JMLR 2022) against a background: each pair walks from
one background row to the explained row, feature by feature, forwards and backwards. A walk's
steps telescope, so the values of a row sum to its score less the background's mean score, however
few walks there are. Numpy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Scores of rows that are put together: a mask of the features that come from the explained row,
# the number of that row, and of the background row that gives the rest → (rows, outputs).
Score = Callable[[Array, Array, Array], Array]

BATCH = 50_000


@dataclass(frozen=True)
class Attributions:
    """`values[row, output, feature]` and `expected[output]`, in the score's units.

    `errors` are the standard errors of sampled values; None where values are exact.
    """

    values: Array
    expected: Array
    errors: Array | None = None

    @property
    def sums(self) -> Array:
        """The score that the values of each row add up to, by output."""
        return np.asarray(self.values.sum(axis=2) + self.expected)

    @property
    def importance(self) -> Array:
        """The global value of each feature, by output: the mean of |value| over the rows."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    @property
    def mean_errors(self) -> Array | None:
        """The mean standard error of each feature's values, by output."""
        return None if self.errors is None else np.asarray(self.errors.mean(axis=0))


def from_contributions(raw: Array, outputs: int) -> Attributions:
    """The values in the layout of LightGBM and XGBoost: for each output, every feature and then
    the expected value; raises ValueError when the width does not fit."""
    table = np.asarray(raw, dtype=np.float64)
    if not len(table) or table[0].size % outputs:
        raise ValueError(f"contributions of shape {table.shape} for {outputs} outputs")
    parts = table.reshape(len(table), outputs, -1)
    expected = parts[:, :, -1]
    if not np.allclose(expected, expected[0], rtol=1e-5, atol=1e-9):
        raise ValueError("the expected value differs from row to row")
    return Attributions(parts[:, :, :-1], expected[0])


def linear(coefficients: Array, intercept: Array, rows: Array, background: Array) -> Attributions:
    """The exact Shapley values of `intercept + rows @ coefficients` against a background.

    With features set independently of each other, a feature's value is its coefficient times its
    distance from the background's mean. `coefficients` is (features, outputs).
    """
    mean = background.mean(axis=0)
    values = (rows - mean)[:, None, :] * coefficients.T[None, :, :]
    return Attributions(values, intercept + mean @ coefficients)


def pairs_of(background: int, wanted: int) -> int:
    """How many pairs of walks a row gets: at least `wanted`, and each background row equally
    often, so that the expected value is the same for every row."""
    return -(-wanted // background) * background


def evaluations(features: int, pairs: int) -> int:
    """How many put-together rows one explained row costs."""
    return 2 * pairs * max(features - 1, 0) + 1


@dataclass(frozen=True)
class Walks:
    """What is to be explained: `rows` rows of `features` features against `background` others."""

    score: Score
    rows: int
    background: int
    features: int


def sample(task: Walks, *, pairs: int, seed: int = 0) -> Attributions:
    """Sampled Shapley values, in batches of about 50,000 put-together rows.

    `pairs` must be a multiple of the background's rows (see `pairs_of`). A feature that changes
    no score gets exactly 0. The errors are those of a mean over independent pairs; as the pairs
    share the background out evenly, they are on the safe side.
    """
    random = np.random.default_rng(seed)
    shape = (task.background, task.features)
    here = np.zeros(max(task.rows, task.background), dtype=int)
    there = task.score(
        np.ones((task.rows, task.features), dtype=bool), np.arange(task.rows), here[: task.rows]
    )
    base = task.score(
        np.zeros(shape, dtype=bool), here[: task.background], np.arange(task.background)
    )
    step = max(BATCH // evaluations(task.features, pairs), 1)
    values, errors = [], []
    for start in range(0, task.rows, step):
        chosen = np.arange(start, min(start + step, task.rows))
        found = _walk(task, chosen, there[chosen], base[np.arange(pairs) % len(base)], random)
        values.append(found.mean(axis=1).transpose(0, 2, 1))
        spread = found.std(axis=1, ddof=1) if pairs > 1 else np.full(found[:, 0].shape, np.nan)
        errors.append(spread.transpose(0, 2, 1) / np.sqrt(pairs))
    return Attributions(np.concatenate(values), base.mean(axis=0), np.concatenate(errors))


def _walk(
    task: Walks, chosen: Array, there: Array, base: Array, random: np.random.Generator
) -> Array:
    """The steps of every pair of walks from a row of `base` to the chosen rows, whose scores are
    `there`: (rows, pairs, features, outputs)."""
    shape = (len(chosen), len(base), 1, base.shape[1])
    place = random.random((*shape[:2], task.features)).argsort(axis=2).argsort(axis=2)
    # `place` is when each feature is set on the walk forwards; the walk backwards passes the
    # complements of the sets that the walk forwards passes.
    forwards = place[:, :, None, :] < np.arange(1, task.features)[:, None]
    row = np.broadcast_to(chosen[:, None, None], forwards.shape[:3]).ravel()
    other = np.arange(len(base)) % task.background
    other = np.broadcast_to(other[None, :, None], forwards.shape[:3]).ravel()
    masks = forwards.reshape(-1, task.features)
    scores = task.score(np.concatenate([masks, ~masks]), np.tile(row, 2), np.tile(other, 2))
    middle = scores.reshape(2, *shape[:2], task.features - 1, shape[3])
    end = np.broadcast_to(there[:, None, None, :], shape)
    begin = np.broadcast_to(base[None, :, None, :], shape)
    up = np.diff(np.concatenate([begin, middle[0], end], axis=2), axis=2)
    down = -np.diff(np.concatenate([end, middle[1], begin], axis=2), axis=2)
    return np.asarray(np.take_along_axis((up + down) / 2, place[..., None], axis=2))
