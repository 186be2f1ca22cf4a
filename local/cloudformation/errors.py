"""What this service says when it refuses, in CloudFormation's own error codes."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ResourceError(Exception):
    """A resource could not be created, updated or deleted; the text is the event's reason."""


class UnchangedError(ResourceError):
    """A change was refused before anything was done: there is nothing to take back."""


class TemplateError(ServiceException):
    """The template, its parameters or the request cannot be accepted as they are."""

    code = "ValidationError"


class CapabilitiesError(ServiceException):
    """The template needs an acknowledgement that the caller did not give."""

    code = "InsufficientCapabilitiesException"


class AlreadyExistsError(ServiceException):
    """A stack of this name exists already."""

    code = "AlreadyExistsException"


class ChangeSetNotFoundError(ServiceException):
    """No change set has this name or ARN."""

    code = "ChangeSetNotFound"


class ChangeSetStatusError(ServiceException):
    """The change set cannot be executed or deleted in its present state."""

    code = "InvalidChangeSetStatus"


class UnsupportedError(ServiceException):
    """AWS has this, the local cloud does not: refused by name, never ignored."""

    code = "ValidationError"


def unsupported(what: str) -> UnsupportedError:
    """Return the refusal of something that exists on AWS but not on the local cloud."""
    return UnsupportedError(f"{what} is not supported by the local cloud's CloudFormation")
