"""Monthly salary by years of management experience: weighted least squares in plain numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

LABEL = "monthly_salary"
FEATURES = ["management_years", "at_coast"]


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The years as they are, and the site as 0 (inland) or 1 (coast); who it is is not learned."""
    return pd.DataFrame(
        {
            "management_years": frame["management_years"].astype(float),
            "at_coast": (frame["site"] == "coast").astype(float),
        },
        index=frame.index,
    )


def train(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    hyperparameters: dict[str, Any],
    *,
    weights: pd.Series,
    report: Callable[..., None],
) -> dict[str, float]:
    """Solve (X'WX + ridge D) b = X'Wy, where D is 1 for each feature and 0 for the intercept.

    X'WX is divided by the sum of the weights, so that `ridge` means the same for any number of
    rows; 0 is plain least squares.
    """
    table = with_ones(train)
    share = weights.to_numpy(float) / weights.sum()
    moments = table.T @ (share[:, None] * table)
    targets = table.T @ (share * train[LABEL].to_numpy(float))
    penalty = float(hyperparameters.get("ridge", 0.0)) * np.diag([0.0, *np.ones(len(FEATURES))])
    # A column that is constant in these rows leaves the solution open; lstsq takes the smallest.
    found = np.linalg.lstsq(moments + penalty, targets, rcond=None)[0]
    model = dict(zip(["intercept", *FEATURES], found.tolist(), strict=True))
    errors = {
        f"{name}_rmse": float(np.sqrt(np.mean((predict(model, rows) - rows[LABEL]) ** 2)))
        for name, rows in (("train", train), ("validation", validation))
        if len(rows)
    }
    report(round=1, **errors)
    return model


def predict(model: dict[str, float], frame: pd.DataFrame) -> np.ndarray:
    """The expected monthly salary."""
    return with_ones(frame) @ np.array([model["intercept"], *(model[name] for name in FEATURES)])


def predict_row(model: dict[str, float], row: Mapping[str, Any]) -> float:
    """The same for one row as it was asked, without a frame."""
    years = model["management_years"] * row["management_years"]
    return model["intercept"] + years + model["at_coast"] * (row["site"] == "coast")


def coefficients(model: dict[str, float]) -> dict[str, Any]:
    """What makes explanations exact: each feature adds its coefficient times its value."""
    return {
        "intercept": model["intercept"],
        "coefficients": {name: model[name] for name in FEATURES},
    }


def with_ones(frame: pd.DataFrame) -> np.ndarray:
    """The features behind a column of ones, which the intercept belongs to."""
    return np.column_stack([np.ones(len(frame)), frame[FEATURES].to_numpy(float)])
