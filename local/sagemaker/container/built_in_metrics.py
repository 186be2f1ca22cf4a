"""The metrics that SageMaker itself defines for its algorithms, by regular expression.

As `DescribeTrainingJob` shows them of such jobs; a job may not define others. `#011` is a tab, as
the log of XGBoost's container writes it.
"""

from collections.abc import Mapping

_XGBOOST = (
    *("accuracy", "auc", "balanced_accuracy", "error", "f1", "f1_binary", "f1_macro"),
    *("logloss", "mae", "map", "merror", "mlogloss", "mse", "ndcg", "precision"),
    *("precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro"),
    "rmse",
)
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_LINEAR_SCORES = {
    "absolute_loss": "absolute_loss",
    "binary_classification_accuracy": "binary_classification_accuracy",
    "binary_f_beta": r"binary_f_\S+",
    "dcg": "dcg",
    "macro_f_beta": r"macro_f_\S+",
    "macro_precision": "macro_precision",
    "macro_recall": "macro_recall",
    "mse": "mse",
    "multiclass_accuracy": "multiclass_accuracy",
    "multiclass_top_k_accuracy": r"multiclass_top_k_accuracy_\S+",
    "precision": "precision",
    "r2": "r2",
    "recall": "recall",
    "roc_auc_score": "roc_auc_score",
}

XGBOOST_METRICS: tuple[Mapping[str, str], ...] = tuple(
    {"Name": f"{part}:{name}", "Regex": rf".*\[[0-9]+\].*#011{part}-{name}:{_NUMBER}.*"}
    for name in _XGBOOST
    for part in ("train", "validation")
)
LINEAR_LEARNER_METRICS: tuple[Mapping[str, str], ...] = (
    *(
        {
            "Name": f"{part}:objective_loss",
            "Regex": rf"#quality_metric: host=\S+, epoch=\S+, {part} \S+ <loss>=(\S+)",
        }
        for part in ("train", "validation")
    ),
    *(
        {
            "Name": f"{part}:objective_loss:final",
            "Regex": rf"#quality_metric: host=\S+, {part} \S+ <loss>=(\S+)",
        }
        for part in ("train", "validation")
    ),
    *(
        {
            "Name": f"validation:{name}",
            "Regex": rf"#quality_metric: host=\S+, validation {pattern} <score>=(\S+)",
        }
        for name, pattern in _LINEAR_SCORES.items()
    ),
    {
        "Name": "train:progress",
        "Regex": r"#progress_metric: host=\S+, completed (\S+) %",
    },
)
