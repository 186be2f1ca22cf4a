"""S3: moto's buckets, with AWS's events and with policies whose conditions do not lock us out."""

from typing import TYPE_CHECKING

from local.storage.moto import storage_patches

if TYPE_CHECKING:
    from local.cloud import Cloud
    from local.patches import Patch


def patches(cloud: "Cloud") -> "list[Patch]":
    """Replacements in moto's S3."""
    return storage_patches(cloud)
