"""Answer a request for predictions: validate, ask the live endpoint, tell who answered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import runtime
from perennial.aws.kept_answers import KeptAnswers
from perennial.describe_model import read_settings_of
from perennial.domain.errors import PerennialError, Retryable
from perennial.domain.ledger.rows import Live, ModelRow
from perennial.domain.ledger.store import read_model
from perennial.domain.naming import is_model_name
from perennial.domain.prediction_answer import (
    Answered,
    Busy,
    NoEndpoint,
    TooSlow,
    UnknownModel,
    answer_to,
    refusal_of,
    response,
)
from perennial.domain.prediction_request import (
    Inputs,
    Question,
    RequestRefused,
    body_of,
    caller_of,
    expected_of,
    explain_of,
    idempotency_key_of,
    read_question,
)
from perennial.domain.text import printable
from perennial.observability import logger

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Seconds from the request's arrival to its answer; the API itself waits 30.
ALL_SECONDS = 29.0
#: Milliseconds that a process believes what it read of a model.
BELIEVED_MS = 30_000
MOST_MODELS = 256


@dataclass(frozen=True)
class Served:
    """What is live of a model, and what it takes."""

    live: Live
    problem: str
    label: str
    inputs: Inputs


@dataclass(frozen=True)
class Request:
    """One request on its way. `started`: `time.monotonic()` at its arrival."""

    id: str
    model: str
    event: Mapping[str, Any]
    started: float


_believed: dict[tuple[str, str], tuple[int, Served]] = {}


def respond(ports: Ports, event: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The response to an API's event (payload format 2.0); what only we can repair raises.

    The request's content is never logged.
    """
    model = str((event.get("pathParameters") or {}).get("model", ""))
    request = Request(request_id, model, event, time.monotonic())
    facts: dict[str, Any] = {"model": printable(model[:40]), "request": request_id}
    try:
        if event["requestContext"]["http"]["method"] == "GET":
            found = describe(ports, model)
        else:
            found = _predict(ports, request, facts)
    except PerennialError as error:
        refused = refusal_of(error, request_id)
        if refused is None:
            raise
        found, facts["refused"] = refused, type(error).__name__
    spent = round((time.monotonic() - request.started) * 1000, 1)
    logger.info("request", extra={**facts, "status": found["statusCode"], "ms": spent})
    return found


def describe(ports: Ports, model: str) -> dict[str, Any]:
    """The response that tells what is live of a model and what its requests must hold."""
    known = served(ports, model)
    inputs = [
        {
            "name": column.name,
            "type": column.type,
            "required": column.required,
            "expected": expected_of(column),
        }
        for column in known.inputs.features
    ]
    document = {
        "model": model,
        "version": known.live.version,
        "since_ms": known.live.since_ms,
        "problem": known.problem,
        "predicts": known.label,
        "inputs": inputs,
    }
    return response(200, document)


def served(ports: Ports, model: str) -> Served:
    """What is live of a model, at most `BELIEVED_MS` old; raises `UnknownModel`, `NoEndpoint`."""
    place, now = (ports.deployment.ledger_table, model), ports.clock()
    read_ms, known = _believed.get(place, (0, None))
    if known is not None and now - read_ms < BELIEVED_MS:
        return known
    found = _read(ports, model)
    if len(_believed) >= MOST_MODELS:
        _believed.clear()
    _believed[place] = (now, found)
    return found


def forget(ports: Ports, model: str) -> None:
    """Read the model anew at its next request: what was believed of it has proved wrong."""
    _believed.pop((ports.deployment.ledger_table, model), None)


def _read(ports: Ports, model: str) -> Served:
    row = read_model(ports.ledger, model) if is_model_name(model) else None
    if row is None:
        raise UnknownModel(f"there is no model {printable(model[:40])!r}")
    if row.live is None:
        raise NoEndpoint(_nothing_live(row))
    settings = read_settings_of(ports.ledger, row, row.live.settings or None)
    inputs = Inputs(tuple(settings.features), frozenset(settings.data.missing))
    return Served(row.live, settings.problem, settings.label, inputs)


def _nothing_live(row: ModelRow) -> str:
    if row.champion is None:
        return f"no version of {row.model} is released yet; perennial status {row.model}"
    return (
        f"{row.model} {row.champion.version} is the champion and no endpoint serves it; give "
        f"release.endpoint in model.yaml and push, then perennial release {row.model}"
    )


def _predict(ports: Ports, request: Request, facts: dict[str, Any]) -> dict[str, Any]:
    known = served(ports, request.model)
    explain, body = explain_of(request.event), body_of(request.event)
    key = idempotency_key_of(request.event)
    question = read_question(body, known.inputs, explain=explain)
    facts.update(rows=len(question.rows), version=known.live.version)
    if not key:
        return response(200, _ask(ports, request, known, question))
    return _once(ports, request, known, question, key)


def _ask(ports: Ports, request: Request, known: Served, question: Question) -> dict[str, Any]:
    """The endpoint's answer to a good question."""
    left = ALL_SECONDS - (time.monotonic() - request.started)
    if left < runtime.SHORTEST:
        raise TooSlow(f"there was no time left to ask the model {request.model}")
    try:
        invoked = runtime.invoke(
            request.model, known.live.endpoint, question.body(), request.id, left
        )
    except NoEndpoint:
        forget(ports, request.model)
        raise
    by = Answered(request.model, known.live.version, invoked.variant, request.id)
    return answer_to(question, invoked.body, by)


def _once(
    ports: Ports, request: Request, known: Served, question: Question, key: str
) -> dict[str, Any]:
    """The answer to all requests of one caller with this key: the first one's."""
    kept = KeptAnswers(ports.deployment.ledger_table, request.model)
    caller = caller_of(request.event)
    mark = hashlib.sha256(question.body() + (b" single" if question.single else b"")).hexdigest()
    found = kept.claim(caller, key, mark, request.id, ports.clock())
    if found is not None:
        if found.fingerprint != mark:
            raise RequestRefused(
                422, "the Idempotency-Key was used with another request; take a new one"
            )
        if found.answer is None:
            raise Busy("a request with this Idempotency-Key is still being answered")
        replayed = {"idempotency-replayed": "true"}
        return response(200, json.loads(found.answer), replayed)
    try:
        answer = _ask(ports, request, known, question)
        if not kept.keep(caller, key, request.id, json.dumps(answer)):
            raise RequestRefused(
                413,
                f"the answer to {len(question.rows):,} rows is too large to be kept for an "
                "Idempotency-Key; send fewer rows, or no key",
            )
    except PerennialError:
        # A claim that cannot be given back now runs out by itself.
        with contextlib.suppress(Retryable):
            kept.drop(caller, key, request.id)
        raise
    return response(200, answer)
