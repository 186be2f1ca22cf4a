"""Watch production while a release moves it: its stage, the new fleet's share, the alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.alarms import SeenAlarm, see_alarms
from perennial.aws.endpoints import Deployment, describe_deployment
from perennial.domain import naming

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class DeploymentView:
    """One look: the deployment that is under way, None without one, and the guarding alarms."""

    deployment: Deployment | None
    alarms: tuple[SeenAlarm, ...]


def watch_deployment(ports: Ports, model: str, release: int) -> DeploymentView:
    """Look once at what SageMaker and CloudWatch say of a release's move into production."""
    stack = ports.deployment.stack
    names = [naming.guard_alarm(stack, model, release, kind) for kind in naming.GUARD_KINDS]
    return DeploymentView(
        describe_deployment(naming.live_endpoint(stack, model)), tuple(see_alarms(names))
    )
