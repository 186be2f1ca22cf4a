"""Settings that nothing acts on yet are refused by their names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.not_built import refuse_not_built
from perennial.domain.settings import Range, Settings, SettingsInvalid, Tuning

from tests.unit.domain.test_step_keys import SETTINGS

PLAIN = Settings.from_json(SETTINGS, project="census")
TUNING = Tuning("auc", "maximize", (Range("rate", "float", 0.1, 0.2),))


def test_what_is_built_passes() -> None:
    """Spot machines, a search that continues from others, and Clarify are no obstacle."""
    refuse_not_built(PLAIN)
    search = replace(TUNING, warm_start=True)
    train = replace(PLAIN.train, spot=True, max_wait=7200, tuning=search)
    bias = replace(PLAIN.bias, provider="sagemaker")
    refuse_not_built(replace(PLAIN, train=train, bias=bias))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (replace(PLAIN, train=replace(PLAIN.train, algorithm="xgboost")), "train.algorithm"),
        (replace(PLAIN, train=replace(PLAIN.train, image="1.dkr/x:1")), "train.image"),
    ],
)
def test_what_is_not_built_is_refused_by_name(settings: Settings, key: str) -> None:
    """A key that would be ignored is a mistake, with the model's name."""
    with pytest.raises(SettingsInvalid, match=key) as refused:
        refuse_not_built(settings)
    assert "census" in str(refused.value)
