"""SageMaker's runtime: one call of an endpoint, under a time limit of the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from perennial.aws.clients import hurried_client
from perennial.aws.errors import translated
from perennial.domain.errors import Unavailable
from perennial.domain.prediction_answer import ModelFailed, NoEndpoint, TooSlow, model_words

SHORTEST, LONGEST = 1, 60  # seconds; SageMaker itself gives a model 60
JSON = "application/json"
NOT_FOUND = "not found"
NOT_READY = "ModelNotReadyException"
#: What SageMaker says of a TargetModel that is not below its endpoint's prefix.
NO_ARCHIVE = "failed to download model data"


@dataclass(frozen=True)
class Invoked:
    """What the endpoint answered, and which of its variants did."""

    body: bytes
    variant: str
    content_type: str = JSON


def invoke(  # noqa: PLR0913  # each is a part of the request
    model: str,
    endpoint: str,
    body: bytes,
    inference_id: str,
    seconds: float,
    *,
    content_type: str = JSON,
    variant: str = "",
    target: str = "",
) -> Invoked:
    """Ask a model's endpoint, for at most `seconds` (whole ones count).

    `variant`: the one that must answer, "" for whichever has the turn. `target`: the archive of an
    endpoint that several models share. `inference_id` stands in
    the captured request, where ground truth finds it. Raises `ModelFailed`, `NoEndpoint`,
    `TooSlow`, `Throttled`, `Unavailable`, `Denied`, `Rejected`.
    """
    client = hurried_client("sagemaker-runtime", min(LONGEST, max(SHORTEST, int(seconds))))
    request = {
        "EndpointName": endpoint,
        "Body": body,
        "ContentType": content_type,
        "Accept": JSON,
        "InferenceId": inference_id,
        **({"TargetVariant": variant} if variant else {}),
        **({"TargetModel": target} if target else {}),
    }
    with translated(f"asking the endpoint {endpoint} of {model}"):
        try:
            try:
                answer = client.invoke_endpoint(**request)
            except ConnectionClosedError:
                # A connection that was kept from an earlier request may be gone by now.
                answer = client.invoke_endpoint(**request)
            by = str(answer.get("InvokedProductionVariant", ""))
            return Invoked(answer["Body"].read(), by, str(answer.get("ContentType") or JSON))
        except ReadTimeoutError as error:
            raise TooSlow(f"the model {model} did not answer within {seconds:.0f} s") from error
        except ClientError as error:
            raise _failure(model, endpoint, error) from error


def _failure(model: str, endpoint: str, error: ClientError) -> Exception:
    """The error of the domain where the runtime's own means something; else the error itself."""
    response: dict[str, Any] = dict(error.response)
    code = str(response.get("Error", {}).get("Code", ""))
    words = str(response.get("Error", {}).get("Message", ""))
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode") or 0)
        return ModelFailed(
            status, model_words(model, status, str(response.get("OriginalMessage", "")))
        )
    if code.startswith("Validation") and NOT_FOUND in words.lower():
        return NoEndpoint(
            f"the endpoint {endpoint} of {model} is not there; perennial endpoint {model} says "
            "what became of it"
        )
    if code.startswith("Validation") and NO_ARCHIVE in words.lower():
        return NoEndpoint(
            f"the version of {model} that was asked is not on {endpoint} any more; perennial "
            f"endpoint {model} says what became of it"
        )
    if code == NOT_READY:
        return Unavailable(f"the endpoint {endpoint} of {model} is still loading the model")
    return error
