"""The best that could have been done: trainings chosen in hindsight, by dynamic programming."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.policy_losses import Losses
from bench.policy_streams import SEED, Array

SPLITS = 3


@dataclass(frozen=True)
class Game:
    """Who pays what. `errors[i, j]`: of the model trained up to window `first + i` in window j.

    At the end of window t the newest known labels are those of window t - late. A training uses
    them, costs `alpha`, and its model serves from window t + 1. The first model is given.
    """

    errors: Array
    first: int
    alpha: float
    late: int = 0

    @property
    def start(self) -> int:
        """The first window that counts."""
        return self.first + 1 + self.late

    @property
    def end(self) -> int:
        """The window after the last one."""
        return int(self.errors.shape[1])

    def choices(self) -> range:
        """The models that can be trained and still serve a window."""
        return range(self.first + 1, self.end - 1 - self.late)

    def cost(self, plan: Sequence[int]) -> float:
        """The cost of training these models, in order, each released at once."""
        total = self.alpha * len(plan)
        models = [self.first, *plan]
        begins = [self.start, *(model + 1 + self.late for model in plan), self.end]
        for model, (begin, end) in zip(models, itertools.pairwise(begins), strict=True):
            total += float(self.errors[model - self.first, begin:end].sum())
        return total


def best_plan(game: Game) -> list[int]:
    """The cheapest plan of all, exactly: O(windows²)."""
    sums = np.concatenate([np.zeros((len(game.errors), 1)), np.cumsum(game.errors, axis=1)], axis=1)
    ahead = 1 + game.late
    rest: dict[int, float] = {}
    following: dict[int, int | None] = {}
    for model in reversed([game.first, *game.choices()]):
        row = sums[model - game.first]
        begin = game.start if model == game.first else model + ahead
        best, chosen = float(row[game.end] - row[begin]), None
        for later in range(max(model + 1, game.first + 1), game.end - ahead):
            cost = float(row[later + ahead] - row[begin]) + game.alpha + rest[later]
            if cost < best:
                best, chosen = cost, later
        rest[model], following[model] = best, chosen
    plan: list[int] = []
    at = following[game.first]
    while at is not None:
        plan.append(at)
        at = following[at]
    return plan


def brute_force(game: Game) -> float:
    """The cheapest cost by trying every plan: for small games."""
    choices = list(game.choices())
    plans = itertools.chain.from_iterable(
        itertools.combinations(choices, size) for size in range(len(choices) + 1)
    )
    return min((game.cost(plan) for plan in plans), default=math.inf)


def cross_fitted(losses: Losses, alpha: float, late: int) -> float:
    """The cost of plans chosen on one half of each window's rows and charged on the other half.

    What the exact oracle gains by the luck of single rows is gone. Mean of both directions and
    several splits.
    """
    random = np.random.default_rng(SEED)
    costs = []
    for _ in range(SPLITS):
        half = random.random(losses.rows.shape[1]) < 0.5
        one, two = losses.means(half), losses.means(~half)
        for chosen_on, charged in ((one, two), (two, one)):
            plan = best_plan(Game(chosen_on, losses.first, alpha, late))
            costs.append(Game(charged, losses.first, alpha, late).cost(plan))
    return float(np.mean(costs))
