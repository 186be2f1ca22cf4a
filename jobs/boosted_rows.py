"""Scores one row by a LightGBM model without a frame, to the bit as the frame's way.

A helper for `predict_row` in model.py. What LightGBM does with a frame is done here by hand:
features in the model's order as float64, a level as its place among those of training, a missing
one as not-a-number (lightgbm 4.7, `basic.py`, `_data_from_pandas`). Exact for columns of float64,
integers and categories. The numbers then go to the function of LightGBM's C API that is made for
single rows (`LGBM_BoosterPredictForMatSingleRowFast`), which Python's package does not offer: it
takes 3 microseconds where `Booster.predict` takes 20.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
from lightgbm import basic

FLOAT64, NORMAL = 1, 0  # C_API_DTYPE_FLOAT64, C_API_PREDICT_NORMAL in LightGBM's c_api.h
ALL_ROUNDS = -1


class _Plan:
    """How a row becomes the numbers of one model, and those its score."""

    def __init__(self, booster: lgb.Booster, categories: Sequence[str]) -> None:
        levels = booster.pandas_categorical or []
        if len(levels) != len(categories):
            raise ValueError(
                f"the model was trained with {len(levels)} category columns, not with "
                f"{len(categories)} ({', '.join(categories)})"
            )
        if booster.num_model_per_iteration() != 1:
            raise ValueError("the model gives a score for each class, boosted_row one only")
        codes: dict[str, dict[Any, float]] = {
            name: {None: math.nan, **{level: float(code) for code, level in enumerate(column)}}
            for name, column in zip(categories, levels, strict=True)
        }
        self._features = [(name, codes.get(name)) for name in booster.feature_name()]
        self._numbers = (ctypes.c_double * len(self._features))()
        self._length, self._score = ctypes.c_int64(), ctypes.c_double()
        self._targets = (ctypes.byref(self._length), ctypes.byref(self._score))
        self._lock = threading.Lock()  # the numbers above are of one row at a time
        self._fast = ctypes.c_void_p()
        rounds = max(booster.best_iteration, 0) or ALL_ROUNDS
        _check(
            basic._LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,
                ctypes.c_int(NORMAL),
                ctypes.c_int(0),
                ctypes.c_int(rounds),
                ctypes.c_int(FLOAT64),
                ctypes.c_int32(len(self._features)),
                ctypes.c_char_p(b""),
                ctypes.byref(self._fast),
            )
        )
        weakref.finalize(self, basic._LIB.LGBM_FastConfigFree, self._fast)

    def score(self, row: Mapping[str, Any]) -> float:
        """The score of a row."""
        values = [
            row[name] if codes is None else codes[row[name]] for name, codes in self._features
        ]
        with self._lock:
            self._numbers[:] = values
            _check(
                basic._LIB.LGBM_BoosterPredictForMatSingleRowFast(
                    self._fast, self._numbers, *self._targets
                )
            )
            return self._score.value


def _check(code: int) -> None:
    """Raise LightGBM's own error for a call that failed."""
    if code:
        raise basic.LightGBMError(basic._LIB.LGBM_GetLastError().decode("utf-8", "replace"))


_plans: weakref.WeakKeyDictionary[lgb.Booster, _Plan] = weakref.WeakKeyDictionary()


def boosted_row(
    booster: lgb.Booster, row: Mapping[str, Any], categories: Sequence[str] = ()
) -> float:
    """What `booster.predict` gives one row of prepared features, by name.

    `categories` are the names of the category columns, in the order of the prepared frame. Raises
    KeyError for a feature that the row lacks or a level that the model does not know, ValueError
    for a model that these do not fit.
    """
    plan = _plans.get(booster)
    if plan is None:
        plan = _plans[booster] = _Plan(booster, categories)
    return plan.score(row)
