"""Settings for AWS's algorithms: what they may not say, and what a training job is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from perennial.domain.algorithm_parameters import PARAMETERS
from perennial.domain.run_input import tuning_config
from perennial.domain.settings import Settings, SettingsInvalid, parse_settings
from perennial.domain.training_job import (
    algorithm_specification,
    channels,
    hyperparameters,
    objective_name,
    trainer_image,
)

from tests.unit.domain.settings_builders import IMAGE

LABELS = {
    "binary": {"type": "category", "levels": ["no", "yes"]},
    "multiclass": {"type": "category", "levels": ["a", "b", "c"]},
    "regression": "float",
}
XGBOOST = {"algorithm": "xgboost", "hyperparameters": {"num_round": 5}}
LINEAR = {"algorithm": "linear-learner"}
IMAGES = {"xgboost": "image-x", "linear-learner": "image-l"}


def document(problem: str, train: dict[str, Any], **data: Any) -> dict[str, Any]:
    """A small model.yaml."""
    return {
        "problem": problem,
        "label": "won",
        **({"positive": "yes"} if problem == "binary" else {}),
        "data": {"columns": {"size": "int", "won": LABELS[problem]}, **data},
        "train": copy.deepcopy(train),
    }


def settings_of(problem: str, train: dict[str, Any], **data: Any) -> Settings:
    """The same, read."""
    return parse_settings(document(problem, train, **data), project="game")


@pytest.mark.parametrize(
    ("problem", "train", "told"),
    [
        ("binary", XGBOOST, {"objective": "binary:logistic", "eval_metric": "auc,logloss"}),
        ("multiclass", XGBOOST, {"objective": "multi:softprob", "num_class": "3"}),
        ("regression", XGBOOST, {"objective": "reg:squarederror", "num_round": "5", "seed": "0"}),
        ("binary", LINEAR, {"predictor_type": "binary_classifier"}),
        ("multiclass", LINEAR, {"predictor_type": "multiclass_classifier", "num_classes": "3"}),
        ("regression", LINEAR, {"predictor_type": "regressor"}),
    ],
)
def test_hyperparameters_are_plain_texts_that_the_algorithm_knows(
    problem: str, train: dict[str, Any], told: dict[str, str]
) -> None:
    """No script mode; what follows from problem and label is added; nothing is unknown."""
    found = hyperparameters(settings_of(problem, train), "s3://b/code.tar.gz")
    assert found.items() >= told.items()
    known = PARAMETERS[train["algorithm"]]
    assert all(known[name].accepts(value) for name, value in found.items())


def test_what_a_search_chooses_is_not_given_as_well() -> None:
    """SageMaker refuses a hyperparameter that is static and tunable; the settings' others stay."""
    tuning = {"objective": "auc", "ranges": {"num_round": {"min": 5, "max": 9}}}
    train = {"algorithm": "xgboost", "hyperparameters": {"eta": 0.2}, "tuning": tuning}
    settings = settings_of("binary", train)
    found = hyperparameters(settings, "s3://b/c")
    assert found["eta"] == "0.2"
    assert "num_round" not in found
    assert settings.train.tuning is not None
    config = tuning_config(settings.train.tuning, objective_name(settings))
    assert config["HyperParameterTuningJobObjective"]["MetricName"] == "validation:auc"


def test_weights_of_sources_are_told_to_xgboost() -> None:
    """They stand behind the label then; equal ones are not worth a column."""
    unequal = settings_of("binary", XGBOOST, sources={"landed": 1, "reviews": 3})
    assert hyperparameters(unequal, "s3://b/c")["csv_weights"] == "1"
    equal = settings_of("binary", XGBOOST, sources=["landed", "reviews"])
    assert "csv_weights" not in hyperparameters(equal, "s3://b/c")


def test_each_trainer_has_its_image_and_channels() -> None:
    """Script mode reads Parquet; containers read tables; only an own image gets schema as well."""
    metrics = [{"Name": "auc", "Regex": "auc=(.+)"}]
    found = {}
    for name, train in (
        ("ours", {}),
        ("xgboost", {**XGBOOST, "input": "libsvm"}),
        ("linear", {**LINEAR, "validation": 0}),
        ("own", {"image": IMAGE}),
    ):
        read = settings_of("binary", train).train
        image = trainer_image(read, "ours", IMAGES)
        names = [each["ChannelName"] for each in channels(read, "s3://b/run", "s3://b/s.json")]
        found[name] = (image, names, algorithm_specification(read, image, metrics))
    assert found["ours"][:2] == ("ours", ["training", "settings", "check"])
    assert found["xgboost"][:2] == ("image-x", ["train", "validation"])
    assert found["linear"][:2] == ("image-l", ["train"])
    assert found["own"][:2] == (IMAGE, ["train", "validation", "settings", "check"])
    # SageMaker refuses metrics of others for its own algorithms.
    told = {name for name, (_, _, spec) in found.items() if "MetricDefinitions" in spec}
    assert told == {"ours", "own"}
    train = settings_of("binary", {**XGBOOST, "input": "libsvm"}).train
    kinds = {each["ContentType"] for each in channels(train, "s3://b/run", "")}
    assert kinds == {"text/libsvm"}


@pytest.mark.parametrize(
    ("problem", "train", "data", "key", "words"),
    [
        ("binary", {"algorithm": "forest"}, {}, "train.algorithm", "xgboost or linear-learner"),
        ("binary", {"algorithm": "xgboost"}, {}, "train.hyperparameters.num_round",
         "found nothing"),
        ("multiclass", {**XGBOOST, "hyperparameters": {"num_round": 5, "num_class": 7}}, {},
         "train.hyperparameters.num_class", "it follows from the label's levels"),
        ("binary", {**XGBOOST, "hyperparameters": {"num_round": 5, "objective": "binary:hinge"}},
         {}, "train.hyperparameters.objective", "as scores of problem binary are probabilities"),
        ("regression", {**XGBOOST, "hyperparameters": {"num_round": 5, "eta": 7}}, {},
         "train.hyperparameters.eta", "at most 1, as xgboost asks"),
        ("binary", {**LINEAR, "hyperparameters": {"loss": "hinge_loss"}}, {},
         "train.hyperparameters.loss", "auto or logistic"),
        ("binary", {**LINEAR, "hyperparameters": {"predictor_type": "regressor"}}, {},
         "train.hyperparameters.predictor_type", "it follows from problem"),
        ("binary", {**LINEAR, "input": "libsvm"}, {}, "train.input", "only algorithm xgboost"),
        ("binary", {"input": "libsvm"}, {}, "train.input", "only algorithm xgboost"),
        ("binary", LINEAR, {"sources": {"landed": 1, "reviews": 2}}, "data.sources",
         "the linear learner takes no weights"),
        ("binary", {**LINEAR, "spot": True, "max_wait": "3h"}, {}, "train.max_wait",
         "keeps no checkpoints"),
        ("binary", {**XGBOOST, "image": IMAGE}, {}, "train.image", "keep one of the two"),
    ],
)  # fmt: skip
def test_what_an_algorithm_could_not_be_told_is_a_mistake(
    problem: str, train: dict[str, Any], data: dict[str, Any], key: str, words: str
) -> None:
    """Named with its key and what was expected, before anything starts."""
    with pytest.raises(SettingsInvalid) as refused:
        settings_of(problem, train, **data)
    lines = [str(mistake) for mistake in refused.value.mistakes]
    assert any(line.startswith(key) and words in line for line in lines), lines


def test_two_classes_are_no_multiclass_for_the_linear_learner() -> None:
    """AWS's algorithm wants three or more; the way out is named."""
    train = document("multiclass", LINEAR)
    train["data"]["columns"]["won"] = {"type": "category", "levels": ["a", "b"]}
    with pytest.raises(SettingsInvalid, match="with two, problem: binary"):
        parse_settings(train, project="game")


@pytest.mark.parametrize("train", [{**XGBOOST, "input": "libsvm"}, LINEAR, {"image": IMAGE}])
def test_settings_of_a_trainer_are_read_back_equal(train: dict[str, Any]) -> None:
    """What the ledger keeps says all that model.yaml said."""
    settings = settings_of("binary", train)
    assert Settings.from_json(settings.to_json(), project="game") == settings
