"""Every replacement in moto that this package makes, in one list."""

from local import events, lambdas
from local.cloud import Cloud
from local.patches import Patch


def moto_patches(cloud: Cloud) -> list[Patch]:
    """The patches, bound to this cloud."""
    return [*lambdas.patches(cloud), *events.patches(cloud)]
