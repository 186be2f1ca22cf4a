"""The judging steps on what the other jobs leave: census on genuine data, as their containers."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from perennial.domain.comparison import judge_champion
from perennial.domain.settings import Comparison

from tests.jobs.conftest import Done, Workbench, project_settings

Loop = dict[str, Any]
LANDINGS = 3


@pytest.fixture(scope="module")
def loop(census: Workbench, adult: str) -> Loop:
    """A candidate and a weaker champion on 9,000 rows of three landings, compared and measured."""
    settings = project_settings(census.project, bias__group="education_num")
    header, *rows = adult.splitlines()
    entries = []
    for i in range(LANDINGS):
        part = "\n".join([header, *rows[3000 * i : 3000 * (i + 1)]])
        entry = census.land(f"incoming/census/part-{i}.csv", part.encode())
        entries.append({**entry, "last_modified_ms": 1_700_000_000_000 + 60_000 * i})
    checked = census.check(settings, entries, "judged-check")
    assert checked.code == 0, checked.log
    evaluated = {}
    for name, rounds in (("candidate", 60), ("champion", 3)):
        given = project_settings(census.project, train__hyperparameters__rounds=rounds)
        trained = census.train(given, checked, f"judged-train-{name}")
        assert trained.code == 0, trained.log
        evaluated[name] = census.evaluate(given, checked, trained, f"judged-{name}")
        assert evaluated[name].code == 0, evaluated[name].log
    inputs = {
        "evaluation": evaluated["candidate"].output("evaluation"),
        "champion": evaluated["champion"].output("evaluation"),
        **{name: checked.output(name) for name in ("check", "training", "holdout")},
    }
    found: Loop = {"check": checked, "inputs": inputs}
    for step, needed in (
        ("compare", ("evaluation", "champion", "holdout")),
        ("measure_bias", ("evaluation", "training", "holdout", "check")),
    ):
        base = census._base(f"judged-{step}", settings, "processing/input/settings")
        for name in needed:
            shutil.copytree(inputs[name], base / "processing/input" / name)
        found[step] = census.run(step, base)
    return found


def done(loop: Loop, step: str) -> Done:
    """A step that must have ended well."""
    found: Done = loop[step]
    assert found.code == 0, found.log + found.failure
    return found


def test_the_better_model_wins_in_words(loop: Loop) -> None:
    """Sixty rounds against three, on every row of the holdout."""
    step = done(loop, "compare")
    document = step.json("comparison/comparison.json")
    rows = loop["check"].json("check/summary.json")["rows"]["holdout"]
    assert document["rows"] == rows
    assert document["unmatched"] == 0
    assert judge_champion(document, Comparison("auc")).passed
    assert f"{rows:,} paired rows" in step.message
    assert document["metrics"]["auc"]["difference"] == document["difference"]


def test_windows_are_the_landings(loop: Loop) -> None:
    """Three objects landed a minute apart: as many windows, and the labels' age."""
    document = done(loop, "compare").json("comparison/comparison.json")
    assert [window["from_ms"] for window in document["windows"]] == [
        1_700_000_000_000 + 60_000 * i for i in range(LANDINGS)
    ]
    assert document["labels"] == {"oldest_ms": 1_700_000_000_000, "newest_ms": 1_700_000_120_000}


def test_bias_rests_on_every_labelled_row(loop: Loop) -> None:
    """Training and holdout before training, the holdout after it; facets are those of the file."""
    document = done(loop, "measure_bias").json("bias/analysis.json")
    rows = loop["check"].json("check/summary.json")["rows"]
    perennial = document["perennial"]
    assert perennial["rows_pre_training"] == rows["training"] + rows["holdout"]
    assert perennial["rows"] == rows["holdout"]
    assert perennial["notes"] == []
    assert 0.15 < perennial["metrics"]["DPL:sex=Female"] < 0.23
    assert perennial["metrics"]["DPL:sex=Female"] == -perennial["metrics"]["DPL:sex=Male"]
    assert perennial["metrics"]["CDDL:sex=Female"] > 0.1
    facets = document["post_training_bias_metrics"]["facets"]
    assert [entry["value_or_threshold"] for entry in facets["age"]] == [
        "<30", "30-45", "45-60", ">=60",
    ]  # fmt: skip
