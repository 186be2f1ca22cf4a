"""Application Auto Scaling for the variants of endpoints: target tracking by real figures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve Application Auto Scaling."""
    from local.scaling.service import ScalingService  # noqa: PLC0415 - botocore's model: 0.2 s

    cloud.register("application-autoscaling", ScalingService(cloud))
