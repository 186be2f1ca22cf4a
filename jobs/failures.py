"""What a job can fail of, so that the text says whose turn it is. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path

LONGEST = 1000  # SageMaker keeps 1,024 characters of a failure


class JobError(Exception):
    """A job that ends failed; the text is for people and names what to do next."""


class DataError(JobError):
    """The data cannot be worked with, though each object passed its checks."""


class ModelError(JobError):
    """The project's own code raised, hung, ended the process or broke its contract."""


class SettingsError(JobError):
    """The run's settings, manifest or inputs are not what the step needs."""


class RequirementsError(JobError):
    """The packages that the project names cannot be installed."""


class ServiceError(JobError):
    """AWS did not do what the job asked for; the text holds its error code."""


def failure_text(kind: str, words: str) -> str:
    """`<kind>: <words>`, within what SageMaker keeps."""
    text = f"{kind}: {words}"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def write_failure(path: Path, kind: str, words: str) -> None:
    """Leave a failure for the supervising process."""
    path.write_text(json.dumps({"kind": kind, "words": words}))


def read_failure(path: Path) -> str | None:
    """The failure that the supervised process left, or None."""
    try:
        failure = json.loads(path.read_text())
        return failure_text(failure["kind"], failure["words"])
    except (OSError, ValueError, KeyError):
        return None
