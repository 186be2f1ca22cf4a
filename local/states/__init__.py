"""Step Functions: an interpreter of the Amazon States Language of our own, and its API."""

from local.cloud import Cloud


def install(cloud: Cloud) -> None:
    """Serve Step Functions on this cloud."""
    from local.states.service import StepFunctions  # noqa: PLC0415 - botocore's models take time

    StepFunctions(cloud).register()
