"""The favourable outcome of labels with more than two values: `bias.positive`, `bias.threshold`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial.domain.settings import Settings, SettingsInvalid, apply_overrides, parse_settings

STARS = {"type": "category", "levels": ["1", "2", "3"]}


def parsed(label: dict[str, Any], bias: dict[str, Any]) -> Settings:
    """A model with one facet and this label."""
    problem = {2: "binary", 3: "multiclass"}.get(len(label.get("levels", ())), "regression")
    document: dict[str, Any] = {
        "problem": problem,
        "label": "y",
        "facets": ["sex"],
        "bias": bias,
        "data": {"columns": {"sex": {"type": "category", "open": True}, "y": label}},
    }
    if problem == "binary":
        document["positive"] = "2"
    return parse_settings(document, project="m")


def test_the_outcome_is_read_and_written() -> None:
    """Classes of a multiclass label, a threshold of a number; by default neither."""
    some = parsed(STARS, {"positive": ["2", "3"]})
    above = parsed({"type": "float"}, {"threshold": 9.5})
    assert some.bias.positive == ("2", "3")
    assert above.bias.threshold == 9.5
    assert parsed(STARS, {}).bias.positive == ()
    assert parsed({"type": "int"}, {}).bias.threshold is None
    for settings in (some, above):
        again = Settings.from_json(json.loads(json.dumps(settings.to_json())), project="m")
        assert again == settings
    assert apply_overrides(above, {"bias.threshold": "3"}).bias.threshold == 3


@pytest.mark.parametrize(
    ("label", "bias", "key", "expected"),
    [
        (STARS, {"positive": ["4"]}, "bias.positive", "some, not all"),
        (STARS, {"positive": ["1", "2", "3"]}, "bias.positive", "some, not all"),
        (STARS, {"positive": []}, "bias.positive", "some, not all"),
        (STARS, {"threshold": 2}, "bias.threshold", "the label is no number"),
        ({"type": "category", "levels": ["1", "2"]}, {"positive": "2"}, "bias.positive", "three"),
        ({"type": "float"}, {"positive": "2"}, "bias.positive", "three or more"),
        ({"type": "float"}, {"threshold": "high"}, "bias.threshold", "a number"),
    ],
)
def test_an_outcome_of_another_label_is_a_mistake(
    label: dict[str, Any], bias: dict[str, Any], key: str, expected: str
) -> None:
    """Named with its key before anything starts."""
    with pytest.raises(SettingsInvalid) as error:
        parsed(label, bias)
    assert key in str(error.value)
    assert expected in str(error.value)
