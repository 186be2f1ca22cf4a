"""What must hold between `train.algorithm` and the rest of the settings.

The algorithms' own limits are in `algorithm_parameters`; here is what follows from our use of them:
scores are probabilities, tables have the label first, and what the problem decides nobody else may.
"""

from __future__ import annotations

from collections.abc import Mapping

from perennial.domain.settings import Settings, TrainSettings
from perennial.domain.settings_reader import Reader, duration, one_of, shown
from perennial.domain.training_job import weighs

#: What follows from problem, label and sources, and why.
FIXED: Mapping[str, Mapping[str, str]] = {
    "xgboost": {
        "num_class": "it follows from the label's levels",
        "csv_weights": "it follows from the weights of data.sources",
        "process_type": "a training begins anew",
        "updater": "tree_method chooses it",
    },
    "linear-learner": {
        "predictor_type": "it follows from problem",
        "num_classes": "it follows from the label's levels",
        "feature_dim": "it follows from the prepared columns",
    },
}
#: Objectives and losses whose scores are what an evaluation reads: probabilities, or values.
SCORING: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "xgboost": (
        "objective",
        {
            "binary": ("binary:logistic",),
            "multiclass": ("multi:softprob",),
            "regression": (
                *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror"),
                *("reg:absoluteerror", "reg:gamma", "reg:tweedie", "count:poisson"),
            ),
        },
    ),
    "linear-learner": (
        "loss",
        {
            "binary": ("auto", "logistic"),
            "multiclass": ("auto", "softmax_loss"),
            "regression": (
                *("auto", "squared_loss", "absolute_loss", "eps_insensitive_squared_loss"),
                *("eps_insensitive_absolute_loss", "quantile_loss", "huber_loss"),
            ),
        },
    ),
}
#: Longest that SageMaker waits for a spot machine for an algorithm that keeps no checkpoints.
LONGEST_WAIT = 3600


def check_trainer(root: Reader, settings: Settings) -> None:
    """Name what the algorithm could not be trained with."""
    train = settings.train
    if train.algorithm:
        _check_parameters(root, train, settings.problem)
    if train.algorithm == "linear-learner":
        _check_linear_learner(root, settings)


def _check_parameters(root: Reader, train: TrainSettings, problem: str) -> None:
    given = dict(train.hyperparameters)
    tuned = {entry.name for entry in train.tuning.ranges} if train.tuning else set()
    for name, why in FIXED[train.algorithm].items():
        if name in given:
            path = f"train.hyperparameters.{name}"
            root.mistake_at(path, shown(given[name]), f"no {name}: {why}")
        if name in tuned:
            root.mistake_at(f"train.tuning.ranges.{name}", "a range", f"no {name}: {why}")
    if train.algorithm == "xgboost" and not {"num_round"} & (tuned | set(given)):
        root.mistake_at(
            "train.hyperparameters.num_round",
            "nothing",
            "a whole number of at least 1, as xgboost asks",
        )
    name, scoring = SCORING[train.algorithm]
    allowed = scoring.get(problem, ())
    if name in tuned:
        root.mistake_at(
            f"train.tuning.ranges.{name}", "a range", f"no range: {name} says what a score is"
        )
    if name in given and allowed and given[name] not in allowed:
        wanted = f"{one_of(allowed)}, as scores of problem {problem} are "
        wanted += "values" if problem == "regression" else "probabilities"
        root.mistake_at(f"train.hyperparameters.{name}", shown(given[name]), wanted)


def _check_linear_learner(root: Reader, settings: Settings) -> None:
    train = settings.train
    if weighs(settings):
        root.mistake_at(
            "data.sources",
            shown(dict(settings.data.sources)),
            "one weight for all sources, as the linear learner takes no weights",
        )
    if train.spot and train.max_wait > LONGEST_WAIT:
        root.mistake_at(
            "train.max_wait",
            duration(train.max_wait),
            "at most 1h (and max_seconds less): the linear learner keeps no checkpoints",
        )
    if settings.problem == "multiclass":
        levels = next((c.levels for c in settings.data.columns if c.name == settings.label), ())
        if len(levels) == 2:
            root.mistake_at(
                f"data.columns.{settings.label}.levels",
                "2 levels",
                "three or more for the linear learner; with two, problem: binary",
            )
