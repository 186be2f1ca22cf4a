"""The one boundary where botocore's errors become the errors of the domain.

What a caller may do next decides the class: `Conflict` asks to read again and decide again,
`Retryable` to do the same later, `Terminal` to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from perennial.domain.errors import (
    Conflict,
    Denied,
    NotFound,
    PerennialError,
    Rejected,
    Throttled,
    Unavailable,
)

CONFLICT = frozenset(
    {
        "ConditionalCheckFailedException",
        "ConcurrentUpdateException",
        "ConflictException",
        "ExecutionAlreadyExists",
        "IdempotentParameterMismatchException",
        "PreconditionFailed",
        "TransactionConflictException",
    }
)
NOT_FOUND = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "ExecutionDoesNotExist",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "NotFound",
        "NotFoundException",
        "ObjectNotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    }
)
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "ExecutionLimitExceeded",
        "KMSThrottlingException",
        "KmsThrottlingException",
        "LimitExceededException",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ResourceLimitExceeded",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
UNAVAILABLE = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
DENIED = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
BY_CODE: dict[str, type[PerennialError]] = {
    **dict.fromkeys(CONFLICT, Conflict),
    **dict.fromkeys(NOT_FOUND, NotFound),
    **dict.fromkeys(THROTTLED, Throttled),
    **dict.fromkeys(UNAVAILABLE, Unavailable),
    **dict.fromkeys(DENIED, Denied),
}
# SageMaker answers a missing resource with a ValidationException; only its words tell.
MISSING_WORDS = ("could not find", "does not exist", "not found", "cannot find")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise botocore's errors as errors of the domain; `doing` begins the message.

    >>> with translated("starting run 12 of census"):
    ...     client.start_execution(...)
    """
    try:
        yield
    except ClientError as error:
        raise translate(error, doing) from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise Unavailable(f"{doing}: AWS did not answer ({error})") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise Denied(f"{doing}: no AWS credentials ({error})") from error
    except BotoCoreError as error:
        raise Rejected(f"{doing}: {error}") from error


def translate(error: ClientError, doing: str) -> PerennialError:
    """The domain's error for one of botocore's, by its code, else by its HTTP status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    words = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    message = f"{doing}: {code}: {words}"
    if code == "TransactionCanceledException":
        return _cancelled(error, message)
    if code.startswith("ValidationE") and any(w in words.lower() for w in MISSING_WORDS):
        return NotFound(message)
    kind = BY_CODE.get(code)
    if kind is None:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        kind = Unavailable if status >= 500 else Throttled if status == 429 else Rejected
    return kind(message)


def _cancelled(error: ClientError, message: str) -> PerennialError:
    """A cancelled transaction: the reasons tell a lost race from a throttle from a mistake."""
    response: dict[str, Any] = dict(error.response)
    codes = {str(reason.get("Code")) for reason in response.get("CancellationReasons", [])}
    if codes & {"ValidationError", "ItemCollectionSizeLimitExceeded"}:
        return Rejected(message)
    if codes & {"ConditionalCheckFailed", "TransactionConflict"}:
        return Conflict(message)
    if codes & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
        return Throttled(message)
    # No reasons came along: reading again is right whatever the cause was.
    return Conflict(message)
