"""EventBridge: rules stored by moto, delivered by us."""

from typing import TYPE_CHECKING, Any

from local.events.bus import Bus
from local.events.responses import events_response
from local.patches import Patch
from local.services import serve

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve EventBridge."""
    cloud.bus = Bus(cloud)
    cloud.register("events", serve(events_response(cloud)))


def patches(cloud: "Cloud") -> "list[Patch]":
    """What moto itself sends to rules goes through our bus."""

    def send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
        cloud.bus.offer(self, dict(original_event))

    return [
        Patch(
            "moto.events.models:Rule.send_to_targets",
            "472e002e2dab8a599554a7d6c7ea0910625a5b39c7699b9ca4404255efcfc172",
            send_to_targets,
        )
    ]
