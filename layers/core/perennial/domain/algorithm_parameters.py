"""What SageMaker's built-in algorithms may be told, and what they report of validation rows.

From the algorithms' own pages in the developer guide (xgboost_hyperparameters, xgboost-tuning,
ll_hyperparameters, linear-learner-tuning). SageMaker refuses an unknown or impossible value only
when the training job is created; here it is refused before anything starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ENDLESS = math.inf


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter: a number from `low` to `high`, or one of `choices` (none: any text)."""

    kind: Literal["int", "float", "text"]
    low: float = -ENDLESS
    high: float = ENDLESS
    choices: tuple[str, ...] = ()
    auto: bool = False

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        if self.kind == "text":
            return " or ".join(self.choices) if self.choices else "text"
        noun = "a whole number" if self.kind == "int" else "a number"
        low = "" if math.isinf(self.low) else f" of at least {self.low:g}"
        high = "" if math.isinf(self.high) else f"{' and' if low else ' of'} at most {self.high:g}"
        return f"{noun}{low}{high}" + (", or auto" if self.auto else "")

    def accepts(self, value: Any) -> bool:
        """Say whether a value may stand in the settings; texts of numbers count as numbers."""
        text = str(value).lower() if isinstance(value, bool) else value
        if self.kind == "text":
            return not self.choices or str(text) in self.choices
        if self.auto and text == "auto":
            return True
        try:
            number = float(text)
        except (TypeError, ValueError, OverflowError):
            return False
        fits = self.low <= number <= self.high and math.isfinite(number)
        return fits and (self.kind == "float" or number.is_integer())


def _number(low: float = -ENDLESS, high: float = ENDLESS, *, auto: bool = False) -> Parameter:
    return Parameter("float", low, high, auto=auto)


def _whole(low: float = -ENDLESS, high: float = ENDLESS, *, auto: bool = False) -> Parameter:
    return Parameter("int", low, high, auto=auto)


def _text(*choices: str) -> Parameter:
    return Parameter("text", choices=choices)


_TRUTH = _text("true", "false")
_TRUTH_OR_AUTO = _text("true", "false", "auto")

PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "xgboost": {
        "num_round": _whole(1),
        "num_class": _whole(2),
        "alpha": _number(0),
        "base_score": _number(),
        "booster": _text("gbtree", "gblinear", "dart"),
        "colsample_bylevel": _number(0, 1),
        "colsample_bynode": _number(0, 1),
        "colsample_bytree": _number(0, 1),
        "csv_weights": _whole(0, 1),
        "early_stopping_rounds": _whole(1),
        "eta": _number(0, 1),
        "eval_metric": _text(),
        "gamma": _number(0),
        "grow_policy": _text("depthwise", "lossguide"),
        "interaction_constraints": _text(),
        "lambda": _number(0),
        "lambda_bias": _number(0, 1),
        "max_bin": _whole(2),
        "max_delta_step": _number(0),
        "max_depth": _whole(0),
        "max_leaves": _whole(0),
        "min_child_weight": _number(0),
        "monotone_constraints": _text(),
        "normalize_type": _text("tree", "forest"),
        "nthread": _whole(1),
        "objective": _text(),
        "one_drop": _whole(0, 1),
        "process_type": _text("default", "update"),
        "rate_drop": _number(0, 1),
        "refresh_leaf": _whole(0, 1),
        "sample_type": _text("uniform", "weighted"),
        "scale_pos_weight": _number(0),
        "seed": _whole(0, 2**31 - 1),
        "single_precision_histogram": _TRUTH,
        "sketch_eps": _number(0, 1),
        "skip_drop": _number(0, 1),
        "subsample": _number(0, 1),
        "tree_method": _text("auto", "exact", "approx", "hist", "gpu_hist"),
        "tweedie_variance_power": _number(1, 2),
        "updater": _text(),
        "verbosity": _whole(0, 3),
    },
    "linear-learner": {
        "predictor_type": _text("binary_classifier", "multiclass_classifier", "regressor"),
        "num_classes": _whole(3, 1_000_000),
        "feature_dim": _whole(1, auto=True),
        "accuracy_top_k": _whole(1),
        "balance_multiclass_weights": _TRUTH,
        "beta_1": _number(0, 1, auto=True),
        "beta_2": _number(0, 1, auto=True),
        "bias_lr_mult": _number(0, auto=True),
        "bias_wd_mult": _number(0, auto=True),
        "binary_classifier_model_selection_criteria": _text(
            "accuracy",
            "f_beta",
            "precision_at_target_recall",
            "recall_at_target_precision",
            "loss_function",
        ),
        "early_stopping_patience": _whole(1),
        "early_stopping_tolerance": _number(0),
        "epochs": _whole(1),
        "f_beta": _number(0),
        "huber_delta": _number(0),
        "init_bias": _number(),
        "init_method": _text("uniform", "normal"),
        "init_scale": _number(0),
        "init_sigma": _number(0),
        "l1": _number(0, auto=True),
        "learning_rate": _number(0, auto=True),
        "loss": _text(
            "auto",
            "logistic",
            "hinge_loss",
            "softmax_loss",
            "squared_loss",
            "absolute_loss",
            "eps_insensitive_squared_loss",
            "eps_insensitive_absolute_loss",
            "quantile_loss",
            "huber_loss",
        ),
        "loss_insensitivity": _number(0),
        "lr_scheduler_factor": _number(0, 1, auto=True),
        "lr_scheduler_minimum_lr": _number(0, auto=True),
        "lr_scheduler_step": _whole(1, auto=True),
        "margin": _number(0),
        "mini_batch_size": _whole(1),
        "momentum": _number(0, 1, auto=True),
        "normalize_data": _TRUTH_OR_AUTO,
        "normalize_label": _TRUTH_OR_AUTO,
        "num_calibration_samples": _whole(1, auto=True),
        "num_models": _whole(1, auto=True),
        "num_point_for_scaler": _whole(1),
        "optimizer": _text("auto", "adam", "sgd", "rmsprop"),
        "positive_example_weight_mult": Parameter("float", 0, auto=True),
        "quantile": _number(0, 1),
        "target_precision": _number(0, 1),
        "target_recall": _number(0, 1),
        "unbias_data": _TRUTH_OR_AUTO,
        "unbias_label": _TRUTH_OR_AUTO,
        "use_bias": _TRUTH,
        "use_lr_scheduler": _TRUTH,
        "wd": _number(0, auto=True),
    },
}

# Our figures that an algorithm itself reports of the validation rows, by problem, with the names
# under which a tuning job knows them.
OBJECTIVES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "xgboost": {
        "binary": {
            "auc": "validation:auc",
            "accuracy": "validation:accuracy",
            "f1": "validation:f1",
            "log_loss": "validation:logloss",
        },
        "multiclass": {
            "accuracy": "validation:accuracy",
            "log_loss": "validation:mlogloss",
        },
        "regression": {
            "rmse": "validation:rmse",
            "mae": "validation:mae",
            "mse": "validation:mse",
        },
    },
    "linear-learner": {
        "binary": {
            "auc": "validation:roc_auc_score",
            "accuracy": "validation:binary_classification_accuracy",
            "precision": "validation:precision",
            "recall": "validation:recall",
            "f1": "validation:binary_f_beta",
        },
        "multiclass": {"accuracy": "validation:multiclass_accuracy"},
        "regression": {
            "rmse": "validation:mse",  # which ranks trials alike
            "mae": "validation:absolute_loss",
            "mse": "validation:mse",
        },
    },
}
