"""The learning curve of a training: what train() reports, as metric lines and as a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

MOST_ROUNDS = 200
LONGEST_NAME = 60


class LearningCurve:
    """What model.py calls as `report(round=10, train_auc=0.93, validation_auc=0.91)`."""

    def __init__(self) -> None:
        self._rounds: list[dict[str, float]] = []

    def __call__(self, round: int, **figures: float) -> None:  # noqa: A002  # the contract's word
        """Print one line of metrics and remember it; raises what says that it got no figure."""
        if isinstance(round, bool) or not isinstance(round, int) or round < 0:
            raise ValueError(f"report() takes a whole number as round, not {round!r}")
        line: dict[str, float] = {"round": round}
        for name, value in figures.items():
            if not isinstance(value, Real) or isinstance(value, bool):
                raise TypeError(f"report() takes numbers; {name} is {value!r}")
            if len(name) > LONGEST_NAME:
                raise ValueError(f"report() takes names of at most {LONGEST_NAME} characters")
            # A figure that is not defined is left out; JSON has no word for it.
            if math.isfinite(value):
                line[name] = float(value)
        self._rounds.append(line)
        print(" ".join(f"{name}={value:.10g};" for name, value in line.items()), flush=True)

    @property
    def rounds(self) -> list[dict[str, float]]:
        """At most 200 of the reported rounds, evenly chosen, the first and the last among them."""
        return thinned(self._rounds, MOST_ROUNDS)


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of some values, evenly chosen, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]
