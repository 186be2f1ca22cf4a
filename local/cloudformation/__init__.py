"""CloudFormation for the local cloud: templates, change sets, stacks, events, rollback.

`install(cloud)` plugs the service in; nothing outside this package needs more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: Cloud) -> None:
    """Serve CloudFormation on this cloud."""
    from local.cloudformation import sam  # noqa: PLC0415 - moto is slow to import
    from local.cloudformation.responses import CloudFormationResponse  # noqa: PLC0415
    from local.cloudformation.service import Service  # noqa: PLC0415
    from local.services import serve  # noqa: PLC0415

    service = Service(cloud)

    class Bound(CloudFormationResponse):
        """The API of this cloud's service."""

    Bound.service = service
    cloud.register("cloudformation", serve(Bound))
    cloud.background("sam-transform", sam.warm_up)
