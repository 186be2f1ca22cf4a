"""The checks of a smoke test: what an endpoint must answer, how fast, with how much memory.

Each says what it found, and what could not be seen has not passed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

import numpy as np
from perennial.domain.text import printable

from jobs.failures import SettingsError
from jobs.invoking import NOT_READY, Answer, Request

JSON = "application/json"
TOLERANCE = 1e-6  # relative; what another processor makes of the same sums
TINY = 1e-9
# The first requests pay for what a server does only once; they count for all but its latency.
WARM_UP = 5
# How long these may find the model still being loaded, in all, and how often they look.
LOADING_SECONDS, LOADING_EVERY = 60.0, 1.0
MEMORY_SECONDS, MEMORY_EVERY = 300.0, 1.0  # the first figure comes a minute after the start
SHOWN = 160
BAD_REQUESTS = {
    "no JSON": Request(b"{no json", JSON),
    "an empty body": Request(b" ", JSON),
    "a list of numbers for rows": Request(b'{"instances": [1, 2]}', JSON),
    "an unknown content type": Request(b"x", "application/x-perennial-smoke-test"),
}


class Called(Protocol):
    """What the checks need of AWS; `jobs.invoking.Caller` has it."""

    def invoke(
        self, endpoint: str, request: Request, accept: str, target_model: str = ""
    ) -> Answer:
        """One invocation."""

    def memory(self, endpoint: str, variant: str, since: datetime) -> float | None:
        """The largest share of its memory that the endpoint used."""

    def captured(self, bucket: str, prefix: str, most: int) -> list[Request]:
        """Recent requests that another endpoint answered."""


@dataclass(frozen=True)
class Target:
    """What is tested: an endpoint's variant that should serve `model` `version`.

    `target_model` names it on an endpoint of several models (empty: the endpoint has one).
    `capture` is where the live endpoint's captured requests lie (empty: there is none), as bucket
    and prefix. Bounds: `latency_p99` in milliseconds, `memory` a share; None: not judged.
    """

    endpoint: str
    variant: str
    model: str
    version: int
    rows: int
    requests: int
    latency_p99: float | None
    memory: float | None
    capture_bucket: str = ""
    capture_prefix: str = ""
    target_model: str = ""

    @classmethod
    def from_json(cls, document: Any) -> Target:
        """Read target.json; raises `SettingsError` when it is something else."""
        try:
            return cls(**document)
        except TypeError as error:
            raise SettingsError(f"target.json is not what the smoke test reads: {error}") from None


@dataclass(frozen=True)
class Check:
    """One check: what it found in words, the figure and the bound it was held against."""

    name: str
    passed: bool
    words: str
    figure: float | None = None
    bound: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The check as smoke_test.json has it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Row:
    """One holdout row as a request, with the score or scores that its evaluation gave it."""

    request: Request
    expected: tuple[float, ...]


@dataclass
class SmokeTest:
    """One test of one endpoint; `sleep` waits between questions for its memory."""

    caller: Called
    target: Target
    problem: str
    sleep: Callable[[float], None] = time.sleep

    def test(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Call, measure and judge: the content of smoke_test.json."""
        began = datetime.now(timezone.utc)
        answers = self._warm_up(rows[:WARM_UP])
        answers += [self._invoke(row.request) for row in rows[WARM_UP:]]
        captured = self._captured()
        replayed = [self._invoke(request) for request in captured]
        checks = [
            self._served(answers, "holdout rows"),
            self._shape(answers),
            self._predictions(rows, answers),
            self._replayed(replayed),
            self._bad_requests(),
            self._latency([*answers, *replayed]),
            self._memory(began),
        ]
        return _document(self.target, checks, [*answers, *replayed], len(answers))

    def _warm_up(self, rows: Sequence[Row]) -> list[Answer]:
        """The first answers. A model that is still being loaded is waited for; what it says after
        the waiting is its answer."""
        answers, waited = [], 0.0
        for row in rows:
            answer = self._invoke(row.request)
            while answer.code == NOT_READY and waited < LOADING_SECONDS:
                self.sleep(LOADING_EVERY)
                waited += answer.seconds + LOADING_EVERY
                answer = self._invoke(row.request)
            answers.append(answer)
        return answers

    def _invoke(self, request: Request) -> Answer:
        target = self.target
        return self.caller.invoke(target.endpoint, request, JSON, target.target_model)

    def _captured(self) -> list[Request]:
        target = self.target
        if not target.capture_prefix or not target.requests:
            return []
        return self.caller.captured(target.capture_bucket, target.capture_prefix, target.requests)

    def _served(self, answers: Sequence[Answer], what: str) -> Check:
        """Not one request may fail, and there must have been one."""
        failed = [answer for answer in answers if answer.status != 200]
        words = f"{len(answers) - len(failed):,} of {len(answers):,} {what} were answered"
        if failed:
            words += f"; the first failure: {_shown(failed[0])}"
        return Check("errors", bool(answers) and not failed, words, len(failed), 0)

    def _shape(self, answers: Sequence[Answer]) -> Check:
        """Each answer is one prediction of this very version, with scores that make sense."""
        problems = [_shape_problem(self.target, self.problem, each) for each in answers]
        wrong = [words for words in problems if words]
        words = wrong[0] if wrong else f"{len(answers):,} answers have the form of {self.problem}"
        return Check("schema", bool(answers) and not wrong, words, len(wrong), 0)

    def _predictions(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Check:
        """Served scores are the evaluation's: what was judged is what would go out."""
        worst, differing = 0.0, 0
        for row, answer in zip(rows, answers, strict=True):
            apart = _apart(row.expected, _scores(self.problem, answer))
            differing += apart > TOLERANCE
            worst = max(worst, apart)
        same = f"{len(rows) - differing:,} of {len(rows):,} predictions equal the evaluation's"
        words = same if not differing else f"{same}; is it the model that was registered?"
        figure = worst if math.isfinite(worst) else None
        return Check("predictions", bool(rows) and not differing, words, figure, TOLERANCE)

    def _replayed(self, answers: Sequence[Answer]) -> Check:
        """What production answered lately, the new version must answer too."""
        if not answers:
            return Check("captured", True, "there are no captured requests to replay", 0, 0)
        return replace(self._served(answers, "captured requests"), name="captured")

    def _bad_requests(self) -> Check:
        """A bad request is refused as such (400 to 499), and does the server no harm."""
        found = {what: self._invoke(request) for what, request in BAD_REQUESTS.items()}
        wrong = [w for w, answer in found.items() if not 400 <= answer.status < 500]
        words = f"{len(found) - len(wrong)} of {len(found)} bad requests were refused as such"
        if wrong:
            words += f"; {wrong[0]}: {_shown(found[wrong[0]])}"
        return Check("bad_requests", not wrong, words, len(wrong), 0)

    def _latency(self, answers: Sequence[Answer]) -> Check:
        """p99 of one-row requests, from sending to the whole answer."""
        bound = self.target.latency_p99
        if bound is None:
            return Check("latency", True, "the settings do not bound the latency")
        taken = milliseconds(answers)
        if not taken.size:
            return Check(
                "latency", False, "no request was answered, so none was timed", None, bound
            )
        p50, p99 = (float(np.quantile(taken, q)) for q in (0.5, 0.99))
        words = (
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {taken.size:,} requests; wanted {bound:g} ms"
        )
        return Check("latency", p99 <= bound, words, p99, bound)

    def _memory(self, since: datetime) -> Check:
        """The largest share of its memory; CloudWatch hears of it with some delay."""
        target, waited = self.target, 0.0
        if target.memory is None:
            return Check("memory", True, "the settings do not bound the memory")
        used = self.caller.memory(target.endpoint, target.variant, since)
        while used is None and waited < MEMORY_SECONDS:
            self.sleep(MEMORY_EVERY)
            waited += MEMORY_EVERY
            used = self.caller.memory(target.endpoint, target.variant, since)
        if used is None:
            words = f"CloudWatch had no MemoryUtilization of {target.endpoint} within {waited:g} s"
            return Check("memory", False, words, None, target.memory)
        whose = " of the machine, which other models use too," if target.target_model else ""
        words = (
            f"{100 * used:.0f}% of the memory{whose} was used; "
            f"wanted {100 * target.memory:g}% at most"
        )
        return Check("memory", used <= target.memory, words, used, target.memory)


def milliseconds(answers: Sequence[Answer]) -> np.ndarray[Any, Any]:
    """How long the answered requests took, the first few apart."""
    answered = [1000 * answer.seconds for answer in answers if answer.status == 200]
    return np.array(answered[WARM_UP:] or answered, dtype=np.float64)


def _document(
    target: Target, checks: Sequence[Check], answers: Sequence[Answer], rows: int
) -> dict[str, Any]:
    failed = [check for check in checks if not check.passed]
    name = f"{target.model} {target.version}"
    words = f"{name} passed all {len(checks)} checks of its smoke test"
    if failed:
        count = f"{len(failed)} of {len(checks)} checks"
        words = f"{name} did not pass {count} of its smoke test: " + "; ".join(
            check.words for check in failed
        )
    taken = milliseconds(answers)
    times = {
        f"p{q}_us": round(1000 * float(np.quantile(taken, q / 100))) for q in (50, 99) if taken.size
    }
    return {
        "version": 1,
        "model": target.model,
        "model_version": target.version,
        "passed": not failed,
        "words": words,
        "checks": [check.to_json() for check in checks],
        "figures": {
            "rows": rows,
            "requests": len(answers) - rows,
            "errors": sum(answer.status != 200 for answer in answers),
            **times,
        },
    }


def _prediction(answer: Answer) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """An answer's document and its one prediction; None when it has another form."""
    if answer.status != 200:
        return None
    try:
        document = json.loads(answer.body)
        (prediction,) = document["predictions"]
    except (ValueError, KeyError, TypeError):
        return None
    return (document, prediction) if isinstance(prediction, Mapping) else None


def _scores(problem: str, answer: Answer) -> tuple[float, ...] | None:
    """The scores of an answer in the order of the evaluation's columns; None without any."""
    found = _prediction(answer)
    if found is None:
        return None
    _, prediction = found
    try:
        if problem == "multiclass":
            return tuple(float(value) for value in prediction["scores"].values())
        return (float(prediction["score" if problem == "binary" else "prediction"]),)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _shape_problem(target: Target, problem: str, answer: Answer) -> str:
    """What an answer's form lacks, in words; empty: nothing."""
    found, scores = _prediction(answer), _scores(problem, answer)
    if found is None or scores is None:
        return f"an answer is no prediction of a {problem} model: {_shown(answer)}"
    document, prediction = found
    told = (document.get("model"), document.get("version"))
    if told != (target.model, target.version):
        return f"{told[0]} {told[1]} answers, not {target.model} {target.version}"
    if not all(map(math.isfinite, scores)):
        return f"an answer's score is no finite number: {_shown(answer)}"
    if problem != "regression" and not all(0 <= score <= 1 for score in scores):
        return f"an answer's score is no probability: {_shown(answer)}"
    if prediction.get("prediction") is None:
        return f"an answer holds no prediction: {_shown(answer)}"
    return ""


def _apart(expected: Sequence[float], served: Sequence[float] | None) -> float:
    """The largest relative difference; infinite without an answer of the same form."""
    if served is None or len(served) != len(expected):
        return math.inf
    if not all(map(math.isfinite, (*expected, *served))):
        return math.inf
    return max(
        abs(one - other) / max(abs(one), abs(other), TINY) if abs(one - other) > TINY else 0.0
        for one, other in zip(expected, served, strict=True)
    )


def _shown(answer: Answer) -> str:
    """An answer in a few words; what a server says may hold anything."""
    status = f"HTTP {answer.status}" if answer.status else "no answer"
    return f"{status}: {printable(answer.body)[:SHOWN]}"
