"""The section `release.endpoint.scaling`: how the endpoint's instances follow its load."""

from __future__ import annotations

from typing import Any

from perennial.domain.settings import Scaling
from perennial.domain.settings_reader import Reader, duration

MOST_INSTANCES = 100
LONGEST_COOLDOWN = 3600
MOST_INVOCATIONS = 1_000_000.0
BURSTABLE = "ml.t2."  # SageMaker does not scale them


def read_scaling(endpoint: Reader, count: int, instance: str) -> Scaling | None:
    """The section of an endpoint that begins with `count` instances; None without one."""
    value = endpoint.raw("scaling")
    if value is None or value is False or value == "off":
        return None
    before = len(endpoint.mistakes)
    scaling = endpoint.section("scaling")
    for key in ("max", "invocations_per_instance"):
        if not scaling.has(key):
            scaling.mistake(key, "a number: it has no default")
    least = scaling.integer("min", count, least=1, most=MOST_INSTANCES)
    read = Scaling(
        min=least,
        max=scaling.integer("max", max(least, count), least=least, most=MOST_INSTANCES),
        invocations_per_instance=scaling.number(
            "invocations_per_instance",
            1.0,
            accept=lambda number: 0 < number <= MOST_INVOCATIONS,
            expected="how many requests a minute each instance shall get, above 0",
        ),
        in_cooldown=_cooldown(scaling, "in_cooldown"),
        out_cooldown=_cooldown(scaling, "out_cooldown"),
    )
    scaling.done()
    if len(endpoint.mistakes) == before:
        _check(endpoint, read, count, instance)
    return read


def write_scaling(scaling: Scaling) -> dict[str, Any]:
    """The section as `read_scaling` reads it back."""
    return {
        "min": scaling.min,
        "max": scaling.max,
        "invocations_per_instance": scaling.invocations_per_instance,
        "in_cooldown": duration(scaling.in_cooldown),
        "out_cooldown": duration(scaling.out_cooldown),
    }


def _cooldown(scaling: Reader, key: str) -> int:
    return scaling.seconds(key, 300, least=0, most=LONGEST_COOLDOWN)


def _check(endpoint: Reader, read: Scaling, count: int, instance: str) -> None:
    """What holds between the keys."""
    if not read.min <= count <= read.max:
        endpoint.mistake_at(
            endpoint.at("count"),
            str(count),
            f"from {read.min} to {read.max}, the bounds of scaling",
        )
    if instance.startswith(BURSTABLE):
        endpoint.mistake_at(
            endpoint.at("instance"),
            instance,
            f"another type with scaling: SageMaker does not scale {BURSTABLE}*",
        )
