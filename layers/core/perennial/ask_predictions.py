"""Ask a model's live version, by the API or straight at its endpoint, for any number of rows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from perennial.aws import runtime
from perennial.aws.predictions_api import ApiAnswer, PredictionsApi
from perennial.domain.errors import Denied, NotAllowed, NotFound, PerennialError, Unavailable
from perennial.domain.prediction_answer import Answered, NoEndpoint, answer_to
from perennial.domain.prediction_request import RequestRefused, read_question
from perennial.predict import ALL_SECONDS, served

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Rows a request: well below 4 MB for any table, and few enough to explain in time.
ROWS, EXPLAINED_ROWS = 500, 50


class PredictionFailed(PerennialError):
    """The model, or what stands before it, gave no prediction; the text says why."""


@dataclass(frozen=True)
class Predicted:
    """One row's prediction, as the API tells it, and who made it in which request."""

    row: int
    document: Mapping[str, Any]
    version: int
    variant: str
    request_id: str


class Way(Protocol):
    """How a request reaches the model."""

    def __call__(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool
    ) -> Mapping[str, Any]:
        """The answer's document to a list of rows."""


@dataclass(frozen=True)
class ByApi:
    """Through the API: whoever may call it sees what any client sees."""

    api: PredictionsApi

    def __call__(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool
    ) -> Mapping[str, Any]:
        """The answer's document; raises the error that the status stands for."""
        answer = self.api.predict(model, {"instances": list(rows)}, explain=explain)
        if answer.status == 200:
            return answer.document
        raise error_of(answer)


@dataclass(frozen=True)
class Direct:
    """Straight at the live endpoint, with the rights of whoever asks."""

    ports: Ports

    def __call__(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool
    ) -> Mapping[str, Any]:
        """The answer's document, in the API's form."""
        known = served(self.ports, model)
        body = json.dumps({"instances": list(rows)}).encode()
        question = read_question(body, known.inputs(known.live), explain=explain)
        request_id, sent = str(uuid.uuid4()), question.body()
        live = known.live
        invoked = runtime.invoke(
            model, live.endpoint, sent, request_id, ALL_SECONDS, target=live.target
        )
        by = Answered(model, known.live.version, invoked.variant, request_id)
        return answer_to(question, invoked.body, by)


def ask_predictions(
    way: Way, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool
) -> Iterator[Predicted]:
    """Each row's prediction in order, asked for in requests of some hundred rows.

    Raises what the way raises; a refused row (`NotAllowed`) is named by its place in its request,
    and where that begins.
    """
    size = EXPLAINED_ROWS if explain else ROWS
    for start in range(0, len(rows), size):
        try:
            document = way(model, rows[start : start + size], explain=explain)
        except (NotAllowed, RequestRefused) as error:
            where = f" (counted from row {start + 1})" if start else ""
            raise NotAllowed(f"{error}{where}") from error
        for place, each in enumerate(document["predictions"], start + 1):
            found = each if isinstance(each, Mapping) else {"prediction": each}
            yield Predicted(
                place, found, document["version"], document["variant"], document["request_id"]
            )


def error_of(answer: ApiAnswer) -> PerennialError:
    """The error that an answer of the API stands for, with its words."""
    words = str(answer.document.get("message", "")) or f"the API answered {answer.status}"
    if answer.status in (401, 403):
        return Denied(
            f"the API does not let the caller in ({answer.status}: {words}); it wants "
            "execute-api:Invoke, or a token where it was deployed with JwtIssuer"
        )
    if answer.status == 404 and answer.document.get("request_id"):
        return NotFound(words)
    if answer.status == 503 and not answer.later and answer.document.get("request_id"):
        return NoEndpoint(words)
    if 400 <= answer.status < 424:
        return NotAllowed(words)
    if answer.status in (429, 503):
        return Unavailable(words)
    return PredictionFailed(words)
