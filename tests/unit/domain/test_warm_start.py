"""Which earlier searches a tuning job may continue from, by SageMaker's rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.run_input import tuning_config
from perennial.domain.settings import Range, Tuning
from perennial.domain.warm_start import (
    MOST_CHANGES,
    MOST_JOBS,
    MOST_PARENTS,
    Earlier,
    Search,
    choose,
    misfit,
)

AUC = {"Type": "Maximize", "MetricName": "auc"}
OURS = Search(AUC, {"rate": "Continuous", "leaves": "Integer"}, {"step": "train", "code": "b"}, 10)
PARENT = replace(OURS, static={"step": "train", "code": "a"}, jobs=4)


def earlier(run: int, search: Search | None = PARENT, why_not: str = "") -> Earlier:
    """The search of a run."""
    return Earlier(run, f"search-{run}", search, why_not)


def test_a_search_is_read_from_its_request_and_from_its_description() -> None:
    """Both say the same; the hyperparameter that SageMaker adds is none of the model's."""
    ranges = (Range("rate", "float", 0.1, 1), Range("leaves", "int", 2, 9))
    config = tuning_config(Tuning("auc", "maximize", ranges))
    ours = Search.of(config, {"step": "train"}, 10)
    described = {
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"step": "train", "_tuning_objective_metric": "auc"}
        },
        "TrainingJobStatusCounters": {"Completed": 8, "NonRetryableError": 2},
    }
    assert Search.described(described) == ours
    assert ours.names == {"rate", "leaves", "step"}
    assert misfit(ours, ours) == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"objective": {**AUC, "MetricName": "f1"}}, "maximize f1, now it is to maximize auc"),
        ({"objective": {**AUC, "Type": "Minimize"}}, "minimize auc"),
        ({"tunable": {"rate": "Continuous"}}, "leaves is new"),
        ({"static": {**PARENT.static, "depth": "3"}}, "depth is gone"),
        ({"tunable": {**PARENT.tunable, "leaves": "Categorical"}},
         "leaves was Categorical, now it is Integer"),
    ],
)  # fmt: skip
def test_what_sagemaker_would_refuse_is_told(changed: dict[str, Any], words: str) -> None:
    """In words that name the hyperparameter, so that somebody can see what was changed."""
    assert words in misfit(OURS, replace(PARENT, **changed))


def test_what_may_change_does() -> None:
    """Other code, other ranges, and a hyperparameter that was static before."""
    was_static = replace(PARENT, tunable={"rate": "Continuous"},
                         static={**PARENT.static, "leaves": "31"})  # fmt: skip
    assert misfit(OURS, PARENT) == misfit(OURS, was_static) == ""


def test_at_most_ten_static_values_may_change() -> None:
    """The eleventh is one too many; one that was searched before counts too."""
    names = [f"h{n}" for n in range(MOST_CHANGES + 1)]
    ours = replace(OURS, static=dict.fromkeys(names, "1"))
    theirs = replace(ours, static=dict.fromkeys(names, "0"))
    assert misfit(ours, theirs) == "11 static hyperparameters differ, more than 10"
    assert misfit(ours, replace(theirs, static={**theirs.static, "h0": "1"})) == ""
    searched = replace(
        theirs,
        static={name: "0" for name in names if name != "h0"},
        tunable={**theirs.tunable, "h0": "Integer"},
    )
    assert misfit(ours, searched).startswith("11 static")


def test_the_newest_that_fit_are_taken() -> None:
    """At most five; those that do not fit are named with the reason."""
    other = replace(PARENT, objective={**AUC, "MetricName": "f1"})
    found = choose(OURS, [earlier(9, other), *(earlier(n) for n in range(8, 0, -1))])
    assert found.parents == ("search-8", "search-7", "search-6", "search-5", "search-4")
    assert "search-8 of run 8" in found.words
    assert "left out: run 9 (its objective was" in found.words
    config = found.to_json()["config"]
    assert config["WarmStartType"] == "TransferLearning"
    assert config["ParentHyperParameterTuningJobs"][0] == {
        "HyperParameterTuningJobName": "search-8"
    }


def test_a_first_search_starts_cold() -> None:
    """And says so; the machine then takes the search without parents."""
    found = choose(OURS, [])
    assert found.to_json() == {"words": found.words}
    assert found.words == "the search starts cold: no earlier search of the model has finished"


def test_what_cannot_be_a_parent_leaves_it_cold() -> None:
    """One that was deleted and one that never finished; a long list is cut."""
    gone = [Earlier(n, why_not="its search was deleted") for n in range(9, 0, -1)]
    found = choose(OURS, gone)
    assert found.parents == ()
    assert found.words.startswith(
        "the search starts cold; left out: run 9 (its search was deleted)"
    )
    assert found.words.endswith(" and 4 more")


@given(st.lists(st.integers(0, MOST_JOBS), max_size=12))
def test_all_training_jobs_count_together(jobs: list[int]) -> None:
    """Never more parents or training jobs than SageMaker takes, whatever the searches were."""
    given_ = [earlier(n, replace(PARENT, jobs=each)) for n, each in enumerate(jobs)]
    found = choose(OURS, given_)
    taken = [each for each in given_ if each.job in found.parents]
    assert len(taken) <= MOST_PARENTS
    assert OURS.jobs + sum(each.search.jobs for each in taken if each.search) <= MOST_JOBS
    assert bool(found.parents) == ("config" in found.to_json())
