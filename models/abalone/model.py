"""Gradient boosted trees on UCI Abalone: rings, and so age, by an animal's measures."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

LABEL = "rings"


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Features of each row by itself; the water that is neither meat, guts nor shell."""
    prepared = frame.copy()
    parts = ["shucked_weight", "viscera_weight", "shell_weight"]
    prepared["lost_weight"] = prepared["whole_weight"] - prepared[parts].sum(axis=1)
    return prepared


def train(
    train: pd.DataFrame, validation: pd.DataFrame, hyperparameters: dict[str, Any]
) -> lgb.Booster:
    """Boost until the validation rows gain no more."""
    parameters = dict(hyperparameters)
    rounds = parameters.pop("rounds", 400)
    patience = parameters.pop("early_stopping", 40)
    data = lgb.Dataset(train.drop(columns=LABEL), train[LABEL], free_raw_data=False)
    watched = {}
    if len(validation):
        watched = {
            "valid_sets": [data.create_valid(validation.drop(columns=LABEL), validation[LABEL])],
            "callbacks": [lgb.early_stopping(patience, verbose=False)],
        }
    return lgb.train(
        {
            "objective": "regression",
            "metric": "rmse",
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            **parameters,
        },
        data,
        num_boost_round=rounds,
        **watched,
    )


def predict(model: lgb.Booster, frame: pd.DataFrame) -> np.ndarray:
    """The expected number of rings."""
    return model.predict(frame)
