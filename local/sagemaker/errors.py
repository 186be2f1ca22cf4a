"""Errors in SageMaker's own names and words."""


class SageMakerError(Exception):
    """An error that the API reports: code as in botocore's model, and its text."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> SageMakerError:
    """A request that SageMaker refuses as it stands."""
    return SageMakerError("ValidationException", message)


def unsupported(what: str) -> SageMakerError:
    """Something that AWS has and the local cloud has not; nothing is ignored in silence."""
    return SageMakerError("ValidationException", f"the local cloud does not support {what} yet")


def in_use(message: str) -> SageMakerError:
    """A name that is taken."""
    return SageMakerError("ResourceInUse", message)


def conflict(message: str) -> SageMakerError:
    """A change that the resource's state forbids."""
    return SageMakerError("ConflictException", message)
