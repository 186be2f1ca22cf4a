"""Gradient boosted trees on UCI Adult: who earns more than 50,000 dollars a year?"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

LABEL = "income"
# The survey's sampling weight says nothing about a person's income.
UNUSED = ["fnlwgt"]


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Features of each row by itself; nothing is learned from other rows here."""
    prepared = frame.drop(columns=UNUSED)
    prepared["capital"] = prepared["capital_gain"] - prepared["capital_loss"]
    return prepared


def train(
    train: pd.DataFrame, validation: pd.DataFrame, hyperparameters: dict[str, Any]
) -> lgb.Booster:
    """Boost until the validation rows gain no more; `income` is 1 for >50K."""
    parameters = dict(hyperparameters)
    rounds = parameters.pop("rounds", 300)
    patience = parameters.pop("early_stopping", 30)
    data = lgb.Dataset(train.drop(columns=LABEL), train[LABEL], free_raw_data=False)
    watched = {}
    if len(validation):
        watched = {
            "valid_sets": [data.create_valid(validation.drop(columns=LABEL), validation[LABEL])],
            "callbacks": [lgb.early_stopping(patience, verbose=False)],
        }
    return lgb.train(
        {
            "objective": "binary",
            "metric": "auc",
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
    """The probability of more than 50,000 dollars."""
    return model.predict(frame)
