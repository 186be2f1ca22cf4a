"""The model.py that a new project starts with: gradient boosted trees on any columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

SPECIAL = re.compile(r'[\[\]{}",:]')
OBJECTIVES = {
    "binary": ("binary", "auc", "the probability of the positive class"),
    "multiclass": ("multiclass", "multi_logloss", "the probability of each class, in level order"),
    "regression": ("regression", "rmse", "the expected value"),
}

TEMPLATE = '''"""{title}"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

LABEL = {label}
# Free text, names and the like: of no use to trees as they are.
UNUSED = {unused}
MOMENTS = {moments}
# LightGBM takes no names with brackets, braces, quotes, commas or colons.
RENAMED = {renamed}


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Features of each row by itself; what is learned from many rows belongs into train."""
    prepared = frame.drop(columns=UNUSED)
    for name in MOMENTS:
        moment = prepared.pop(name)
        prepared[f"{{name}} year"] = moment.dt.year.astype("float64")
        prepared[f"{{name}} month"] = moment.dt.month.astype("float64")
        prepared[f"{{name}} weekday"] = moment.dt.weekday.astype("float64")
    return prepared.rename(columns=RENAMED)


def train(
    train: pd.DataFrame, validation: pd.DataFrame, hyperparameters: dict[str, Any]
) -> lgb.Booster:
    """Boost until the validation rows gain no more."""
    parameters = dict(hyperparameters)
    rounds = parameters.pop("rounds", 300)
    data = lgb.Dataset(train.drop(columns=LABEL), train[LABEL], free_raw_data=False)
    watched = {{}}
    if len(validation):
        watched = {{
            "valid_sets": [data.create_valid(validation.drop(columns=LABEL), validation[LABEL])],
            "callbacks": [lgb.early_stopping(30, verbose=False)],
        }}
    return lgb.train(
        {{
            "objective": "{objective}",
            "metric": "{metric}",{classes}
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            **parameters,
        }},
        data,
        num_boost_round=rounds,
        **watched,
    )


def predict(model: lgb.Booster, frame: pd.DataFrame) -> np.ndarray:
    """{returns}"""
    return model.predict(frame)
'''


def model_source(
    *,
    label: str,
    problem: str,
    features: Sequence[str],
    unused: Sequence[str],
    moments: Sequence[str],
) -> str:
    """The source of model.py for a problem; column names may hold any characters."""
    objective, metric, returns = OBJECTIVES[problem]
    classes = ""
    if problem == "multiclass":
        classes = '\n            "num_class": int(train[LABEL].max()) + 1,'
    return TEMPLATE.format(
        title="Gradient boosted trees; started by `perennial init`.",
        label=json.dumps(label),
        unused=json.dumps(list(unused)),
        moments=json.dumps(list(moments)),
        renamed=json.dumps(_renamed(features, unused, moments)),
        objective=objective,
        metric=metric,
        classes=classes,
        returns=returns[0].upper() + returns[1:] + ".",
    )


def _renamed(
    features: Sequence[str], unused: Sequence[str], moments: Sequence[str]
) -> dict[str, str]:
    """New names for the prepared columns that LightGBM would refuse, none of them twice."""
    names = [name for name in features if name not in unused and name not in moments]
    names += [f"{name} {part}" for name in moments for part in ("year", "month", "weekday")]
    renamed: dict[str, str] = {}
    for name in names:
        plain = SPECIAL.sub("_", name)
        if plain == name:
            continue
        while plain in names or plain in renamed.values():
            plain += "_"
        renamed[name] = plain
    return renamed
