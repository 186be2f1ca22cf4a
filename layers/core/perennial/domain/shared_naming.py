"""Names on the endpoint that several models share; see `perennial.domain.naming` for all others.

A model's archive there is told by the name of the configuration that its release would have had.
"""

from __future__ import annotations

from perennial.domain.naming import token


def endpoint(stack: str) -> str:
    """The endpoint that serves all models of the stack whose kind is multi-model."""
    return f"{token(stack)}-shared"


def config_name(stack: str, mark: str) -> str:
    """A Model and EndpointConfig of the shared endpoint; ``mark`` tells what they ask for."""
    return f"{endpoint(stack)}-{mark}"


def prefix(model: str = "") -> str:
    """Where the archives of the shared endpoint lie, of one model or of all."""
    return f"shared/{model}/" if model else "shared/"


def target(model: str, config: str) -> str:
    """The TargetModel of what a release put there: its archive's key below the prefix."""
    return f"{model}/{config}.tar.gz"


def archive(model: str, config: str) -> str:
    """The key of that archive."""
    return f"{prefix()}{target(model, config)}"


def server_key(sha256: str) -> str:
    """Where the code lies that the endpoint's own server starts with; not below the prefix."""
    return f"server/{sha256}.tar.gz"
