"""Watch production while a release moves it: its stage, the new fleet's share, the alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.alarms import SeenAlarm, see_alarms
from perennial.aws.endpoints import Deployment, describe_deployment
from perennial.describe_endpoint import live_place
from perennial.describe_model import known_model
from perennial.domain import naming

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class DeploymentView:
    """One look: the deployment that is under way, None without one, and the guarding alarms."""

    deployment: Deployment | None
    alarms: tuple[SeenAlarm, ...]


def watch_deployment(ports: Ports, model: str, release: int) -> DeploymentView:
    """Look once at what a release's way into production has come to, and at its alarms.

    SageMaker tells of a deployment; where traffic moves to a second endpoint, the ledger does.
    """
    stack = ports.deployment.stack
    names = [naming.guard_alarm(stack, model, release, kind) for kind in naming.GUARD_KINDS]
    row = known_model(ports.ledger, model)
    move = row.move
    if move is not None and move.release == release:
        stage = "TurnedBack" if move.turned_back else "Baking" if move.step else "Creating"
        deployment = Deployment(move.config, move.share, stage, move.words)
        return DeploymentView(deployment, tuple(see_alarms(names)))
    return DeploymentView(describe_deployment(live_place(ports, row)), tuple(see_alarms(names)))
