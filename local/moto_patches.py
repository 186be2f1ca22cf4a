"""Every replacement in moto that this package makes, in one list."""

from local import events, lambdas, sqs, storage
from local.cloud import Cloud
from local.patches import Patch


def moto_patches(cloud: Cloud) -> list[Patch]:
    """The patches, bound to this cloud."""
    parts = (lambdas, events, sqs, storage)
    return [patch for part in parts for patch in part.patches(cloud)]
