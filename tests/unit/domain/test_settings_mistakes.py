"""Every mistake that the settings of judged retraining can hold is told with its key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.settings import Settings, SettingsInvalid, parse_settings

from tests.unit.domain.settings_builders import (
    ALONE,
    IMAGE,
    OWN,
    RANGES,
    TUNING,
    changed,
    parsed,
    ranged,
    tuned,
)

# Path of the change, its value, path of the mistake, words in it.
MISTAKES: list[tuple[str, Any, str, str]] = [
    ("data.window", "yesterday", "data.window", "all, since_drift, a duration like 30d"),
    ("data.window", "0d", "data.window", "a duration like 30d"),
    ("data.window", 30, "data.window", "found 30; expected all"),
    ("data.window", {}, "data.window.rows", "how many of the newest rows"),
    ("data.window", {"rows": 0}, "data.window.rows", "a whole number from 1"),
    ("data.window", {"days": 3}, "data.window.days", "an unknown key; expected rows"),
    ("data.sources", {"review": 1}, "data.sources.review", "expected reviews?"),
    ("data.sources", ["traffic"], "data.sources.traffic", "no source of labelled rows"),
    ("data.sources", {"landed": -1}, "data.sources.landed", "a weight of at least 0"),
    ("data.sources", {"landed": "all"}, "data.sources.landed", "a weight of at least 0"),
    ("data.sources", {"landed": None}, "data.sources.landed", "a weight, like 1"),
    ("data.sources", {"landed": 0, "reviews": 0}, "data.sources", "a weight above 0"),
    ("data.sources", [], "data.sources", "at least one source"),
    ("train.spot", "yes", "train.spot", "true or false"),
    ("train.max_wait", "30m", "train.max_wait", 'found "30m"; expected at least max_seconds'),
    ("train.max_wait", "60d", "train.max_wait", "a duration like 30s, 5m or 1h, from 1s to 28d"),
    ("train.spot", False, "train.max_wait", "no value (or 0s), as spot is not true"),
    ("train.checkpoints", True, "train.checkpoints", "checkpoints are kept by spot: true"),
    ("train.algorithm", "xgbost", "train.algorithm", "did you mean xgboost?"),
    ("train", ALONE | {"image": IMAGE}, "train.image", "keep one of the two"),
    ("train", ALONE | {"metrics": {"x": "x=(.)"}}, "train.metrics", "reports its own"),
    ("train", {"algorithm": "xgboost", "hyperparameters": {"etta": 1}},
     "train.hyperparameters.etta", "a hyperparameter of xgboost (did you mean eta?)"),
    ("train", {"algorithm": "xgboost", "hyperparameters": {"eta": 1.5}},
     "train.hyperparameters.eta", "a number of at least 0 and at most 1, as xgboost asks"),
    ("train", {"algorithm": "xgboost", "hyperparameters": {"max_depth": 2.5}},
     "train.hyperparameters.max_depth", "a whole number of at least 0"),
    ("train", {"algorithm": "linear-learner", "hyperparameters": {"optimizer": "lbfgs"}},
     "train.hyperparameters.optimizer", "auto or adam or sgd or rmsprop"),
    ("train.image", "xgboost:1", "train.image", "an image in ECR"),
    ("train.image", "docker.io/library/x", "train.image", "an image in ECR"),
    ("train.image", 7, "train.image", "an image in ECR"),
    ("train.metrics", {"loss": "loss=([0-9"}, "train.metrics.loss", "does not compile"),
    ("train.metrics", {"loss": "loss=.*"}, "train.metrics.loss", "one group in brackets"),
    ("train.metrics", {"loss": 3}, "train.metrics.loss", "a regular expression like"),
    ("train.metrics", {"a b": "x=(.)"}, "train.metrics.a b", "a name of letters"),
    ("train.metrics", {f"m{i}": "(.)" for i in range(21)}, "train.metrics", "at most 20"),
    ("train.validation", 0, "train.validation", "ranks its trials by the validation rows"),
    ("train.tuning", True, "train.tuning", "keys with values"),
    ("train.tuning", tuned(strategy="Grid"), "train.tuning.strategy", "Bayesian or Random"),
    ("train.tuning", tuned(jobs=501), "train.tuning.jobs", "a whole number from 1 to 500"),
    ("train.tuning", tuned(jobs=0), "train.tuning.jobs", "a whole number from 1 to 500"),
    ("train.tuning", tuned(parallel=11), "train.tuning.parallel", "from 1 to 10"),
    ("train.tuning", tuned(parallel=7), "train.tuning.parallel", "at most jobs, which is 6"),
    ("train.tuning", tuned(objective="auk"), "train.tuning.objective", "did you mean auc?"),
    ("train.tuning", tuned(objective="rmse"), "train.tuning.objective", "auc, accuracy"),
    ("train.tuning", tuned(objective="rows"), "train.tuning.objective", "auc, accuracy"),
    ("train.tuning", tuned(goal="minimize"), "train.tuning.goal", "maximize, as auc wants"),
    ("train.tuning", tuned(early_stopping="on"), "train.tuning.early_stopping", "true or false"),
    ("train.tuning", tuned(warm_start=1), "train.tuning.warm_start", "true or false"),
    ("train.tuning", tuned(trials=4), "train.tuning.trials", "an unknown key"),
    ("train.tuning", tuned(ranges=None), "train.tuning.ranges", "1 to 30 of them"),
    ("train.tuning", ranged(deph={"min": 1, "max": 2}), "train.tuning.ranges.deph", "depth?"),
    ("train.tuning", ranged(zzz={"min": 1, "max": 2}), "train.tuning.ranges.zzz", "depth, rate"),
    ("train.tuning", ranged(depth={"min": 9, "max": 2}), "train.tuning.ranges.depth.min",
     "less than max, which is 2"),
    ("train.tuning", ranged(depth={"min": 2, "max": 2}), "train.tuning.ranges.depth.min", "less"),
    ("train.tuning", ranged(depth={"min": 2}), "train.tuning.ranges.depth.max", "a number"),
    ("train.tuning", ranged(depth={"min": "a", "max": 2}), "train.tuning.ranges.depth.min", "num"),
    ("train.tuning", ranged(depth=[1, 9]), "train.tuning.ranges.depth", "keys with values"),
    ("train.tuning", ranged(depth={"min": 1.5, "max": 2, "type": "int"}),
     "train.tuning.ranges.depth.type", "float, as the bounds are no whole numbers"),
    ("train.tuning", ranged(rate={"min": 0, "max": 1, "scale": "log"}),
     "train.tuning.ranges.rate.scale", "a log scale needs a min above 0"),
    ("train.tuning", ranged(rate={"min": 1, "max": 2, "scale": "cubic"}),
     "train.tuning.ranges.rate.scale", "auto, linear or log"),
    ("train.tuning", ranged(kind={"min": 1, "max": 2}), "train.tuning.ranges.kind", "values: ["),
    ("train.tuning", ranged(kind={"values": []}), "train.tuning.ranges.kind.values", "2 to 30"),
    ("train.tuning", ranged(kind={"values": ["a"]}), "train.tuning.ranges.kind.values", "2 to 30"),
    ("train.tuning", ranged(kind={"values": ["a"] * 2}), "train.tuning.ranges.kind.values", "diff"),
    ("train.tuning", ranged(kind={"values": [[1], 2]}), "train.tuning.ranges.kind.values", "texts"),
    ("train.tuning", ranged(kind={"values": list(range(31))}), "train.tuning.ranges.kind.values",
     "2 to 30"),
    ("train.tuning", ranged(kind={"values": [1, 2], "min": 1}), "train.tuning.ranges.kind.min",
     "as values lists what to try"),
    ("train", ALONE | {"tuning": {"ranges": {"eta": {"min": 0.1, "max": 2}}}},
     "train.tuning.ranges.eta.max", "a number of at least 0 and at most 1"),
    ("train", ALONE | {"tuning": {"ranges": {"booster": {"values": ["dart", "tree"]}}}},
     "train.tuning.ranges.booster.values", "gbtree or gblinear or dart"),
    ("train", ALONE | {"tuning": tuned(objective="recall", ranges={"eta": {"min": 0, "max": 1}})},
     "train.tuning.objective", "auc, accuracy, f1 or log_loss"),
    ("train", OWN | {"tuning": tuned(objective="auc")}, "train.tuning.objective", "loss"),
    ("train", OWN | {"tuning": tuned(objective="loss", ranges={"depth": RANGES["depth"]})},
     "train.tuning.goal", "maximize or minimize"),
    ("train", {"image": IMAGE, "tuning": TUNING}, "train.tuning.objective",
     "a name of train.metrics"),
    ("gates.champion", "maybe", "gates.champion", "off, or keys with values"),
    ("gates.champion", {"metric": "rmse"}, "gates.champion.metric", "auc, accuracy"),
    ("gates.champion", {"metric": "rows"}, "gates.champion.metric", "auc, accuracy"),
    ("gates.champion", {"margin": -0.1}, "gates.champion.margin", "at least 0, below 1 for auc"),
    ("gates.champion", {"margin": 2}, "gates.champion.margin", "below 1 for auc"),
    ("gates.champion", {"significance": 0}, "gates.champion.significance", "0.001 to 0.5"),
    ("gates.champion", {"significance": 0.9}, "gates.champion.significance", "0.001 to 0.5"),
    ("gates.champion", {"windows": 6}, "gates.champion.windows", "from 1 to 5"),
    ("gates.champion", {"draws": 10}, "gates.champion.draws", "from 100 to 100,000"),
    ("gates.champion", {"marge": 0}, "gates.champion.marge", "margin?"),
    ("gates.schema", "strict", "gates.schema", "compatible or any"),
    ("gates.producer_share", 0.5, "gates.producer_share", "keys with values"),
    ("gates.producer_share", {}, "gates.producer_share.max", "more than 0 and at most 1"),
    ("gates.producer_share", {"max": 50}, "gates.producer_share.max", "at most 1"),
    ("gates.producer_share", {"min": 0.1}, "gates.producer_share.min", "an unknown key"),
    ("gates.latency_p99", {"max": 1}, "gates.latency_p99", "latency_p99_ms?"),
    ("gates.latency_p99_ms", {}, "gates.latency_p99_ms", "min or max"),
    ("gates.model_mb:team=red", {"max": 1}, "gates.model_mb:team=red", "of the whole model"),
    ("gates.DPPL", {"max": 1}, "gates.DPPL", "the group that it measures: DPPL:sex=Female"),
    ("gates.DPPX:team=red", {"max": 1}, "gates.DPPX:team=red", "DPPL?"),
    ("gates.DPPL:tema=red", {"max": 1}, "gates.DPPL:tema=red", "a group of no facet"),
    ("gates.DPPL:team", {"max": 1}, "gates.DPPL:team", "a group of no facet"),
    ("gates.DPPL:team=rad", {"max": 1}, "gates.DPPL:team=rad", "red?"),
    ("gates.auc:size=<11", {"min": 0}, "gates.auc:size=<11", "<10?"),
    ("gates.DI:team=red", {"min": 0.8}, "gates.DI:team=red", "bias.methods with DI, or all"),
    ("bias", {}, "gates.CDDL:size=<10", "bias.group, the column that CDDL splits by"),
    ("bias.group", "town", "bias.group", "the name of a feature column"),
    ("bias.group", "won", "bias.group", "the name of a feature column"),
    ("bias.group", "share", "bias.group", "not a float one"),
    ("bias.group", ["city"], "bias.group", "the name of a feature column"),
    ("bias.methods", ["dppl"], "bias.methods", "did you mean DPPL?"),
    ("bias.methods", ["all", "CI"], "bias.methods", "all alone"),
    ("bias.methods", [], "bias.methods", "all alone"),
    ("bias", {"methods": ["CDDPL"]}, "bias.methods", "bias.group, the column that CDDPL"),
    ("bias.metod", 1, "bias.metod", "methods?"),
    ("explain", "sometimes", "explain", "keys with values"),
    ("explain.rows", 0, "explain.rows", "a whole number from 1 to 100,000"),
    ("explain.seed", -1, "explain.seed", "a whole number from 0"),
    ("explain.enabled", "no", "explain.enabled", "true or false"),
    ("reuse", "often", "reuse", "a duration like 30s, 5m or 1h, from 0s to 365d"),
    ("reuse", "400d", "reuse", "from 0s to 365d"),
    ("reuse", True, "reuse", "a duration"),
    ("providers.bias", "clarify", "providers.bias", "perennial or sagemaker"),
    ("jobs.compare", {"instance": "tiny"}, "jobs.compare.instance", "an instance type"),
    ("jobs.explan", {}, "jobs.explan", "explain?"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "where", "words"), MISTAKES)
def test_each_mistake_is_named(path: str, value: Any, where: str, words: str) -> None:
    """Key path, what was found, what was expected."""
    with pytest.raises(SettingsInvalid) as caught:
        parsed(path, value)
    found = {mistake.path: str(mistake) for mistake in caught.value.mistakes}
    assert where in found, found
    assert words in found[where]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = sorted({path for path, *_ in MISTAKES} | {f"train.tuning.ranges.{name}" for name in RANGES})


@given(st.sampled_from(PATHS), JSON)
def test_no_value_of_a_key_breaks_the_reading(path: str, value: Any) -> None:
    """Any YAML gives settings that round-trip, or mistakes with a path: never another error."""
    try:
        settings = parse_settings(changed(path, value), project="game")
    except SettingsInvalid as error:
        nameless = [mistake for mistake in error.mistakes if not mistake.path]
    else:
        nameless = []
        assert Settings.from_json(settings.to_json(), project="game") == settings
    assert not nameless
