"""Gradient boosted trees on UCI Abalone: rings, and so age, by an animal's measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from jobs.boosted_rows import boosted_row
from jobs.boosting import boost

LABEL = "rings"


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Features of each row by itself; the water that is neither meat, guts nor shell."""
    prepared = frame.copy()
    parts = ["shucked_weight", "viscera_weight", "shell_weight"]
    prepared["lost_weight"] = prepared["whole_weight"] - prepared[parts].sum(axis=1)
    return prepared


def train(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    hyperparameters: dict[str, Any],
    *,
    weights: pd.Series,
    checkpoints: Path | None,
    report: Callable[..., None],
) -> lgb.Booster:
    """Boost until the validation rows gain no more.

    An interrupted training goes on from its last checkpoint.
    """
    parameters = dict(hyperparameters)
    rounds = parameters.pop("rounds", 400)
    patience = parameters.pop("early_stopping", 40)
    return boost(
        {
            "objective": "regression",
            "metric": "rmse",
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            **parameters,
        },
        (train.drop(columns=LABEL), train[LABEL]),
        (validation.drop(columns=LABEL), validation[LABEL]),
        rounds=rounds,
        patience=patience,
        weights=weights,
        checkpoints=checkpoints,
        report=report,
    )


def predict(model: lgb.Booster, frame: pd.DataFrame) -> np.ndarray:
    """The expected number of rings."""
    return model.predict(frame)


def predict_row(model: lgb.Booster, row: Mapping[str, Any]) -> float:
    """The same for one row as it was asked, without a frame."""
    parts = row["shucked_weight"] + row["viscera_weight"] + row["shell_weight"]
    return boosted_row(model, {**row, "lost_weight": row["whole_weight"] - parts}, ("sex",))
