"""How an execution's end is understood."""

from __future__ import annotations

import json

import pytest
from perennial.domain.ledger.ending import (
    Beneath,
    ExecutionEnd,
    ending_of,
    execution_gone,
    is_passing,
    record_ending,
    stopped,
)
from perennial.domain.ledger.rows import Ending, StopRequest

from tests.unit.domain.ledger_builders import NOW, claimed_run, written


def end(status, **fields):
    """What an execution's end means for run 7."""
    return ending_of(claimed_run(), ExecutionEnd(status, **fields))


@pytest.mark.parametrize(("passed", "outcome"), [(True, "won"), (False, "lost")])
def test_success_carries_the_verdict(passed, outcome):
    """Won or lost is what the verdict says."""
    assert end("SUCCEEDED", output={"verdict": {"passed": passed}}) == Ending(outcome, "")


@pytest.mark.parametrize(
    "output", [None, {}, [], "text", {"verdict": None}, {"verdict": {"passed": "yes"}}]
)
def test_success_without_a_verdict_is_a_failure(output):
    """An output that nobody can read fails, and is not taken for a verdict."""
    found = end("SUCCEEDED", output=output)
    assert (found.outcome, found.error, found.transient) == ("failed", "NoVerdict", False)
    assert found.words == "failed: run 7 ended without a verdict in its output"


def test_refused_tells_how_much_was_good():
    """The summary's reason is the reason of the hold."""
    found = end("FAILED", error="Refused", cause="rows: 50 of 1,000")
    assert found == Ending(
        "refused", "rows: 50 of 1,000", error="Refused", cause="rows: 50 of 1,000"
    )
    assert end("FAILED", error="Refused").words == "refused: too little good data"


def test_not_claimed_is_a_passing_failure():
    """A run whose own execution lost its claim is repeated, a few times."""
    found = end("FAILED", error="NotClaimed", cause="held by another")
    assert (found.outcome, found.transient) == ("not_claimed", True)
    assert found.words == "its execution did not hold the claim"


def test_a_run_that_took_too_long_is_a_passing_failure():
    """The time limit of the whole run."""
    found = end("TIMED_OUT")
    assert (found.outcome, found.transient) == ("failed", True)
    assert found.words == "failed: run 7 took longer than its execution may"


def test_aborted_is_stopped():
    """By whom and why is on the run row, if it was asked for here."""
    assert end("ABORTED") == Ending("stopped", "stopped by hand, outside Perennial")
    asked = claimed_run(stop=StopRequest("ann", "enough"))
    assert ending_of(asked, ExecutionEnd("ABORTED")).words == "stopped by ann: enough"
    assert stopped(asked, ran=False) == Ending("stopped", "stopped by ann: enough", ran=False)


def test_an_execution_that_is_gone():
    """A run whose execution AWS has forgotten fails."""
    found = execution_gone(claimed_run())
    assert (found.outcome, found.error, found.ran) == ("failed", "ExecutionDoesNotExist", True)
    assert found.words == "failed: the execution of run 7 does not exist any more"


SERVICE = "ServiceError: s3://landing/a.csv: SlowDown"
BEHIND = {"FailureReason": "AlgorithmError: see the log", "ExitMessage": SERVICE}
PROCESSING = {
    "FailureReason": "AlgorithmError: See job logs for more information",
    "ExitMessage": "ModelError: prepare() raised {x}",
}
JOB = {"TrainingJobName": "t", "FailureReason": "AlgorithmError: ValueError: Throttling of {x}"}


@pytest.mark.parametrize(
    ("error", "cause", "passing"),
    [
        ("TrainFailed", "States.TaskFailed: " + json.dumps(JOB), False),
        ("TrainFailed", json.dumps({"FailureReason": "ClientError: CapacityError"}), False),
        ("CheckDataFailed", json.dumps({"FailureReason": f"AlgorithmError: {SERVICE}"}), True),
        ("CheckDataFailed", json.dumps(json.dumps(BEHIND)), True),
        ("CheckDataFailed", json.dumps({"FailureReason": f"AlgorithmError: E: {SERVICE}"}), False),
        ("CheckDataFailed", json.dumps({"FailureReason": "ClientError: " + SERVICE}), False),
        ("TrainFailed", json.dumps({"FailureReason": "InternalServerError: we are sorry"}), True),
        ("TrainFailed", json.dumps(json.dumps({"FailureReason": "CapacityError: none"})), True),
        ("TrainFailed", json.dumps(json.dumps(JOB)), False),
        ("TrainFailed", "SageMaker.ThrottlingException: Rate exceeded", True),
        ("TrainFailed", "SageMaker.ResourceLimitExceededException: limit", True),
        ("TrainFailed", "States.Timeout: null", False),
        ("CheckClaimFailed", "Lambda.ServiceException: x", True),
        ("CheckClaimFailed", "Lambda.AWSLambdaException: x", True),
        ("CheckClaimFailed", "Lambda.SdkClientException: x", True),
        ("CheckClaimFailed", "Lambda.TooManyRequestsException: x", True),
        ("CheckClaimFailed", "Lambda.Unknown: x", True),
        ("CheckClaimFailed", "Runtime.ExitError: signal: killed", True),
        ("CheckClaimFailed", "KeyError: 'model'", False),
        ("Lambda.ServiceException", "", True),
        ("States.Runtime", "JSONPath $.x could not be found", False),
        ("", "", False),
    ],
)
def test_which_failures_may_pass(error, cause, passing):
    """The service's failures may pass; a job's own may not, whatever its text holds."""
    assert is_passing(error, cause) is passing
    assert end("FAILED", error=error, cause=cause).transient is passing


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("States.TaskFailed: " + json.dumps(JOB), "AlgorithmError: ValueError: Throttling of {x}"),
        ("States.TaskFailed: " + json.dumps(PROCESSING), "ModelError: prepare() raised {x}"),
        (
            json.dumps({**PROCESSING, "FailureReason": "ClientError: no room"}),
            "ClientError: no room",
        ),
        (json.dumps({**PROCESSING, "ExitMessage": ""}), PROCESSING["FailureReason"]),
        (json.dumps({"errorMessage": "no such\n file", "errorType": "E"}), "no such file"),
        ("plain", "plain"),
        ("", "no cause was given"),
        (json.dumps({"FailureReason": "", "Cause": "inner"}), "inner"),
        (json.dumps({"cause": "deep"}), "deep"),
        (json.dumps({"other": 1}), '{"other": 1}'),
    ],
)
def test_the_telling_line_of_a_cause(cause, words):
    """Held signals show why, not a page of JSON."""
    assert end("FAILED", error="TrainFailed", cause=cause).words == f"failed: TrainFailed: {words}"


def test_long_causes_are_cut():
    """Rows stay small."""
    found = end("FAILED", error="E" * 5000, cause="x" * 50_000)
    assert (len(found.words), len(found.error), len(found.cause)) == (400, 400, 4000)
    assert end("FAILED").words == "failed: unknown error: no cause was given"


def test_an_ending_is_recorded_once():
    """The first writer decides, under the run row's revision."""
    changes = record_ending(claimed_run(), Ending("won", ""), NOW)
    (row,) = written(changes)
    assert (row.ending, changes[0].expect) == (Ending("won", "", at_ms=NOW), 5)


@pytest.mark.parametrize(
    ("reason", "passing"),
    [
        ("AlgorithmError: ModelError: train() raised ValueError: Throttling", False),
        ("ClientError: no data", False),
        (f"AlgorithmError: {SERVICE}", True),
        ("CapacityError: Unable to provision requested ML compute capacity", True),
    ],
)
def test_a_search_failed_for_what_its_trials_failed_for(reason, passing):
    """SageMaker's own words name no reason: those of the trials decide and are told."""
    words = "3 of 3 trials failed, the first so: " + reason
    cause = json.dumps({"FailureReason": "No training job succeeded after 3 attempts."})
    found = end("FAILED", error="TuneFailed", cause=cause, beneath=Beneath(words, reason))
    assert found.words == f"failed: TuneFailed: {words}"
    assert found.transient is passing
    assert found.cause == cause
