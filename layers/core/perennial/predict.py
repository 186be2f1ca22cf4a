"""Answer a request for predictions: validate, ask an endpoint, tell who answered, capture it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import runtime
from perennial.aws.kept_answers import KeptAnswers
from perennial.describe_model import read_settings_of
from perennial.domain.errors import PerennialError, Retryable
from perennial.domain.ledger.move_rows import WHOLE
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import read_model
from perennial.domain.naming import is_model_name
from perennial.domain.prediction_answer import (
    Answered,
    Busy,
    NoEndpoint,
    TooSlow,
    UnknownModel,
    answer_to,
    is_models_fault,
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
from perennial.domain.prediction_route import Route, drawn, instead_of, routes
from perennial.domain.settings import Settings
from perennial.domain.text import printable
from perennial.observability import logger, note_answer

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Seconds from the request's arrival to its answer; the API itself waits 30.
ALL_SECONDS = 29.0
#: Milliseconds that a process believes what it read of a model, also while its traffic moves.
BELIEVED_MS, MOVING_MS = 30_000, 5_000
MOST_MODELS = 256


@dataclass(frozen=True)
class Served:
    """What answers for a model: one endpoint, or two while a release moves its traffic.

    `settings` are those of each settings version that a route names, `takes` what they let in.
    """

    routes: tuple[Route, ...]
    settings: Mapping[int, Settings]
    takes: Mapping[int, Inputs]
    is_moving: bool

    @property
    def live(self) -> Route:
        """The endpoint of the last confirmed release; before the first one, what it brings."""
        return self.routes[-1]

    def inputs(self, route: Route) -> Inputs:
        """What the version on an endpoint takes."""
        return self.takes[route.settings]


@dataclass(frozen=True)
class Request:
    """One request on its way. `started`: `time.monotonic()` at its arrival."""

    id: str
    model: str
    event: Mapping[str, Any]
    started: float

    @property
    def left_s(self) -> float:
        """Seconds until its answer is due."""
        return ALL_SECONDS - (time.monotonic() - self.started)


@dataclass(frozen=True)
class Answer:
    """The document that a client gets; where it comes from, and what was sent there when."""

    document: dict[str, Any]
    route: Route
    sent: bytes
    said: runtime.Invoked
    at_ms: int


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
    """The response that tells what is live of a model and what its requests must hold.

    While traffic moves, `moving` tells which version takes how much of it.
    """
    known = served(ports, model)
    live = known.live
    settings = known.settings[live.settings]
    inputs = [
        {
            "name": column.name,
            "type": column.type,
            "required": column.required,
            "expected": expected_of(column),
        }
        for column in known.inputs(live).features
    ]
    document: dict[str, Any] = {
        "model": model,
        "version": live.version,
        "since_ms": live.since_ms,
        "problem": settings.problem,
        "predicts": settings.label,
        "inputs": inputs,
    }
    for route in known.routes[:-1]:
        document["moving"] = {"version": route.version, "share": route.permille / WHOLE}
    return response(200, document)


def served(ports: Ports, model: str) -> Served:
    """What answers for a model, a little old at most; raises `UnknownModel`, `NoEndpoint`.

    A move changes its shares every few minutes, and takes them back at once when an alarm sounds:
    while there is one, what was read is believed for a shorter time.
    """
    place, now = (ports.deployment.ledger_table, model), ports.clock()
    read_ms, known = _believed.get(place, (0, None))
    if known is not None and now - read_ms < (MOVING_MS if known.is_moving else BELIEVED_MS):
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
    found = routes(model, row.live, row.move)
    if not found:
        raise NoEndpoint(_nothing_live(row))
    settings = {
        version: read_settings_of(ports.ledger, row, version or None)
        for version in {route.settings for route in found}
    }
    takes = {
        version: Inputs(tuple(each.features), frozenset(each.data.missing))
        for version, each in settings.items()
    }
    return Served(found, settings, takes, is_moving=row.move is not None)


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
    route = drawn(known.routes, random.random())  # noqa: S311 - a share of the requests
    question = read_question(body, known.inputs(route), explain=explain)
    facts.update(rows=len(question.rows), version=route.version)
    if key:
        return _once(ports, request, route, question, key)
    answer = _ask(ports, request, route, question)
    _capture(ports, request, answer)
    return response(200, answer.document)


def _capture(ports: Ports, request: Request, answer: Answer) -> None:
    """Record the request, if it is of the sample of an endpoint that records none itself."""
    if random.random() * 100 >= answer.route.captured:  # noqa: S311 - a sample
        return
    from perennial.capture_prediction import capture_prediction  # noqa: PLC0415  # spares a cold start
    from perennial.domain.capture import Exchange  # noqa: PLC0415  # spares a cold start

    exchange = Exchange(
        model=request.model,
        endpoint=answer.route.endpoint,
        variant=answer.said.variant,
        request_id=request.id,
        at_ms=answer.at_ms,
        sent=answer.sent,
        sent_type=runtime.JSON,
        answered=answer.said.body,
        answered_type=answer.said.content_type,
    )
    capture_prediction(ports, exchange, request.left_s)


def _ask(ports: Ports, request: Request, route: Route, question: Question) -> Answer:
    """The endpoint's answer to a good question; the other endpoint's, when that one is gone."""
    try:
        return _ask_one(ports, request, route, question)
    except NoEndpoint:
        # What was believed may be seconds old, and traffic have moved on since then.
        known = served(ports, request.model)
        other = instead_of(known.routes, route)
        if other is None:
            raise
    body, explain = body_of(request.event), question.explain
    again = read_question(body, known.inputs(other), explain=explain)
    return _ask_one(ports, request, other, again)


def _ask_one(ports: Ports, request: Request, route: Route, question: Question) -> Answer:
    left, model = request.left_s, request.model
    if left < runtime.SHORTEST:
        raise TooSlow(f"there was no time left to ask the model {model}")
    sent = question.body()
    with _noted(ports, model, route):
        try:
            said = runtime.invoke(
                model, route.endpoint, sent, request.id, left, target=route.target
            )
        except NoEndpoint:
            forget(ports, model)
            raise
        by = Answered(model, route.version, said.variant, request.id)
        document = answer_to(question, said.body, by)
    return Answer(document, route, sent, said, ports.clock())


@contextlib.contextmanager
def _noted(ports: Ports, model: str, route: Route) -> Iterator[None]:
    """Put into CloudWatch how an answer went that a release's alarms look at by our figures."""
    if not route.guarded:
        yield
        return
    began, is_bad = time.monotonic(), False
    try:
        yield
    except PerennialError as error:
        is_bad = is_models_fault(error)
        raise
    finally:
        spent_ms = (time.monotonic() - began) * 1000
        stack = ports.deployment.stack
        note_answer(
            stack=stack, model=model, release=route.guarded, is_bad=is_bad, spent_ms=spent_ms
        )


def _once(
    ports: Ports, request: Request, route: Route, question: Question, key: str
) -> dict[str, Any]:
    """The answer to all requests of one caller with this key: the first one's."""
    kept = KeptAnswers(ports.deployment.ledger_table, request.model)
    caller = caller_of(request.event)
    # Of the bytes that came, not of what is sent on: that may differ by the version that answers.
    asked = body_of(request.event) + (b" explain" if question.explain else b"")
    mark = hashlib.sha256(asked).hexdigest()
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
        answer = _ask(ports, request, route, question)
        if not kept.keep(caller, key, request.id, json.dumps(answer.document)):
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
    _capture(ports, request, answer)
    return response(200, answer.document)
