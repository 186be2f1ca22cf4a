"""`providers.monitor: sagemaker`: what it takes, and what it refuses by key."""

from __future__ import annotations

from typing import Any

import pytest
from perennial.domain.settings import Settings, SettingsInvalid, parse_settings

from tests.unit.domain.test_settings_monitor import document

KIND = "data-quality"


def managed(section: Any, **other: Any) -> dict[str, Any]:
    """A document that asks SageMaker to watch."""
    return document(section, **{"providers": {"monitor": "sagemaker"}, **other})


def test_an_hour_of_data_quality_needs_no_more() -> None:
    """Windows are hours without a delay, and come back whole from the form the ledger keeps."""
    settings = parse_settings(managed({KIND: True}), project="game")
    (monitor,) = settings.monitor.monitors
    assert settings.monitor.is_managed
    assert (monitor.every, monitor.window, monitor.delay) == (3600, 3600, 0)
    assert Settings.from_json(settings.to_json(), project="game") == settings
    assert settings.to_json()["providers"]["monitor"] == "sagemaker"
    ours = parse_settings(document({KIND: True}), project="game")
    assert "monitor" not in ours.to_json()["providers"]


MISTAKES = [
    ({KIND: {"every": "30m"}}, "monitor.data-quality.every", "1h or longer"),
    ({KIND: {"every": "1d", "window": "1h"}}, "monitor.data-quality.window", "since the last"),
    ({KIND: {"every": "1d", "offset": "30m"}}, "monitor.data-quality.offset", "whole hours"),
    ({KIND: {"delay": "5m"}}, "monitor.data-quality.delay", "20 minutes"),
    ({KIND: {}, "max_seconds": 7200}, "monitor.max_seconds", "at most 3600"),
    ({KIND: {}, "preprocess": "hook"}, "monitor.preprocess", "no code of the model's"),
    (
        {KIND: {"features": {"size": {"distance": 0.3}}}},
        "monitor.data-quality.features.size.distance",
        "one bound",
    ),
    (
        {KIND: {"features": {"city": {"method": "simple"}}}},
        "monitor.data-quality.features.city.method",
        "one method",
    ),
]


@pytest.mark.parametrize(("section", "path", "words"), MISTAKES)
def test_what_model_monitor_cannot_do_is_refused(
    section: dict[str, Any], path: str, words: str
) -> None:
    """By the key that asks for it, with the reason."""
    assert words in refused(managed(section))[path]


def test_model_quality_waits_for_labels_in_whole_hours() -> None:
    """A day without another word; its bounds are those of the settings."""
    section = {"model-quality": {"every": "2h", "bounds": {"auc": {"min": 0.8}}}}
    (monitor,) = parse_settings(managed(section), project="game").monitor.monitors
    assert (monitor.window, monitor.delay) == (7200, 86400)
    late = refused(managed({"model-quality": {"delay": "90m"}}))
    assert "whole hours" in late["monitor.model-quality.delay"]


@pytest.mark.parametrize("kind", ["bias", "attribution"])
def test_kinds_that_are_not_built_are_refused(kind: str) -> None:
    """They are judged by our own jobs."""
    assert "so far" in refused(managed({kind: {"delay": 0}}))[f"monitor.{kind}"]


@pytest.mark.parametrize("kind", ["serverless", "multi-model"])
def test_endpoints_that_sagemaker_records_nothing_of_are_refused(kind: str) -> None:
    """Their requests are recorded by us, where SageMaker does not look."""
    release = {"endpoint": {"kind": kind}}
    assert kind in refused(managed({KIND: {}}, release=release))["providers.monitor"]


def refused(given: dict[str, Any]) -> dict[str, str]:
    """Path and message of every mistake."""
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(given, project="game")
    return {each.path: str(each) for each in caught.value.mistakes}
