"""The settings of judged retraining: windows, tuning, spot, images, gates, bias, reuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.algorithm_parameters import OBJECTIVES, PARAMETERS
from perennial.domain.gates import BIAS_METRICS, METRICS, Gate, goal
from perennial.domain.settings import (
    STEPS,
    BiasSettings,
    Comparison,
    ExplainSettings,
    JobSettings,
    Range,
    Settings,
    SettingsInvalid,
    Window,
    apply_overrides,
    parse_settings,
)

from tests.unit.domain.settings_builders import (
    ALONE,
    DIGEST,
    GOOD,
    IMAGE,
    OWN,
    RANGES,
    changed,
    parsed,
    tuned,
)


def test_every_key_is_read() -> None:
    """What stands in the file is what holds."""
    settings = parsed()
    assert settings.data.window == Window("days", seconds=30 * 86400)
    assert settings.data.sources == (("landed", 1.0), ("reviews", 2.0))
    assert (settings.train.spot, settings.train.max_wait) == (True, 7200)
    assert settings.train.metrics == (("loss", "loss=([0-9.]+)"),)
    assert settings.comparison == Comparison("f1", 0.002, 0.1, 3)
    assert (settings.compatible_schema, settings.producer_share) == (False, 0.5)
    assert settings.bias == BiasSettings("city", ("DPPL", "CDDL", "CI"), "sagemaker")
    assert settings.explain == ExplainSettings(500, 3)
    assert settings.reuse == 86400
    assert Gate("DPPL:team=red", "min", -0.2) in settings.gates
    assert len(settings.gates) == 6


def test_tuning_is_read() -> None:
    """Types follow from the bounds and the hyperparameter's own value, the goal from the figure."""
    tuning = parsed().train.tuning
    assert tuning is not None
    assert (tuning.strategy, tuning.objective, tuning.goal) == ("Bayesian", "auc", "maximize")
    assert (tuning.jobs, tuning.parallel, tuning.early_stopping) == (6, 3, True)
    assert tuning.ranges == (
        Range("depth", "int", 2, 9),
        Range("kind", "category", values=("gbdt", "dart")),
        Range("rate", "float", 0.01, 0.3, "log"),
    )


def test_defaults_judge_against_the_champion() -> None:
    """A file that says nothing of it gets the comparison, the schema gate and no tuning."""
    plain = {key: GOOD[key] for key in ("problem", "label", "positive")}
    columns = {"columns": GOOD["data"]["columns"]}
    settings = parse_settings(plain | {"data": columns}, project="game")
    assert settings.comparison == Comparison("auc")
    assert settings.compatible_schema
    assert settings.producer_share is None
    assert settings.train.tuning is None
    assert settings.train.max_wait == 0
    assert settings.data.window == Window()
    assert settings.bias == BiasSettings()
    assert settings.explain.enabled
    assert settings.reuse == 7 * 86400
    assert all(settings.job(step) == JobSettings() for step in STEPS)


@pytest.mark.parametrize("value", [False, "off"])
def test_the_comparison_and_explanations_can_be_off(value: Any) -> None:
    """YAML reads `off` as false; `--set` gives the text."""
    assert parsed("gates.champion", value).comparison is None
    assert not parsed("explain", value).explain.enabled
    assert parsed("train.tuning", value).train.tuning is None
    assert parsed("gates.producer_share", value).producer_share is None


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ("all", Window()),
        ("since_drift", Window("since_drift")),
        ("12h", Window("days", seconds=43200)),
        ({"rows": 500}, Window("rows", rows=500)),
    ],
)
def test_windows_are_read_and_written(window: Any, found: Window) -> None:
    """Four kinds, each of which survives its own document."""
    settings = parsed("data.window", window)
    assert settings.data.window == found
    assert Settings.from_json(settings.to_json(), project="game") == settings


@pytest.mark.parametrize("sources", ["reviews", ["reviews"], {"reviews": 1}])
def test_sources_are_a_name_a_list_or_weights(sources: Any) -> None:
    """The short forms weigh each source by 1."""
    assert parsed("data.sources", sources).data.sources == (("reviews", 1.0),)


def test_later_jobs_are_like_evaluate_unless_said() -> None:
    """Who gives the evaluation a larger machine means the champion's as well."""
    jobs = {"evaluate": {"instance": "ml.m5.4xlarge"}, "explain": {"instance": "ml.c5.xlarge"}}
    settings = parsed("jobs", jobs)
    assert settings.job("evaluate_champion").instance == "ml.m5.4xlarge"
    assert settings.job("baseline").instance == "ml.m5.4xlarge"
    assert settings.job("explain").instance == "ml.c5.xlarge"
    assert settings.job("check_data").instance == "ml.m5.large"


def test_spot_waits_twice_the_training_time_by_default() -> None:
    """A wait as long as the training itself, for interruptions."""
    assert parsed("train", {"spot": True, "max_seconds": 600}).train.max_wait == 1200


def test_built_in_algorithms_and_own_images_are_taken() -> None:
    """By name, and by URI with tag or digest; an own image's objective says its direction."""
    ranges = {"num_round": {"min": 10, "max": 200}, "eta": {"min": 0.01, "max": 0.3}}
    settings = parsed("train", ALONE | {"tuning": {"objective": "log_loss", "ranges": ranges}})
    assert settings.train.algorithm == "xgboost"
    assert settings.train.tuning is not None
    assert settings.train.tuning.goal == "minimize"
    assert [entry.kind for entry in settings.train.tuning.ranges] == ["float", "int"]
    own = OWN | {"tuning": tuned(goal="minimize", ranges={"depth": RANGES["depth"]})}
    settings = parsed("train", own | {"image": IMAGE.partition(":")[0] + DIGEST})
    assert settings.train.tuning is not None
    assert (settings.train.tuning.objective, settings.train.tuning.goal) == ("loss", "minimize")


def test_a_policy_wants_an_image_by_digest() -> None:
    """A moved tag is new code that no change of settings would show."""
    document = changed("train", {"image": IMAGE})
    document["release"] = {"approval": "policy"}
    with pytest.raises(SettingsInvalid, match="the image by its digest"):
        parse_settings(document, project="game")
    document["train"]["image"] += DIGEST
    document["train"]["image"] = document["train"]["image"].replace(":7", "")
    assert parse_settings(document, project="game").train.image.endswith(DIGEST)


def test_bias_is_bounded_for_every_problem() -> None:
    """A regression's favourable outcome is a value above the median, so its rates exist too."""
    document = changed("problem", "regression")
    document["label"] = "share"
    document["gates"] = {"DPPL:team=red": {"max": 0.1}}
    document["train"] = {}
    del document["positive"]
    settings = parse_settings(document, project="game")
    assert settings.gates == (Gate("DPPL:team=red", "max", 0.1),)
    assert settings.comparison == Comparison("rmse")


@pytest.mark.parametrize(
    ("path", "given", "check"),
    [
        ("gates.champion.margin", "0.01", lambda s: s.comparison.margin == 0.01),
        ("gates.champion", "off", lambda s: s.comparison is None),
        ("gates.schema", "compatible", lambda s: s.compatible_schema),
        ("gates.producer_share.max", "0.9", lambda s: s.producer_share == 0.9),
        ("train.tuning.jobs", "20", lambda s: s.train.tuning.jobs == 20),
        ("train.tuning.ranges.depth.max", "12", lambda s: s.train.tuning.ranges[0].high == 12),
        ("train.tuning", "false", lambda s: s.train.tuning is None),
        ("train.max_wait", "3h", lambda s: s.train.max_wait == 10800),
        ("bias.methods", '["DPPL", "CDDL"]', lambda s: s.bias.methods == ("DPPL", "CDDL")),
        ("explain.rows", "10", lambda s: s.explain.rows == 10),
        ("explain.enabled", "false", lambda s: not s.explain.enabled),
        ("reuse", "0s", lambda s: s.reuse == 0),
        ("jobs.explain.instance", "ml.c5.xlarge", lambda s: s.job("explain").volume_gb == 30),
    ],
)
def test_one_run_may_change_how_it_trains_and_is_judged(path: str, given: str, check: Any) -> None:
    """`retrain --set` reaches the new keys one by one and leaves their neighbours alone."""
    settings = parsed()
    found = apply_overrides(settings, {path: given})
    assert check(found)
    assert not check(settings) or path.startswith("jobs.")


def test_spot_is_switched_off_with_its_wait() -> None:
    """The message of the one says that the other has to go too."""
    with pytest.raises(SettingsInvalid, match=r"train\.max_wait: .*or 0s"):
        apply_overrides(parsed(), {"train.spot": "false"})
    found = apply_overrides(parsed(), {"train.spot": "false", "train.max_wait": "0s"})
    assert (found.train.spot, found.train.max_wait) == (False, 0)


def test_a_number_beyond_floats_is_a_mistake() -> None:
    """A file may hold an integer of 400 digits; it gets a message like any other."""
    with pytest.raises(SettingsInvalid, match=r"gates\.champion\.margin"):
        parsed("gates.champion", {"margin": 10**400})


def test_tables_agree_with_the_figures() -> None:
    """Every objective of an algorithm is a figure of ours; each goal names a known figure."""
    assert set(OBJECTIVES) == set(PARAMETERS)
    for problems in OBJECTIVES.values():
        for problem, names in problems.items():
            assert set(names) <= set(METRICS[problem])
    assert goal("auc") == "maximize"
    assert goal("rmse") == "minimize"
    assert len(set(BIAS_METRICS)) == len(BIAS_METRICS) == 20


def test_sorted_keys_change_nothing() -> None:
    """The ledger stores canonical JSON."""
    settings = parsed()
    stored = json.loads(json.dumps(settings.to_json(), sort_keys=True))
    again = Settings.from_json(stored, project="game")
    assert again.to_json() == settings.to_json()
    assert (again.data, again.train.tuning) == (settings.data, settings.train.tuning)


BOUNDS = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).filter(
    lambda pair: pair[0] < pair[1]
)
WHOLE = st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda p: (p[0], p[0] + p[1]))
NUMBERS = (BOUNDS | WHOLE).map(lambda pair: {"min": pair[0], "max": pair[1]})
VALUES = st.lists(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    min_size=2,
    max_size=5,
    unique_by=json.dumps,
).map(lambda values: {"values": values})
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "train.tuning": st.fixed_dictionaries(
            {"ranges": st.fixed_dictionaries({"depth": NUMBERS}, optional={"kind": VALUES})},
            optional={
                "jobs": st.integers(10, 500),
                "parallel": st.integers(1, 10),
                "strategy": st.sampled_from(["Bayesian", "Random"]),
                "objective": st.sampled_from(["auc", "log_loss", "f1"]),
                "warm_start": st.booleans(),
            },
        ),
        "data.window": st.sampled_from(["all", "since_drift"])
        | st.integers(1, 900).map(lambda days: f"{days}d")
        | st.integers(1, 10**6).map(lambda rows: {"rows": rows}),
        "data.sources": st.dictionaries(
            st.sampled_from(["landed", "labelled-traffic", "reviews"]),
            st.floats(0.001, 1000),
            min_size=1,
        ),
        "gates.champion": st.just("off")
        | st.fixed_dictionaries(
            {},
            optional={
                "margin": st.floats(0, 0.9),
                "significance": st.floats(0.001, 0.5),
                "windows": st.integers(1, 5),
                "metric": st.sampled_from(["auc", "brier"]),
            },
        ),
        "gates.schema": st.sampled_from(["compatible", "any"]),
        "gates.producer_share": st.floats(0.01, 1).map(lambda share: {"max": share}),
        "explain": st.just(False) | st.integers(1, 999).map(lambda rows: {"rows": rows}),
        "reuse": st.integers(0, 300).map(lambda days: f"{days}d"),
        "providers.bias": st.sampled_from(["perennial", "sagemaker"]),
        "train.max_wait": st.integers(60, 900).map(lambda minutes: f"{minutes}m"),
    },
)


@given(SECTIONS)
def test_settings_round_trip_through_json(sections: Mapping[str, Any]) -> None:
    """What the ledger keeps reads back as the same settings, whatever is in the new sections."""
    document = copy.deepcopy(GOOD)
    for path, value in sections.items():
        parent, _, key = path.rpartition(".")
        place = document[parent] if parent else document
        place[key] = value
    settings = parse_settings(document, project="game")
    again = Settings.from_json(json.loads(json.dumps(settings.to_json())), project="game")
    assert again == settings
    assert apply_overrides(settings, {}) == settings
