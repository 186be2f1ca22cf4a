"""What trains a candidate, as SageMaker takes it: image, hyperparameters and channels.

Three kinds of trainers: model.py in script mode on the jobs' own image; one of AWS's algorithms,
which reads tables of numbers and knows its own hyperparameters; an own image, which gets the same
tables (its contract is docs/model-project.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from perennial.domain.algorithm_parameters import OBJECTIVES
from perennial.domain.settings import Settings, TrainSettings

CONTENT_TYPES = {"csv": "text/csv", "libsvm": "text/libsvm"}
#: Below the output `channels` of the data check lie the tables, each in a folder of its name.
TRAIN, VALIDATION = "train", "validation"
_XGBOOST_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "binary": {"objective": "binary:logistic", "eval_metric": "auc,logloss"},
    "multiclass": {"objective": "multi:softprob", "eval_metric": "merror,mlogloss"},
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse,mae"},
}
_PREDICTORS = {
    "binary": "binary_classifier",
    "multiclass": "multiclass_classifier",
    "regression": "regressor",
}


def reads_tables(train: TrainSettings) -> bool:
    """Whether a container of its own trains, from tables of numbers, instead of model.py."""
    return bool(train.algorithm or train.image)


def weighs(settings: Settings) -> bool:
    """Whether rows of different sources count differently."""
    return len({weight for _, weight in settings.data.sources}) > 1


def trainer_image(train: TrainSettings, job_image: str, images: Mapping[str, str]) -> str:
    """The image that trains; `images` are those of AWS's algorithms in the stack's Region."""
    if train.algorithm:
        return images[train.algorithm]
    return train.image or job_image


def has_gpu(instance: str) -> bool:
    """Whether an instance type like ml.g5.xlarge has a GPU: the families g and p have."""
    return re.match(r"ml\.[gp][0-9]", instance) is not None


def algorithm_specification(
    train: TrainSettings, image: str, metrics: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """SageMaker's AlgorithmSpecification; it refuses metrics of ours for its own algorithms."""
    found: dict[str, Any] = {"TrainingImage": image, "TrainingInputMode": "File"}
    return found if train.algorithm else {**found, "MetricDefinitions": list(metrics)}


def channels(
    train: TrainSettings, place: str, settings_uri: str, code: str = ""
) -> list[dict[str, Any]]:
    """SageMaker's InputDataConfig. `place` is the prefix that the data check wrote below.

    `code`: the URI of the pushed code, if a script cannot fetch it, having no network.
    """
    if not reads_tables(train):
        found = [
            _channel("training", f"{place}/training"),
            _channel("settings", settings_uri),
            _channel("check", f"{place}/check"),
        ]
        return [*found, _channel("code", code)] if code else found
    kind = CONTENT_TYPES[train.input]
    parts = [TRAIN, VALIDATION] if train.validation else [TRAIN]
    tables = [_channel(part, f"{place}/channels/{part}/", kind) for part in parts]
    if train.algorithm:
        return tables
    return [*tables, _channel("settings", settings_uri), _channel("check", f"{place}/check")]


def _channel(name: str, uri: str, content_type: str = "") -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    found: dict[str, Any] = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    return {**found, "ContentType": content_type} if content_type else found


def environment(train: TrainSettings, *, isolated: bool) -> dict[str, str]:
    """SageMaker's Environment: without a network pip has the wheels of the pushed code alone.

    The variables are pip's own, which Amazon's toolkit runs before the script.
    """
    if not isolated or reads_tables(train):
        return {}
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/opt/ml/code/wheelhouse"}


def hyperparameters(settings: Settings, code: str, *, isolated: bool = False) -> dict[str, str]:
    """SageMaker's HyperParameters, without those that a tuning job chooses.

    In script mode they name the script; the model's own travel in ``settings.json``. An `isolated`
    script cannot fetch its code: it comes as a channel, which Amazon's toolkit unpacks.
    """
    train = settings.train
    if isolated:
        code = f"/opt/ml/input/data/code/{code.rpartition('/')[2]}"
    if not reads_tables(train):
        values = {
            "step": "train",
            "sagemaker_program": "entry.py",
            "sagemaker_submit_directory": code,
        }
        return {name: json.dumps(value) for name, value in values.items()}
    tuned = {entry.name for entry in train.tuning.ranges} if train.tuning else set()
    given = {name: _text(value) for name, value in train.hyperparameters if name not in tuned}
    return {**_defaults(settings), **given, **_fixed(settings)}


def _defaults(settings: Settings) -> dict[str, str]:
    """What an algorithm is told unless the settings say otherwise."""
    if settings.train.algorithm != "xgboost":
        return {}
    tuned = {entry.name for entry in settings.train.tuning.ranges} if settings.train.tuning else ()
    found = {**_XGBOOST_DEFAULTS[settings.problem], "seed": str(settings.train.seed)}
    return {name: value for name, value in found.items() if name not in tuned}


def _fixed(settings: Settings) -> dict[str, str]:
    """What follows from the problem and its data, and nobody may choose."""
    classes = str(len(settings.data.column(settings.label).levels))
    if settings.train.algorithm == "xgboost":
        counted = {"num_class": classes} if settings.problem == "multiclass" else {}
        return {**counted, **({"csv_weights": "1"} if weighs(settings) else {})}
    if settings.train.algorithm == "linear-learner":
        counted = {"num_classes": classes} if settings.problem == "multiclass" else {}
        return {"predictor_type": _PREDICTORS[settings.problem], **counted}
    return {}


def objective_name(settings: Settings) -> str:
    """Under which name the tuning job knows the figure that trials are ranked by."""
    train = settings.train
    if train.tuning is None:
        raise ValueError("no search, no objective")
    if not train.algorithm:
        return train.tuning.objective
    return OBJECTIVES[train.algorithm][settings.problem][train.tuning.objective]


def _text(value: Any) -> str:
    """A hyperparameter as the containers read it: a list is its parts with commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return json.dumps(value)
