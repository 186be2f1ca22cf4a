"""How a run ended: from what DescribeExecution says to the one :class:`Ending` of the run row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from perennial.domain.ledger.rows import Ending, RunRow
from perennial.domain.ledger.store import Transaction, change

LONGEST_CAUSE = 4000
LONGEST_WORDS = 400

#: A SageMaker job's FailureReason begins with whose fault it was.
_JOB_FAULT = re.compile(r'FailureReason[\\"\s:]+(\w+):')
_OWN_FAULTS = ("AlgorithmError", "ClientError")
#: How a job says that a service failed it (`jobs/failures.py`), after all retries of its own.
_SERVICE_FAULT = re.compile(
    r'(?:FailureReason[\\"\s:]+AlgorithmError: |ExitMessage[\\"\s:]+)ServiceError: '
)
_PASSING = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|ProvisionedThroughputExceeded|SlowDown"
    r"|CapacityError|InsufficientInstanceCapacity|InsufficientCapacity|ResourceLimitExceeded"
    r"|InternalServerError|InternalFailure|InternalServerException|InternalError"
    r"|ServiceUnavailable|Lambda\.(Service|AWSLambda|SdkClient|TooManyRequests)\w*Exception"
    r"|Lambda\.Unknown|Runtime\.ExitError|Sandbox\.Timedout"
)


@dataclass(frozen=True)
class Beneath:
    """A failure that a cause does not tell: in words, and as the job's ``FailureReason``."""

    words: str
    reason: str


@dataclass(frozen=True)
class ExecutionEnd:
    """What DescribeExecution told of an execution that is over; ``output`` is parsed JSON.

    ``beneath`` is what the cause does not tell: why the trials of a search failed.
    """

    status: str
    output: Any = None
    error: str = ""
    cause: str = ""
    beneath: Beneath | None = None


def ending_of(run: RunRow, end: ExecutionEnd) -> Ending:
    """Understand an execution's end."""
    if end.status == "SUCCEEDED":
        return _success(run, end.output)
    if end.status == "ABORTED":
        return stopped(run, ran=True)
    if end.status == "TIMED_OUT":
        words = f"failed: run {run.number} took longer than its execution may"
        return _failure(end, words, transient=True)
    if end.error == "Refused":
        words = telling_line(end.cause) or "refused: too little good data"
        return replace(_failure(end, words, transient=False), outcome="refused")
    if end.error == "NotClaimed":
        ending = _failure(end, "its execution did not hold the claim", transient=True)
        return replace(ending, outcome="not_claimed")
    told, cause = telling_line(end.cause) or "no cause was given", end.cause
    if end.beneath is not None:
        told, cause = end.beneath.words, f"FailureReason: {end.beneath.reason}"
    words = f"failed: {end.error or 'unknown error'}: {told}"
    return _failure(end, words, transient=is_passing(end.error, cause))


def execution_gone(run: RunRow) -> Ending:
    """The ending of a started run whose execution AWS does not know any more."""
    words = f"failed: the execution of run {run.number} does not exist any more"
    return Ending("failed", words, error="ExecutionDoesNotExist")


def stopped(run: RunRow, *, ran: bool) -> Ending:
    """The ending of a run that a person stopped."""
    words = "stopped by hand, outside Perennial"
    if run.stop is not None:
        words = f"stopped by {run.stop.by}: {run.stop.because}"
    return Ending("stopped", words, ran=ran)


def is_passing(error: str, cause: str) -> bool:
    """Whether a failure is the service's, such that the same may succeed later.

    A job's own failure (``AlgorithmError``, ``ClientError``) is not, whatever its text holds,
    unless it begins by saying that a service failed the job.
    """
    fault = _JOB_FAULT.search(cause)
    if fault is not None and fault[1] in _OWN_FAULTS and not _SERVICE_FAULT.search(cause):
        return False
    return _PASSING.search(f"{error}\n{cause}") is not None


def record_ending(run: RunRow, ending: Ending, now_ms: int) -> Transaction:
    """Fix how the run ended, once: from here on its claim is void and it is being settled."""
    return (change(run, ending=replace(ending, at_ms=now_ms)),)


def _success(run: RunRow, output: object) -> Ending:
    passed = _passed(output)
    if passed is None:
        words = f"failed: run {run.number} ended without a verdict in its output"
        return Ending("failed", words, error="NoVerdict")
    return Ending("won" if passed else "lost", "")


def _passed(output: object) -> bool | None:
    verdict = output.get("verdict") if isinstance(output, Mapping) else None
    passed = verdict.get("passed") if isinstance(verdict, Mapping) else None
    return passed if isinstance(passed, bool) else None


def _failure(end: ExecutionEnd, words: str, *, transient: bool) -> Ending:
    return Ending(
        "failed",
        words[:LONGEST_WORDS],
        transient=transient,
        error=end.error[:LONGEST_WORDS],
        cause=end.cause[:LONGEST_CAUSE],
    )


def telling_line(cause: str) -> str:
    """The most telling line of a cause, which may end with the JSON text of a job or error."""
    try:
        document = json.loads(cause[max(cause.find("{"), 0) :])
    except ValueError:
        document = None
    if isinstance(document, Mapping):
        exit_message = document.get("ExitMessage")
        reason = str(document.get("FailureReason") or "")
        if isinstance(exit_message, str) and exit_message and reason.startswith("AlgorithmError"):
            # Of a processing job that failed by itself, SageMaker only says that there is a log.
            return telling_line(exit_message)
        for name in ("FailureReason", "errorMessage", "Cause", "cause"):
            if isinstance(document.get(name), str) and document[name]:
                return telling_line(document[name])
    return " ".join(cause.split())[:LONGEST_WORDS]
