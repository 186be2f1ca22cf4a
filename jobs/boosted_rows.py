"""Scores one row by a LightGBM model without a frame, to the bit as the frame's way.

A helper for `predict_row` in model.py. What LightGBM does with a frame is done here by hand:
features in the model's order as float64, a level as its place among those of training, a missing
one as not-a-number (lightgbm 4.7, `basic.py`, `_data_from_pandas`). Exact for columns of float64,
integers and categories.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np


class _Plan:
    """How a row becomes the numbers of one model."""

    def __init__(self, booster: lgb.Booster, categories: Sequence[str]) -> None:
        levels = booster.pandas_categorical or []
        if len(levels) != len(categories):
            raise ValueError(
                f"the model was trained with {len(levels)} category columns, not with "
                f"{len(categories)} ({', '.join(categories)})"
            )
        self.codes: dict[str, dict[Any, float]] = {
            name: {None: math.nan, **{level: float(code) for code, level in enumerate(column)}}
            for name, column in zip(categories, levels, strict=True)
        }
        self.features = [(name, self.codes.get(name)) for name in booster.feature_name()]

    def numbers(self, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """The model's input of one row."""
        values = [row[name] if codes is None else codes[row[name]] for name, codes in self.features]
        return np.array([values], dtype=np.float64)


_plans: weakref.WeakKeyDictionary[lgb.Booster, _Plan] = weakref.WeakKeyDictionary()


def boosted_row(
    booster: lgb.Booster, row: Mapping[str, Any], categories: Sequence[str] = ()
) -> float:
    """What `booster.predict` gives one row of prepared features, by name.

    `categories` are the names of the category columns, in the order of the prepared frame. Raises
    KeyError for a feature that the row lacks or a level that the model does not know.
    """
    plan = _plans.get(booster)
    if plan is None:
        plan = _plans[booster] = _Plan(booster, categories)
    return float(booster.predict(plan.numbers(row))[0])
