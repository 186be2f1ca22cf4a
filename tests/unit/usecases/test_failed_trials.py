"""Why a search failed: read from its trials, when the execution's cause names a tuning job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial import failed_trials as module
from perennial.domain.errors import NotFound
from perennial.domain.ledger.ending import Beneath
from perennial.failed_trials import beneath, failed_trials

REASON = "AlgorithmError: ModelError: train() in model.py raised ValueError: no luck"
SEARCH = {"HyperParameterTuningJobName": "p-1-0", "HyperParameterTuningJobStatus": "Failed"}


def trial(name: str, status: str = "Failed", reason: str = REASON, created: int = 0) -> Any:
    """The summary of a training job."""
    found = {"TrainingJobName": name, "TrainingJobStatus": status, "CreationTime": created}
    return {**found, **({"FailureReason": reason} if reason else {})}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The searches whose trials were asked for; two, of which one failed."""
    names: list[str] = []

    def listed(name: str) -> list[Any]:
        names.append(name)
        return [trial("a", "Stopped", ""), trial("b")]

    monkeypatch.setattr(module, "list_trials", listed)
    return names


@pytest.mark.parametrize("cut", [None, 120])
def test_the_trials_of_a_failed_search_are_asked(asked: list[str], cut: int | None) -> None:
    """Also when the cause is so long that its end is cut off."""
    cause = "States.TaskFailed: " + json.dumps({**SEARCH, "Rest": "x" * 100})
    assert failed_trials(cause[:cut]) == Beneath(
        f"1 of 2 trials failed, the first so: {REASON}", REASON
    )
    assert asked == ["p-1-0"]


@pytest.mark.parametrize(
    "cause",
    [
        "",
        "SageMaker.ResourceLimitExceededException: no room for a HyperParameterTuningJobName",
        json.dumps({"TrainingJobName": "t", "FailureReason": REASON}),
        json.dumps({**SEARCH, "HyperParameterTuningJobStatus": "Stopped"}),
    ],
)
def test_other_failures_have_nothing_beneath(asked: list[str], cause: str) -> None:
    """No job was made, it was another kind, or a person stopped it: nobody is asked."""
    assert failed_trials(cause) is None
    assert asked == []


def test_a_search_that_is_gone_has_nothing_beneath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words then stand."""

    def gone(name: str) -> list[Any]:
        raise NotFound(name)

    monkeypatch.setattr(module, "list_trials", gone)
    assert failed_trials(json.dumps(SEARCH)) is None


def test_the_first_failure_is_told() -> None:
    """By the time of creation; without a reason that is said, and without a failure nothing."""
    found = beneath([trial("z", created=2), trial("y", reason="", created=1)])
    assert found == Beneath(
        "2 of 2 trials failed, the first so: no reason was given", "no reason was given"
    )
    assert beneath([trial("a", "Stopped")]) is None
    assert beneath([]) is None
