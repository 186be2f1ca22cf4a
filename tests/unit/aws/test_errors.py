"""Every error of botocore becomes one of the domain's, by what a caller may do next."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from perennial.aws.errors import BY_CODE, translate, translated
from perennial.domain.errors import (
    Conflict,
    Denied,
    NotFound,
    PerennialError,
    Rejected,
    Retryable,
    Throttled,
    Unavailable,
)


def client_error(code: str, words: str = "words", status: int = 400, **extra: Any) -> ClientError:
    """An error as botocore raises it."""
    response: Any = {
        "Error": {"Code": code, "Message": words},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **extra,
    }
    return ClientError(response, "SomeCall")


@pytest.mark.parametrize(("code", "kind"), [(code, BY_CODE[code]) for code in sorted(BY_CODE)])
def test_each_known_code_has_its_class_and_keeps_its_words(
    code: str, kind: type[PerennialError]
) -> None:
    """The code decides the class; the message keeps what was done, the code and the words."""
    error = translate(client_error(code), "doing it")
    assert type(error) is kind
    assert str(error) == f"doing it: {code}: words"


@pytest.mark.parametrize(
    ("status", "kind"), [(500, Unavailable), (503, Unavailable), (429, Throttled), (400, Rejected)]
)
def test_an_unknown_code_is_judged_by_its_status(status: int, kind: type[PerennialError]) -> None:
    """A server's fault may be repeated; a caller's may not."""
    assert type(translate(client_error("NeverSeen", status=status), "x")) is kind


def test_a_missing_sagemaker_resource_is_not_found() -> None:
    """SageMaker tells a missing resource only by the words of a ValidationException."""
    missing = client_error("ValidationException", "Could not find model package")
    assert isinstance(translate(missing, "x"), NotFound)
    wrong = client_error("ValidationException", "1 validation error detected")
    assert isinstance(translate(wrong, "x"), Rejected)


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (["None", "ConditionalCheckFailed"], Conflict),
        (["TransactionConflict"], Conflict),
        (["ThrottlingError", "None"], Throttled),
        (["ProvisionedThroughputExceeded"], Throttled),
        (["ValidationError", "ConditionalCheckFailed"], Rejected),
        ([], Conflict),
    ],
)
def test_a_cancelled_transaction_is_told_by_its_reasons(
    codes: list[str], kind: type[PerennialError]
) -> None:
    """A lost race, a throttle and a mistake need three different answers."""
    error = client_error(
        "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes]
    )
    assert type(translate(error, "x")) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), Unavailable),
        (ConnectTimeoutError(endpoint_url="http://x"), Unavailable),
        (ReadTimeoutError(endpoint_url="http://x"), Unavailable),
        (NoCredentialsError(), Denied),
        (ParamValidationError(report="x"), Rejected),
        (client_error("Throttling"), Throttled),
    ],
)
def test_errors_that_are_no_answers_are_translated_too(
    error: Exception, kind: type[PerennialError]
) -> None:
    """No exception of botocore leaves the adapters."""
    with pytest.raises(kind), translated("doing it"):
        raise error


def test_errors_of_ours_pass_unchanged() -> None:
    """Nested translation does not wrap twice."""
    with pytest.raises(NotFound, match=r"^gone$"), translated("outer"):
        raise NotFound("gone")


def test_what_may_be_repeated_is_retryable() -> None:
    """Callers repeat on one base class."""
    assert all(issubclass(kind, Retryable) for kind in (Conflict, Throttled, Unavailable))
    assert not any(issubclass(kind, Retryable) for kind in (Denied, NotFound, Rejected))
