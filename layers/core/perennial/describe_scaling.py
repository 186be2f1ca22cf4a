"""Describe how a model's endpoint scales: its bounds, and what was last done, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import scaling
from perennial.domain.errors import Denied
from perennial.domain.ledger.rows import ModelRow, release_key
from perennial.domain.ledger.store import read_release
from perennial.domain.scaling_plan import POLICY, SeenScaling, why
from perennial.keep_scaling import is_scaling_due, wanted_scaling

if TYPE_CHECKING:
    from perennial.wiring import Ports

NEVER = "it has not changed the number of instances yet"


@dataclass(frozen=True)
class ScalingDescription:
    """The bounds in force, the requests a minute that an instance shall get (None: not ours).

    `last` is the last change in words, made at `last_ms`. `words` say what is not as the live
    release asks for; empty: all is well.
    """

    min: int
    max: int
    invocations_per_instance: float | None
    last: str
    last_ms: int | None
    words: str = ""


def describe_scaling(ports: Ports, row: ModelRow, endpoint: str) -> ScalingDescription | None:
    """How the endpoint scales now; None when it does not and should not.

    Who may not look sees the rest of the endpoint all the same: then `words` say so.
    """
    try:
        seen = scaling.describe_scaling(endpoint)
        activity = scaling.last_activity(endpoint) if seen is not None else None
    except Denied as error:
        return ScalingDescription(0, 0, None, "", None, f"its scaling is not known: {error}")
    words = _trouble(ports, row, seen)
    if seen is None:
        return ScalingDescription(0, 0, None, "", None, words) if words else None
    return ScalingDescription(
        min=seen.least,
        max=seen.most,
        invocations_per_instance=_target(seen),
        last=NEVER if activity is None else _told(activity),
        last_ms=activity.started_ms if activity is not None else None,
        words=words,
    )


def _target(seen: SeenScaling) -> float | None:
    for policy in seen.policies:
        if policy.name == POLICY:
            return float(policy.configuration["TargetValue"])
    return None


def _told(activity: scaling.Activity) -> str:
    """`set desired instance count to 4 (Successful): each instance got more requests …`."""
    what = activity.description.rstrip(".").replace("Setting", "set", 1)
    words = f"{what} ({activity.status}): {why(activity.cause)}"
    return f"{words}; {activity.message}" if activity.status == "Failed" else words


def _trouble(ports: Ports, row: ModelRow, seen: SeenScaling | None) -> str:
    """What of the live release's scaling is not in force; empty: nothing."""
    if row.scaling_words:
        return f"not as release {row.live.release if row.live else 0} asks: {row.scaling_words}"
    if row.live is None or is_scaling_due(row) or row.open_release is not None:
        return ""
    release = read_release(ports.ledger, release_key(row.model, row.live.release))
    if release is None or release.kind == "adopt":
        return ""
    wanted = wanted_scaling(ports, row, release)
    if wanted is not None and (
        seen is None
        or (seen.least, seen.most, _target(seen))
        != (
            wanted.min,
            wanted.max,
            wanted.invocations_per_instance,
        )
    ):
        return (
            f"somebody else changed it: release {release.number} asks for {wanted.min} to "
            f"{wanted.max} instances with {wanted.invocations_per_instance:g} requests a minute "
            f"each; `perennial release {row.model}` sets it again"
        )
    return ""
