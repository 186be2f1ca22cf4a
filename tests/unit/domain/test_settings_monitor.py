"""The section `monitor` of `model.yaml`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from perennial.domain.settings import Settings, SettingsInvalid, parse_settings
from perennial.domain.settings_monitor import FeatureWatch, Monitor, Monitoring, Retrain, slice_of

from tests.unit.domain.settings_builders import GOOD

FULL: dict[str, Any] = {
    "instance": "ml.c5.large",
    "max_seconds": "10m",
    "preprocess": "hook",
    "data-quality": {
        "every": "2h",
        "offset": "15m",
        "window": "1h",
        "delay": "0s",
        "distance": 0.2,
        "method": "simple",
        "metrics": "features",
        "features": {"size": {"distance": 0.3, "method": "robust"}, "city": {"evaluate": False}},
    },
    "model-quality": {
        "delay": "2d",
        "bounds": {"auc": {"min": 0.88}, "false_positive_rate": {"max": 0.2}},
    },
    "bias": None,
    "attribution": {"ndcg": 0.8, "rows": 100},
    "retrain": {
        "when": {"at_least": 2},
        "policy": "fixed",
        "every": "30d",
        "error_usd": 0.05,
        "earlier": 5,
    },
}


def document(monitor: Any, **other: Any) -> dict[str, Any]:
    """A good document with an endpoint and this section."""
    return {
        **copy.deepcopy(GOOD),
        "release": {"endpoint": {"count": 2}},
        "monitor": monitor,
        **other,
    }


def test_every_key_is_read_and_written_back() -> None:
    """The section comes back whole from the form that the ledger keeps."""
    settings = parse_settings(document(FULL), project="game")
    data, quality, bias, attribution = settings.monitor.monitors
    assert data == Monitor(
        kind="data-quality",
        every=7200,
        offset=900,
        window=3600,
        delay=0,
        per_feature=True,
        distance=0.2,
        method="simple",
        features=(
            ("size", FeatureWatch(0.3, "robust")),
            ("city", FeatureWatch(evaluate=False)),
        ),
    )
    assert quality.bounds == (("auc", "min", 0.88), ("false_positive_rate", "max", 0.2))
    assert (quality.every, quality.window, quality.delay) == (86400, 86400, 2 * 86400)
    assert (bias.every, bias.delay) == (86400, 86400)
    assert (attribution.ndcg, attribution.rows, attribution.delay) == (0.8, 100, 300)
    assert settings.monitor.retrain == Retrain(2, "fixed", 30 * 86400, 0.05, 5)
    assert settings.monitor.max_seconds == 600
    assert settings.monitor.preprocess
    assert Settings.from_json(settings.to_json(), project="game") == settings


@pytest.mark.parametrize("nothing", [None, {}, False, "off"])
def test_nothing_is_watched_unasked(nothing: Any) -> None:
    """Without a named kind there are no monitors, and the settings read as before."""
    settings = parse_settings(document(nothing), project="game")
    assert settings.monitor == Monitoring()
    assert "monitor" not in settings.to_json()


def test_a_kind_alone_has_its_defaults() -> None:
    """`bias: on` asks for the defaults, and `off` for nothing."""
    section = {"data-quality": True, "bias": "off", "attribution": False}
    found = parse_settings(document(section), project="game").monitor
    assert [each.kind for each in found.monitors] == ["data-quality"]
    assert found.monitors[0].every == found.monitors[0].window == 3600
    assert found.monitor("bias") is None


MISTAKES = [
    ({"data-quality": {"every": "7m"}}, "monitor.data-quality.every", "divides the hour"),
    ({"data-quality": {"offset": "1h"}}, "monitor.data-quality.offset", "from 0s to 59m"),
    ({"data-quality": {"window": "25h"}}, "monitor.data-quality.window", "from 1s to 1d"),
    ({"data-quality": {"distance": 0}}, "monitor.data-quality.distance", "above 0"),
    ({"data-quality": {"method": "ks"}}, "monitor.data-quality.method", "robust, simple or"),
    ({"data-quality": {"features": {"won": {}}}}, "monitor.data-quality.features.won", "feature"),
    ({"data-quality": {"bounds": {}}}, "monitor.data-quality.bounds", "an unknown key"),
    ({"model-quality": {"bounds": {"r2": {"min": 1}}}}, "monitor.model-quality.bounds.r2", "auc"),
    (
        {"model-quality": {"bounds": {"brier": {"max": 1}}}},
        "monitor.model-quality.bounds.brier",
        "auc",
    ),
    ({"model-quality": {"bounds": {"auc": {}}}}, "monitor.model-quality.bounds.auc", "a bound"),
    ({"attribution": {"ndcg": 1.5}}, "monitor.attribution.ndcg", "up to 1"),
    ({"bias": 3}, "monitor.bias", "keys with values"),
    ({"instance": "ml.m5.large"}, "monitor", "at least one of data-quality"),
    ({"bias": {}, "instance": "m5"}, "monitor.instance", "ml.m5.large"),
    ({"bias": {}, "preprocess": "yes"}, "monitor.preprocess", "hook"),
    ({"bias": {}, "retrain": {"when": "all"}}, "monitor.retrain.when", "{at_least: 2}"),
    ({"bias": {}, "retrain": {"when": {"at_least": 2}}}, "monitor.retrain.when.at_least", "1 to 1"),
    ({"bias": {}, "retrain": {"policy": "fixed"}}, "monitor.retrain.every", "like 30d"),
    ({"bias": {}, "retrain": {"policy": "daily"}}, "monitor.retrain.policy", "rent-or-buy"),
    ({"bias": {}, "retrain": {"every": "5m"}}, "monitor.retrain.every", "from 1h"),
    ({"bias": {}, "retrain": {"error_usd": 0}}, "monitor.retrain.error_usd", "above 0"),
    ({"bias": {}, "retrain": {"earlier": 11}}, "monitor.retrain.earlier", "0 to 10"),
]


@pytest.mark.parametrize(("section", "path", "words"), MISTAKES)
def test_each_mistake_is_named(section: dict[str, Any], path: str, words: str) -> None:
    """A mistake is told with its key, and with what was expected there."""
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(document(section), project="game")
    found = [each for each in caught.value.mistakes if each.path == path]
    assert found
    assert words in str(found[0])


def without_facets() -> dict[str, Any]:
    """What GOOD has without facets: no bias, no gates on it."""
    return {"facets": {}, "gates": {"auc": {"min": 0.8}}, "bias": {}, "providers": {}}


@pytest.mark.parametrize(
    ("section", "other", "path"),
    [
        ({"data-quality": {}}, {"release": {}}, "monitor"),
        ({"data-quality": {}}, {"release": {"endpoint": {"capture": "0%"}}}, "monitor"),
        ({"bias": {}}, without_facets(), "monitor.bias"),
        ({"attribution": {}}, {"explain": "off"}, "monitor.attribution"),
    ],
)
def test_what_has_nothing_to_watch_is_refused(
    section: dict[str, Any], other: dict[str, Any], path: str
) -> None:
    """A monitor without capture, facets or a baseline of attributions is refused by name."""
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(document(section, **other), project="game")
    assert [each.path for each in caught.value.mistakes] == [path]


def test_a_job_is_told_its_slice() -> None:
    """The slice of a kind holds what its job compares, and nothing of when it runs."""
    monitors = parse_settings(document(FULL), project="game").monitor.monitors
    assert slice_of(monitors[0]) == {
        "metrics": "features",
        "distance": 0.2,
        "method": "simple",
        "features": {"size": {"distance": 0.3, "method": "robust"}, "city": {"evaluate": False}},
    }
    assert slice_of(monitors[1])["bounds"] == {
        "auc": {"min": 0.88},
        "false_positive_rate": {"max": 0.2},
    }
    assert slice_of(monitors[2]) == {"metrics": "aggregate"}
    assert slice_of(monitors[3]) == {"metrics": "aggregate", "ndcg": 0.8, "rows": 100}
