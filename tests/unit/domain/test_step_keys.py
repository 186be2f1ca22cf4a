"""The keys of finished steps: what changes a key, and what must not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from perennial.domain.ledger.rows import RunRow
from perennial.domain.settings import parse_settings
from perennial.domain.step_keys import Basis, place_of, step_keys

SETTINGS = parse_settings(
    {
        "problem": "binary",
        "label": "income",
        "positive": ">50K",
        "facets": {"sex": {}},
        "data": {
            "columns": {
                "age": {"type": "int"},
                "sex": {"type": "category", "levels": ["Female", "Male"]},
                "income": {"type": "category", "levels": ["<=50K", ">50K"]},
            }
        },
        "train": {"hyperparameters": {"num_leaves": 31}},
        "gates": {"auc": {"min": 0.9}},
    },
    project="census",
).to_json()
OBJECT = {"bucket": "landing", "key": "incoming/census/1.csv", "version_id": "v1", "size": 9}
BASIS = Basis([OBJECT], {}, "c" * 64, "image:1", SETTINGS, ("arn:4", "m" * 64))
STEPS = {"check_data", "train", "evaluate", "evaluate_champion", "compare", "measure_bias",
         "explain"}  # fmt: skip


def changed(path: str, value: Any) -> Basis:
    """The basis with one setting changed."""
    settings = copy.deepcopy(SETTINGS)
    *parents, last = path.split(".")
    place = settings
    for key in parents:
        place = place[key]
    place[last] = value
    return replace(BASIS, settings=settings)


def differing(other: Basis) -> set[str]:
    """The steps whose keys differ from the basis's."""
    before, after = step_keys(BASIS), step_keys(other)
    assert set(before) == set(after) == STEPS
    return {step for step in STEPS if before[step] != after[step]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gates.auc", {"min": 0.95}),
        ("release.approval", "policy"),
        ("triggers.cool_down", "2h"),
        ("train.instance", "ml.c5.xlarge"),
        ("train.max_seconds", 60),
        ("jobs.evaluate", {"instance": "ml.c5.xlarge", "volume_gb": 30, "max_seconds": 60}),
        ("reuse", "1d"),
        ("tags", {"team": "a"}),
    ],
)
def test_what_no_result_rests_on_changes_no_key(path: str, value: Any) -> None:
    """Another gate, machine, limit or tag lets every finished step be found again."""
    assert differing(changed(path, value)) == set()


@pytest.mark.parametrize(
    ("other", "steps"),
    [
        (changed("train.hyperparameters", {"num_leaves": 63}),
         STEPS - {"check_data", "evaluate_champion"}),
        (changed("train.seed", 1), STEPS - {"check_data", "evaluate_champion"}),
        (changed("explain.rows", 5), {"explain"}),
        (changed("bias.methods", ["DPL"]), {"measure_bias"}),
        (changed("data.holdout", 0.3), STEPS),
        (changed("facets", {}), STEPS),
        (replace(BASIS, code_sha="d" * 64), STEPS),
        (replace(BASIS, image="image:2"), STEPS),
        (replace(BASIS, objects=[{**OBJECT, "version_id": "v2"}]), STEPS),
        (replace(BASIS, window={"window": "1 day"}), STEPS),
        (replace(BASIS, champion=("arn:5", "n" * 64)), {"evaluate_champion", "compare"}),
        (replace(BASIS, clarify_image="clarify:2"), set()),
        (changed("providers.bias", "sagemaker"), {"evaluate", "compare", "measure_bias"}),
    ],
)  # fmt: skip
def test_a_change_reaches_the_steps_behind_it(other: Basis, steps: set[str]) -> None:
    """What a step rests on changes its key and the keys of those that build on it, no others."""
    assert differing(other) == steps


def test_clarifys_measurement_has_a_key_of_its_own() -> None:
    """It rests on Clarify's image, and on a dataset in which outcomes are told apart."""
    managed = changed("providers.bias", "sagemaker")
    settings = copy.deepcopy(dict(managed.settings))
    settings["bias"]["positive"] = [">50K"]
    for other, steps in (
        (replace(managed, clarify_image="clarify:2"), {"measure_bias"}),
        (replace(managed, settings=settings), {"evaluate", "compare", "measure_bias"}),
    ):
        before, after = step_keys(managed), step_keys(other)
        assert {step for step in STEPS if before[step] != after[step]} == steps


def test_the_margin_is_the_verdicts_business() -> None:
    """How much loss is tolerated changes no comparison; how it is computed does."""
    settings = copy.deepcopy(SETTINGS)
    settings["gates"]["champion"] = {"metric": "auc", "margin": 0.0, "significance": 0.05}
    basis = replace(BASIS, settings=settings)
    for key, value, steps in (("margin", 0.1, set()), ("significance", 0.01, {"compare"})):
        other = copy.deepcopy(settings)
        other["gates"]["champion"][key] = value
        before, after = step_keys(basis), step_keys(replace(basis, settings=other))
        assert {step for step in STEPS if before[step] != after[step]} == steps


def test_a_place_is_the_runs_own_unless_it_was_planned_elsewhere() -> None:
    """Outputs of a reused step lie below the run that wrote them."""
    run = RunRow("census", 5, 1, 0, plan='{"keys": {}, "places": {"check_data": "s3://a/runs/4"}}')
    assert place_of(run, "check_data", "s3://a/runs/5") == "s3://a/runs/4"
    assert place_of(run, "train", "s3://a/runs/5") == "s3://a/runs/5"
    assert place_of(replace(run, plan=""), "check_data", "s3://a/runs/5") == "s3://a/runs/5"
    assert place_of(None, "check_data", "s3://a/runs/5") == "s3://a/runs/5"
