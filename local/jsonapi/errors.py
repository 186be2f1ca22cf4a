"""Errors in AWS's own names."""


class ApiError(Exception):
    """An error that an API reports: code as in botocore's model, and its text."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> ApiError:
    """A request that the service refuses as it stands."""
    return ApiError("ValidationException", message)


def unsupported(what: str) -> ApiError:
    """Something that AWS has and the local cloud has not; nothing is ignored in silence."""
    return ApiError("ValidationException", f"the local cloud does not support {what} yet")
