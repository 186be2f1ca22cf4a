"""Boosting with LightGBM that reports its rounds, stops early, and survives interruptions.

A helper for model.py: `lightgbm.train` with a callback that the projects would else repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import pandas as pd

from jobs.checkpoints import Checkpoint, Checkpoints

#: After so many rounds each a line of the learning curve, and a checkpoint.
EVERY = 10

Report = Callable[..., None]
Part = tuple[pd.DataFrame, "pd.Series[Any]"]


def boost(  # noqa: PLR0913  # what boosting rests on, by name
    parameters: Mapping[str, Any],
    train: Part,
    validation: Part,
    *,
    rounds: int,
    patience: int,
    weights: pd.Series[Any] | None = None,
    checkpoints: Path | None = None,
    report: Report | None = None,
) -> lgb.Booster:
    """Boost `rounds` rounds, or until the validation rows gain nothing for `patience` of them.

    `train` and `validation` are features and labels; validation may be empty. `parameters` are
    LightGBM's, with one `metric`. With `checkpoints`, rounds that an interrupted training left
    are taken up (`init_model`) and only the missing ones are trained.
    """
    data = lgb.Dataset(*train, weight=weights, free_raw_data=False)
    key = {"parameters": dict(parameters), "rows": len(train[0]), "columns": list(train[0])}
    saved = Checkpoints(checkpoints, key)
    found, booster = _take_up(saved, rounds)
    progress = _Progress(saved, report, patience, found)
    if found is not None and booster is not None and found.round >= rounds:
        booster.best_iteration = progress.best_round
        return booster
    watched = [data.create_valid(*validation)] if len(validation[0]) else []
    return lgb.train(
        dict(parameters),
        data,
        num_boost_round=rounds - (found.round if found else 0),
        init_model=booster,
        valid_sets=watched,
        callbacks=[progress],
    )


def _take_up(saved: Checkpoints, rounds: int) -> tuple[Checkpoint | None, lgb.Booster | None]:
    """What an interrupted training left, if LightGBM can read it."""
    found = saved.read()
    if found is None:
        return None, None
    try:
        booster = lgb.Booster(model_str=found.text)
    except (lgb.basic.LightGBMError, ValueError) as error:
        saved.ignore(f"LightGBM cannot read it ({error})")
        return None, None
    missing = max(rounds - found.round, 0)
    print(
        f"checkpoint: {found.round} of {rounds} rounds are done; training the missing {missing}",
        flush=True,
    )
    return found, booster


class _Progress:
    """LightGBM's callback after each round: early stopping, learning curve, checkpoints."""

    order = 20
    before_iteration = False

    def __init__(
        self,
        saved: Checkpoints,
        report: Report | None,
        patience: int,
        found: Checkpoint | None,
    ) -> None:
        self.saved = saved
        self.report = report
        self.patience = patience
        state = found.state if found else {}
        self.best: float | None = state.get("best")
        self.best_round: int = state.get("best_round", 0)

    def __call__(self, env: Any) -> None:
        """One round is done."""
        number = env.iteration + 1
        is_last = number == env.end_iteration
        results = [each for each in env.evaluation_result_list or [] if each[0] != "training"]
        if results:
            _, _, score, higher_is_better = results[0][:4]
            better = self.best is None or (
                score > self.best if higher_is_better else score < self.best
            )
            if better:
                self.best, self.best_round = score, number
        stops = bool(results) and number - self.best_round >= self.patience
        if number % EVERY == 0 or is_last or stops:
            self._tell(env, number, results)
            state = {"best": self.best, "best_round": self.best_round}
            if self.saved.path is not None:
                self.saved.write(number, env.model.model_to_string(num_iteration=-1), state)
        if results and (stops or is_last):
            name, metric, _, higher_is_better = results[0][:4]
            best = [(name, metric, self.best, higher_is_better)]
            raise lgb.callback.EarlyStopException(self.best_round - 1, best)

    def _tell(self, env: Any, number: int, results: list[Any]) -> None:
        if self.report is None:
            return
        figures = {f"train_{each[1]}": each[2] for each in env.model.eval_train()}
        figures |= {f"validation_{each[1]}": each[2] for each in results}
        self.report(round=number, **figures)
