"""CloudFormation for the local cloud: templates, change sets, stacks, events, rollback.

`install(cloud)` plugs the service in; nothing outside this package needs more than that.

From request to resource: `responses` (the API) → `planning` (template text, `sam` transform,
`parameters`, `template` structure and references, capabilities) → `changes` (what would change) →
`engine` (one operation on one stack) → `deploy` (resources in dependency order, and back) →
`handling` (one resource) → `resources` (a small class a type, calling the cloud's own services).
Properties are checked against AWS's published schemas (`schema`, `validate`) and against each
type's documented rules; what AWS has and this has not is refused by name.

It differs from AWS, on purpose, in this: a change set is complete when CreateChangeSet returns;
calls wait a moment for their operation, so that waiters need no second look; a custom resource's
function that fails is tried again at once, and when every attempt failed without an answer, the
resource fails instead of waiting an hour; resources do not carry the `aws:cloudformation:*` tags.
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
