"""Which hyperparameters to try next: optuna's samplers over a tuning job's ranges."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from local.sagemaker.ranges import Range


class Search:
    """One search. Used by one thread; several suggestions may be open at once.

    Bayesian is optuna's tree-structured Parzen estimator, whose constant liar keeps parallel
    trials apart; it looks at random first, for a third of the jobs, at least three, at most ten.
    """

    def __init__(
        self, ranges: Sequence[Range], strategy: str, *, maximize: bool, jobs: int, seed: int | None
    ) -> None:
        import optuna  # noqa: PLC0415 - 0.5 s, and only tuning jobs need it

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._ranges = {entry.name: entry for entry in ranges}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the constant liar is called experimental
            sampler: Any = (
                optuna.samplers.RandomSampler(seed=seed)
                if strategy == "Random"
                else optuna.samplers.TPESampler(
                    n_startup_trials=min(10, max(3, jobs // 3)), constant_liar=True, seed=seed
                )
            )
        self._distributions = {entry.name: self._distribution(entry) for entry in ranges}
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize", sampler=sampler
        )
        self._open: dict[int, Any] = {}

    def suggest(self) -> tuple[int, dict[str, str]]:
        """A number to `tell` by, and the hyperparameters as a training job gets them."""
        trial = self._study.ask(fixed_distributions=self._distributions)
        self._open[trial.number] = trial
        chosen = {
            name: entry.text(self._outside(entry, trial.params[name]))
            for name, entry in self._ranges.items()
        }
        return trial.number, chosen

    def tell(self, number: int, value: float | None) -> None:
        """What came of a suggestion: its objective, or nothing."""
        trial = self._open.pop(number)
        if value is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)

    def observe(self, chosen: Mapping[str, str], value: float) -> bool:
        """Learn from a training job of a parent; False if it lies outside these ranges."""
        params = self._inside(chosen)
        if params is None:
            return False
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=params, distributions=self._distributions, value=value
            )
        )
        return True

    def begin_with(self, chosen: Mapping[str, str]) -> bool:
        """Suggest these hyperparameters first; False if they lie outside these ranges."""
        params = self._inside(chosen)
        if params is None:
            return False
        self._study.enqueue_trial(params)
        return True

    def _inside(self, chosen: Mapping[str, str]) -> dict[str, Any] | None:
        """Hyperparameters on the sampler's scale."""
        found: dict[str, Any] = {}
        for name, entry in self._ranges.items():
            value = entry.parsed(chosen.get(name))
            if value is None:
                return None
            found[name] = 1.0 - value if entry.scale == "ReverseLogarithmic" else value
        return found

    def _outside(self, entry: Range, value: Any) -> Any:
        """A sampled value as the training job means it."""
        if entry.scale != "ReverseLogarithmic":
            return value
        return min(entry.high, max(entry.low, 1.0 - value))

    def _distribution(self, entry: Range) -> Any:
        kinds = self._optuna.distributions
        if entry.kind == "Categorical":
            return kinds.CategoricalDistribution(entry.values)
        log = entry.scale == "Logarithmic"
        if entry.kind == "Integer":
            return kinds.IntDistribution(int(entry.low), int(entry.high), log=log)
        if entry.scale == "ReverseLogarithmic":
            return kinds.FloatDistribution(1.0 - entry.high, 1.0 - entry.low, log=True)
        return kinds.FloatDistribution(entry.low, entry.high, log=log)
