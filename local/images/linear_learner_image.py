"""Stands in for AWS's linear learner (image `linear-learner:1`, whose source is not public).

The same algorithm by the developer guide, with its hyperparameters, logs in the form of public
logs of it, and the artifact that its readers expect. RecordIO input, and thresholds calibrated for
`binary_classifier_model_selection_criteria`, are not done: nothing here reads them.
"""

import json
import sys
from typing import Any

import numpy as np

from local.images.container import (
    CSV,
    Array,
    ClientError,
    Rows,
    base,
    hyperparameters,
    read_channel,
    run,
    say,
)
from local.images.linear_model import Fitted, Plan, Trainer
from local.images.mxnet_module import artifact

MODEL = "model_algo-1"
LOSSES = {
    "binary_classifier": ("logistic", "hinge_loss"),
    "multiclass_classifier": ("softmax_loss",),
    "regressor": (
        *("squared_loss", "absolute_loss", "eps_insensitive_squared_loss"),
        *("eps_insensitive_absolute_loss", "quantile_loss", "huber_loss"),
    ),
}
NAMES = {
    "logistic": "binary_classification_cross_entropy",
    "softmax_loss": "multiclass_cross_entropy",
}
MODELS = 32
RATES, PENALTIES = (0.003, 0.3), (1e-7, 1e-3)


def train() -> None:
    """Read, train, write."""
    given = hyperparameters("linear-learner", ("predictor_type",))
    parts: dict[str, Rows] = {}
    for name in ("train", "validation"):
        rows = read_channel(name, kinds=(CSV,), default="application/x-recordio-protobuf",
                            weighted=False)  # fmt: skip
        if rows is not None:
            parts[name] = rows
    if "train" not in parts:
        raise ClientError("Required channel train is not provided")
    for name, rows in parts.items():
        _check(given, name, rows, parts["train"].values.shape[1])
    plan = make_plan(given, parts["train"])
    say("#progress_metric: host=algo-1, completed 0 % of epochs")
    fitted = _fit(plan, parts)
    predictor = given["predictor_type"]
    objective = f"{NAMES.get(plan.loss, plan.loss)}_objective"
    for name, rows in parts.items():
        losses = fitted.train_losses if name == "train" else fitted.validation_losses
        say(f"#quality_metric: host=algo-1, {name} {objective} <loss>={min(losses)!r}")
        if name == "validation":
            for metric, value in scores(plan, predictor, fitted, rows, given).items():
                say(f"#quality_metric: host=algo-1, {name} {metric} <score>={value!r}")
    say(f"Best model found for hyperparameters: {json.dumps(fitted.chosen)}")
    folder = base() / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(artifact(predictor, fitted.weights, fitted.bias))


def _check(given: dict[str, str], name: str, rows: Rows, width: int) -> None:
    """What the algorithm refuses of its rows."""
    predictor, labels = given["predictor_type"], rows.labels
    wanted = given.get("feature_dim", "auto")
    width = width if wanted == "auto" else int(wanted)
    if rows.values.shape[1] != width:
        raise ClientError(
            f"The feature dimension of channel '{name}' ({rows.values.shape[1]}) does not match "
            f"feature_dim ({width})"
        )
    if not (np.isfinite(rows.values).all() and np.isfinite(labels).all()):
        raise ClientError(
            f"Unable to read data channel '{name}'. Requested content-type is '{CSV}'. Please "
            "verify the data matches the requested content-type. (caused by missing values)"
        )
    if predictor == "binary_classifier" and not np.isin(labels, (0, 1)).all():
        raise ClientError(
            "Wrong label was found. Please make sure that labels are 0 or 1 for "
            "predictor_type=binary_classifier"
        )
    if predictor == "multiclass_classifier":
        if "num_classes" not in given:
            raise ClientError("num_classes must be provided for multiclass_classifier")
        if not np.isin(labels, np.arange(int(given["num_classes"]))).all():
            raise ClientError(
                "Wrong label was found. Please make sure that labels are integers from 0 to "
                "num_classes - 1"
            )
    batch = int(given.get("mini_batch_size", 1000))
    if name == "train" and len(labels) < batch:
        raise ClientError(
            f"mini_batch_size ({batch}) must not be larger than the number of training rows "
            f"({len(labels)})"
        )


def _real(given: dict[str, str], name: str, default: float) -> float:
    text = given.get(name, "auto")
    return default if text == "auto" else float(text)


def _flag(given: dict[str, str], name: str, default: bool) -> bool:
    text = given.get(name, "auto")
    return default if text == "auto" else text == "true"


def make_plan(given: dict[str, str], rows: Rows) -> Plan:
    """The hyperparameters as the trainer takes them; raises `ClientError` for what cannot be."""
    predictor = given["predictor_type"]
    loss = given.get("loss", "auto")
    loss = LOSSES[predictor][0] if loss == "auto" else loss
    if loss not in LOSSES[predictor]:
        raise ClientError(f"loss {loss} cannot be used with predictor_type {predictor}")
    if given.get("use_lr_scheduler", "true") == "true":
        decay = (
            int(_real(given, "lr_scheduler_step", 100)),
            _real(given, "lr_scheduler_factor", 0.99),
            _real(given, "lr_scheduler_minimum_lr", 1e-5),
        )
    else:
        decay = None
    rates, l1, wd = _models(given)
    optimizer = given.get("optimizer", "auto")
    return Plan(
        loss=loss,
        outputs=int(given["num_classes"]) if predictor == "multiclass_classifier" else 1,
        rates=rates,
        l1=l1,
        wd=wd,
        optimizer="adam" if optimizer == "auto" else optimizer,
        momentum=_real(given, "momentum", 0.0),
        beta_1=_real(given, "beta_1", 0.9),
        beta_2=_real(given, "beta_2", 0.999),
        epochs=int(given.get("epochs", 15)),
        batch=int(given.get("mini_batch_size", 1000)),
        use_bias=_flag(given, "use_bias", True),
        normalize_data=_flag(given, "normalize_data", True),
        normalize_label=_flag(given, "normalize_label", predictor == "regressor")
        and predictor == "regressor",
        positive_weight=_positive_weight(given, rows),
        class_weights=_class_weights(given, rows),
        margin=_real(given, "margin", 1.0),
        insensitivity=_real(given, "loss_insensitivity", 0.01),
        huber_delta=_real(given, "huber_delta", 1.0),
        quantile=_real(given, "quantile", 0.5),
        decay=decay,
        patience=int(given.get("early_stopping_patience", 3)),
        tolerance=_real(given, "early_stopping_tolerance", 0.001),
        init=(
            given.get("init_method", "uniform"),
            _real(given, "init_scale", 0.07),
            _real(given, "init_sigma", 0.01),
        ),
        init_bias=_real(given, "init_bias", 0.0),
    )


def _models(given: dict[str, str]) -> tuple[Array, Array, Array]:
    """Learning rate, L1 and L2 penalty of each model; what is not given differs between them."""
    free = [name for name in ("learning_rate", "l1", "wd") if given.get(name, "auto") == "auto"]
    count = int(_real(given, "num_models", MODELS)) if free else 1
    random = np.random.default_rng(0)
    found = []
    for name in ("learning_rate", "l1", "wd"):
        low, high = RATES if name == "learning_rate" else PENALTIES
        if name in free:
            drawn = np.exp(random.uniform(np.log(low), np.log(high), count))
            if name != "learning_rate":
                drawn[0] = 0.0  # one model without a penalty is always among them
            found.append(drawn)
        else:
            found.append(np.full(count, float(given[name])))
    return found[0], found[1], found[2]


def _positive_weight(given: dict[str, str], rows: Rows) -> float:
    text = given.get("positive_example_weight_mult", "1.0")
    if text not in ("auto", "balanced"):
        return float(text)
    positives = float((rows.labels > 0.5).sum())
    return (len(rows.labels) - positives) / positives if positives else 1.0


def _class_weights(given: dict[str, str], rows: Rows) -> Array | None:
    if given.get("balance_multiclass_weights") != "true" or "num_classes" not in given:
        return None
    counts = np.bincount(rows.labels.astype(int), minlength=int(given["num_classes"]))
    return np.asarray(len(rows.labels) / (len(counts) * np.maximum(counts, 1)))


def _fit(plan: Plan, parts: dict[str, Rows]) -> Fitted:
    objective = f"{NAMES.get(plan.loss, plan.loss)}_objective"

    def report(epoch: int, on_train: float, on_validation: float | None) -> None:
        head = f"#quality_metric: host=algo-1, epoch={epoch},"
        say(f"{head} train {objective} <loss>={on_train!r}")
        if on_validation is not None:
            say(f"{head} validation {objective} <loss>={on_validation!r}")
        done = 100 * (epoch + 1) // plan.epochs
        say(f"#progress_metric: host=algo-1, completed {done} % of epochs")

    rows, watched = parts["train"], parts.get("validation")
    trainer = Trainer(plan, rows.values, rows.labels)
    try:
        return trainer.fit(
            (rows.values, rows.labels),
            None if watched is None else (watched.values, watched.labels),
            report,
        )
    except FloatingPointError as error:
        raise ClientError(str(error)) from None


def scores(
    plan: Plan, predictor: str, fitted: Fitted, rows: Rows, given: dict[str, str]
) -> dict[str, float]:
    """The figures that are told of the validation rows at the end, by the algorithm's names."""
    sums = rows.values @ fitted.weights.T + fitted.bias
    labels = rows.labels
    if predictor == "regressor":
        errors = sums[:, 0] - labels
        spread = float(((labels - labels.mean()) ** 2).sum())
        found = {"mse": float((errors**2).mean()), "absolute_loss": float(np.abs(errors).mean())}
        return {**found, "r2": 1 - float((errors**2).sum()) / spread} if spread else found
    if predictor == "multiclass_classifier":
        return {"multiclass_accuracy": float((sums.argmax(axis=1) == labels).mean())}
    said, there = sums[:, 0] > 0, labels > 0.5
    hits = int((said & there).sum())
    precision = hits / int(said.sum()) if said.any() else 0.0
    recall = hits / int(there.sum()) if there.any() else 0.0
    beta = float(given.get("f_beta", 1.0)) ** 2
    both = beta * precision + recall
    found = {
        "binary_classification_accuracy": float((said == there).mean()),
        f"binary_f_{beta**0.5:.3f}": (1 + beta) * precision * recall / both if both else 0.0,
        "precision": precision,
        "recall": recall,
    }
    if there.any() and not there.all():
        found["roc_auc_score"] = _auc(sums[:, 0], there)
    return found


def _auc(values: Array, positive: Any) -> float:
    """The share of pairs in which the positive is ranked first; ties count half."""
    order = np.sort(values[~positive])
    below = np.searchsorted(order, values[positive], "left")
    upto = np.searchsorted(order, values[positive], "right")
    return float((below + upto).sum() / (2 * len(order) * int(positive.sum())))


if __name__ == "__main__":
    if sys.argv[1:] != ["train"]:
        sys.exit(f"this image trains only; it was asked for {json.dumps(sys.argv[1:])}")
    sys.exit(run(train))
