"""Finding the earlier searches of a model that a search may continue from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial import choose_parents as module
from perennial.choose_parents import choose_parents
from perennial.domain.errors import NotFound
from perennial.domain.ledger.rows import FinishedStep, RunRow
from perennial.domain.run_input import tuning_config
from perennial.domain.settings import Range, Tuning

BASE = "s3://artifacts/runs/census"
CONFIG = tuning_config(Tuning("auc", "maximize", (Range("rate", "float", 0.1, 1),), jobs=4))
GIVEN = {
    "training": {"tuning": CONFIG},
    "hyperparameters": {"step": "train"},
    "base": f"{BASE}/9",
}


def row(number: int, *, best: str = "", place: int = 0, tuned: bool = True, **more: Any) -> RunRow:
    """A run that ended; `best` is its best trial, `place` the run whose training it took."""
    training = {"tuning": CONFIG} if tuned else {}
    steps = (FinishedStep("train", "k", best, f"{BASE}/{number}", "s3://m", 5),) if best else ()
    return RunRow(
        "census",
        number,
        1,
        0,
        **{
            "state": "ended",
            "input": json.dumps({"training": training, "base": f"{BASE}/{number}"}),
            "plan": json.dumps({"keys": {}, "places": {"train": f"{BASE}/{place or number}"}}),
            "steps": steps,
            **more,
        },
    )


@pytest.fixture(autouse=True)
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Searches as SageMaker describes them: by the trial `best-N` the search `search-N`."""
    asked: list[str] = []

    def training_job(name: str) -> dict[str, Any]:
        asked.append(name)
        if name == "best-gone":
            raise NotFound(name)
        number = name.removeprefix("best-")
        arn = f"arn:aws:sagemaker:eu-west-1:1:hyper-parameter-tuning-job/search-{number}"
        return {} if name == "alone" else {"TuningJobArn": arn}

    def tuning_job(name: str) -> dict[str, Any]:
        if name == "search-deleted":
            raise NotFound(name)
        return {
            "HyperParameterTuningJobStatus": "Stopped" if name == "search-cut" else "Completed",
            "HyperParameterTuningJobConfig": CONFIG,
            "TrainingJobDefinition": {"StaticHyperParameters": {"step": "train"}},
            "TrainingJobStatusCounters": {"Completed": 4},
        }

    monkeypatch.setattr(module, "describe_training_job", training_job)
    monkeypatch.setattr(module, "describe_tuning_job", tuning_job)
    return asked


def test_finished_searches_are_parents() -> None:
    """Newest first, by the tuning job that a run's best trial belongs to."""
    found = choose_parents(GIVEN, [row(8, best="best-8"), row(7, best="best-7")])
    assert found.parents == ("search-8", "search-7")


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (row(8, best="best-gone"), "its search was deleted"),
        (row(8, best="best-deleted"), "its search was deleted"),
        (row(8, best="best-cut"), "its search is Stopped"),
        (row(8, best="alone"), "alone is no trial of a search"),
        (row(8), "it finished no search"),
    ],
)
def test_what_is_no_parent_is_left_out_in_words(run: RunRow, words: str) -> None:
    """Deleted, failed or stopped: the search goes on from the others."""
    found = choose_parents(GIVEN, [run, row(7, best="best-7")])
    assert found.parents == ("search-7",)
    assert f"left out: run 8 ({words})" in found.words


@pytest.mark.parametrize(
    "run",
    [
        row(8, tuned=False, best="best-8"),
        row(8, place=7),
        row(8, state="running"),
        row(8, input="", plan=""),
    ],
)
def test_a_run_that_did_not_search_is_not_spoken_of(run: RunRow, sagemaker: list[str]) -> None:
    """One job instead of a search, another run's training taken over, or not over yet."""
    found = choose_parents(GIVEN, [run])
    assert found.words == "the search starts cold: no earlier search of the model has finished"
    assert sagemaker == []


def test_no_more_is_asked_than_is_needed(sagemaker: list[str]) -> None:
    """After five searches that fit nobody asks for the sixth."""
    choose_parents(GIVEN, [row(n, best=f"best-{n}") for n in range(20, 0, -1)])
    assert sagemaker == [f"best-{n}" for n in range(20, 15, -1)]
