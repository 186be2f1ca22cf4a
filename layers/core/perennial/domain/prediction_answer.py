"""What a client gets: predictions with who made them, or an error in words with its status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain.errors import NotFound, PerennialError, Throttled, Unavailable
from perennial.domain.prediction_request import Question, RequestRefused

#: Seconds that a client should wait before it asks again.
RETRY_AFTER = 1
#: What a model's server answers to a request that it does not take.
CLIENTS_FAULT = (400, 406, 413, 415)


class ModelFailed(PerennialError):
    """The model's server answered `status` (0: not at all) instead of predictions."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class TooSlow(Unavailable):
    """The model did not answer while there was time."""


class UnknownModel(NotFound):
    """A model that was never pushed, or that was removed."""


class NoEndpoint(Unavailable):
    """A model that has no endpoint in production; the text says what to do."""


class Busy(Unavailable):
    """A request with the same Idempotency-Key is still being answered."""


@dataclass(frozen=True)
class Answered:
    """Who answered which request; `version` is that of the confirmed release."""

    model: str
    version: int
    variant: str
    request_id: str


#: The status of each error, and whether asking again later may help.
_STATUSES: tuple[tuple[type[PerennialError], int, bool], ...] = (
    (UnknownModel, 404, False),
    (Busy, 409, True),
    (Throttled, 429, True),
    (TooSlow, 504, False),
    (NoEndpoint, 503, False),
    (Unavailable, 503, True),
)


def answer_to(question: Question, body: bytes, answered: Answered) -> dict[str, Any]:
    """The answer's document, from what the model's server said; raises `ModelFailed`.

    A server that tells its version is believed: during a release both versions answer.
    """
    try:
        said = json.loads(body)
        predictions = said["predictions"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ModelFailed(200, "the endpoint's answer holds no predictions") from None
    wanted = len(question.rows)
    if not isinstance(predictions, list) or len(predictions) != wanted:
        found = len(predictions) if isinstance(predictions, list) else "no list of"
        raise ModelFailed(200, f"the endpoint answered {found} predictions to {wanted} rows")
    told = said.get("version")
    document: dict[str, Any] = {}
    if question.single and isinstance(predictions[0], dict):
        document.update(predictions[0])
    else:
        document["predictions"] = predictions
    document |= {
        "model": answered.model,
        "version": told if isinstance(told, int) else answered.version,
        "variant": answered.variant,
        "request_id": answered.request_id,
    }
    if question.ignored:
        document["ignored"] = list(question.ignored)
    return document


def is_models_fault(error: PerennialError) -> bool:
    """Whether an error speaks against the version that was asked, and not against the request."""
    if isinstance(error, ModelFailed):
        return error.status not in CLIENTS_FAULT
    return isinstance(error, TooSlow)


def refusal_of(error: PerennialError, request_id: str) -> dict[str, Any] | None:
    """The response for an error; None for one that is ours to repair, not the client's."""
    status, facts, headers = _status_of(error)
    if not status:
        return None
    words = str(error)
    return response(status, {"message": words, **facts, "request_id": request_id}, headers)


def _status_of(error: PerennialError) -> tuple[int, Mapping[str, Any], dict[str, str]]:
    if isinstance(error, RequestRefused):
        return error.status, error.facts, {}
    if isinstance(error, ModelFailed):
        return (400 if error.status in CLIENTS_FAULT else 424), {}, {}
    for kind, status, later in _STATUSES:
        if isinstance(error, kind):
            return status, {}, {"retry-after": str(RETRY_AFTER)} if later else {}
    return 0, {}, {}


def model_words(model: str, status: int, text: str) -> str:
    """Why a model's server did not predict, from its own words if it has any."""
    try:
        said = json.loads(text)
        words = str(said["error"]) if isinstance(said, dict) else text
    except (ValueError, KeyError, RecursionError):
        words = text
    words = " ".join(words.split())[:1000]
    if status in CLIENTS_FAULT:
        return f"the model {model} does not take the request: {words}"
    told = f": {words}" if words else ""
    return f"the model {model} failed (its server answered {status or 'nothing'}){told}"


def response(
    status: int, document: Any, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A function's response to an API (payload format 2.0)."""
    body = json.dumps(document, separators=(",", ":"))
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": body,
    }
