"""Guard a release: alarms on its new fleet, none of which may be sounding already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws.alarms import ALARM, alarm_states, put_alarm
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import release_plan
from perennial.domain.errors import Unavailable
from perennial.own_release import own_release

if TYPE_CHECKING:
    from perennial.wiring import Ports


def guard_endpoint(ports: Ports, model: str, release: int, execution: str) -> tuple[str, ...]:
    """Put the alarms and answer their names.

    Raises `NotClaimed`, `Withdrawn`, and `Unavailable` while one of them sounds: SageMaker rolls a
    deployment back at once whose alarm sounds when it begins.
    """
    row = own_release(ports, model, release, execution)
    settings = read_settings_of(ports.ledger, known_model(ports.ledger, model), row.settings)
    subject = release_plan.Subject(
        stack=ports.deployment.stack,
        model=model,
        release=release,
        version=row.version,
        config=row.config,
        place=row.endpoint,
        moves=row.moves,
        is_shared=row.endpoint_kind == "multi-model",
        bucket=ports.deployment.artifact_bucket,
        tags=settings.tags,
    )
    requests = release_plan.alarms(subject, settings.release.guard)
    for request in requests:
        put_alarm(request)
    names = tuple(str(request["AlarmName"]) for request in requests)
    sounding = [name for name, state in alarm_states(names).items() if state == ALARM]
    if sounding:
        raise Unavailable(
            f"{', '.join(sorted(sounding))} sounds before release {release} of {model} begins"
        )
    return names
