"""Errors in SageMaker's own names and words."""

from local.jsonapi.errors import ApiError as SageMakerError
from local.jsonapi.errors import invalid, unsupported

__all__ = ["SageMakerError", "conflict", "in_use", "invalid", "unsupported"]


def in_use(message: str) -> SageMakerError:
    """A name that is taken."""
    return SageMakerError("ResourceInUse", message)


def conflict(message: str) -> SageMakerError:
    """A change that the resource's state forbids."""
    return SageMakerError("ConflictException", message)
