"""AWS's XGBoost image 3.0-5 in algorithm mode: `train`, with the library that is in it.

What it reads, prints and writes follows sagemaker-xgboost-container (Apache-2.0, its sources and
the developer guide): metrics as `[0]#011train-auc:0.8#011validation-auc:0.7` (a tab in CloudWatch),
the objective metric of a tuning job computed beside `eval_metric`, checkpoints of a spot job, and
the model as `xgboost-model` in the library's own format.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from local.images.container import (
    CSV,
    LIBSVM,
    Array,
    ClientError,
    Rows,
    base,
    hyperparameters,
    read_channel,
    run,
    say,
)

MODEL = "xgboost-model"
CHECKPOINT = "xgboost-checkpoint"
#: What the container reads itself; all else is the library's.
OWN = ("num_round", "early_stopping_rounds", "csv_weights", "eval_metric")
CLASSES = ("multi:softmax", "multi:softprob")


def train() -> None:
    """Read, train, write."""
    given = hyperparameters("xgboost", ("num_round",))
    weighted = given.get("csv_weights") == "1"
    parts: dict[str, Rows] = {}
    for name in ("train", "validation"):
        rows = read_channel(name, kinds=(CSV, LIBSVM), default=LIBSVM, weighted=weighted)
        if rows is not None:
            parts[name] = rows
    if "train" not in parts:
        raise ClientError("Required channel train is not provided")
    _check_labels(given, parts["train"].labels)
    width = max(rows.values.shape[1] for rows in parts.values())
    data = {name: _matrix(rows, width) for name, rows in parts.items()}
    for name, rows in parts.items():
        say(f"{name.capitalize()} matrix has {len(rows.labels)} rows and {width} columns")
    booster = _boost(given, data)
    folder = base() / "model"
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(str(folder / "model.ubj"))
    (folder / "model.ubj").rename(folder / MODEL)


def _check_labels(given: dict[str, str], labels: Array) -> None:
    objective = given.get("objective", "reg:squarederror")
    if not np.isfinite(labels).all():
        raise ClientError("The labels hold values that are missing or infinite")
    if objective.startswith("binary:") and not np.isin(labels, (0, 1)).all():
        raise ClientError(f"label must be in [0,1] for {objective}")
    if objective in CLASSES:
        if "num_class" not in given:
            raise ClientError(f"Required hyperparameter num_class for objective {objective}")
        if not np.isin(labels, np.arange(int(given["num_class"]))).all():
            raise ClientError("label must be in [0, num_class)")


def _matrix(rows: Rows, width: int) -> Any:
    missing = width - rows.values.shape[1]
    values = np.pad(rows.values, ((0, 0), (0, missing)), constant_values=np.nan)
    return xgboost.DMatrix(
        values.astype(np.float32), label=rows.labels, weight=rows.weights, missing=np.nan
    )


def _boost(given: dict[str, str], data: dict[str, Any]) -> Any:
    settings = {name: value for name, value in given.items() if name not in OWN and name[0] != "_"}
    wanted = [name.strip() for name in given.get("eval_metric", "").split(",") if name.strip()]
    objective = given.get("_tuning_objective_metric", "").partition(":")[2]
    if objective:
        wanted.append(objective)
    ours = [name for name in dict.fromkeys(wanted) if name in METRICS]
    theirs = [name for name in dict.fromkeys(wanted) if name not in METRICS]
    kept, done = _checkpoint()
    patience = int(given.get("early_stopping_rounds", 0))
    callbacks: list[Any] = [_Monitor(done), _Keeper(done)]
    if patience and "validation" in data:
        callbacks.append(xgboost.callback.EarlyStopping(patience, data_name="validation"))
    try:
        return xgboost.train(
            {**settings, **({"eval_metric": theirs} if theirs else {})},
            data["train"],
            num_boost_round=max(int(given["num_round"]) - done, 0),
            evals=[(matrix, name) for name, matrix in data.items()],
            custom_metric=(lambda scores, rows: _figures(ours, scores, rows)) if ours else None,
            xgb_model=kept,
            verbose_eval=False,
            callbacks=callbacks,
        )
    except xgboost.core.XGBoostError as error:
        first = str(error).split("Stack trace:")[0].strip()
        raise ClientError(f"XGB train call failed with exception: {first}") from None


def _figures(names: list[str], scores: Array, rows: Any) -> list[tuple[str, float]]:
    return [(name, METRICS[name](rows.get_label(), scores)) for name in names]


def _predicted(scores: Array) -> Array:
    return scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0.5).astype(int)


def _accuracy(labels: Array, scores: Array) -> float:
    return float((_predicted(scores) == labels).mean())


def _f1(labels: Array, scores: Array) -> float:
    """Of the positive class; the macro mean over classes where there are several."""
    predicted = _predicted(scores)
    found = []
    for level in (1,) if scores.ndim == 1 else range(scores.shape[1]):
        hits = int(((predicted == level) & (labels == level)).sum())
        said, there = int((predicted == level).sum()), int((labels == level).sum())
        found.append(2 * hits / (said + there) if said + there else 0.0)
    return float(np.mean(found))


def _mse(labels: Array, scores: Array) -> float:
    return float(((labels - scores) ** 2).mean())


#: Metrics of the container that the library does not have.
METRICS = {"accuracy": _accuracy, "f1": _f1, "mse": _mse}


class _Monitor(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # has no types
    """Prints each round's figures in the container's form."""

    def __init__(self, done: int) -> None:
        super().__init__()
        self.done = done

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """One round is done; False: go on."""
        words = [
            f"{part}-{name}:{values[-1]:.5f}"
            for part, figures in evals_log.items()
            for name, values in figures.items()
        ]
        say("#011".join([f"[{epoch + self.done}]", *words]))
        return False


def _checkpoint() -> tuple[Any, int]:
    """What an interrupted spot training left: the model so far and its rounds."""
    folder = base() / "checkpoints"
    found = sorted(folder.glob(f"{CHECKPOINT}.*"), key=lambda path: int(path.suffix[1:]))
    for path in reversed(found):
        try:
            booster = xgboost.Booster(model_file=bytearray(path.read_bytes()))
        except xgboost.core.XGBoostError:
            say(f"Checkpoint {path.name} cannot be read; it is ignored")
            continue
        done = int(path.suffix[1:]) + 1
        say(f"Checkpoint loaded from {path}. Resuming from iteration {done}")
        return booster, done
    return None, 0


class _Keeper(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # has no types
    """Keeps the last five rounds' models where a spot job has a folder for them."""

    def __init__(self, done: int) -> None:
        super().__init__()
        self.done = done
        self.folder: Path = base() / "checkpoints"

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """One round is done; False: go on."""
        if self.folder.is_dir():
            number = epoch + self.done
            fresh = self.folder / f".{CHECKPOINT}"
            fresh.write_bytes(bytes(model.save_raw()))
            fresh.rename(self.folder / f"{CHECKPOINT}.{number}")
            (self.folder / f"{CHECKPOINT}.{number - 5}").unlink(missing_ok=True)
        return False


if __name__ == "__main__":
    if sys.argv[1:] != ["train"]:
        sys.exit(f"this image trains only; it was asked for {json.dumps(sys.argv[1:])}")
    sys.exit(run(train))
