"""SageMaker's control plane and its jobs: our own, from botocore's model, with real processes."""

from local.cloud import Cloud


def install(cloud: Cloud) -> None:
    """Serve SageMaker's API on this cloud."""
    from local.sagemaker.service import SageMaker  # noqa: PLC0415 - botocore's model: 0.2 s

    SageMaker(cloud).register()
