"""When a trial is not worth its end: SageMaker's median rule."""

from collections.abc import Sequence
from itertools import accumulate
from statistics import median

PEERS = 2  # completed trials that a median needs at least


class MedianRule:
    """Compares a running trial with the completed ones, epoch by epoch.

    The rule as AWS documents it for TrainingJobEarlyStoppingType=Auto: a training job is stopped
    when its objective after some epoch is worse than the median, over the earlier training jobs,
    of their running averages up to the same epoch.
    """

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._averages: list[list[float]] = []

    def completed(self, values: Sequence[float]) -> None:
        """Learn the objective values of a completed trial, one an epoch."""
        sums = accumulate(values)
        self._averages.append([total / epoch for epoch, total in enumerate(sums, 1)])

    def is_hopeless(self, values: Sequence[float]) -> bool:
        """Whether a trial that has shown these values so far is to be stopped."""
        epoch = len(values)
        if not epoch:
            return False
        peers = [averages[epoch - 1] for averages in self._averages if len(averages) >= epoch]
        if len(peers) < PEERS:
            return False
        return self._sign * values[-1] < self._sign * median(peers)
