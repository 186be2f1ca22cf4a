"""Which fleet answers a request: a snapshot that is replaced as a whole, never changed."""

import bisect
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.sagemaker.endpoints.fleet import Fleet, VariantFleet


@dataclass(frozen=True)
class Share:
    """A variant's weight, and how much of that variant's traffic (0 to 1) this fleet answers."""

    weight: float
    part: float
    fleet: VariantFleet


class _Wheel:
    """Draws fleets in proportion; what has no proportion is never drawn."""

    def __init__(self, entries: Sequence[tuple[float, VariantFleet]]) -> None:
        self._fleets = [fleet for _, fleet in entries]
        self._bounds = list(itertools.accumulate(size for size, _ in entries))

    def draw(self) -> VariantFleet | None:
        if not self._bounds or not self._bounds[-1]:
            return None
        point = random.random() * self._bounds[-1]  # noqa: S311 - load, not secrets
        return self._fleets[bisect.bisect_right(self._bounds, point)]


class Routes:
    """Traffic by weight and part; with `TargetVariant` by part alone."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self._wheel = _Wheel([(share.weight * share.part, share.fleet) for share in shares])
        names = {share.fleet.variant.name for share in shares}
        self._named = {
            name: _Wheel([(s.part, s.fleet) for s in shares if s.fleet.variant.name == name])
            for name in names
        }

    def has(self, variant: str) -> bool:
        """Whether there is a variant of that name."""
        return variant in self._named

    def pick(self, variant: str | None = None) -> VariantFleet | None:
        """The fleet for one request; None when nothing has a share of the traffic."""
        return (self._wheel if variant is None else self._named[variant]).draw()


def settled(fleet: Fleet) -> Routes:
    """All traffic to one fleet, by the weights of its variants."""
    return Routes([Share(fleet.weights[name], 1.0, one) for name, one in fleet.variants.items()])


def shifting(blue: Fleet, green: Fleet, parts: Mapping[str, float]) -> Routes:
    """Each variant's traffic split: its part (0 to 1) to the green fleet, the rest to the blue.

    A variant that only one of the fleets has comes or goes with the part that the others have.
    """
    most = max(parts.values())
    old = [
        Share(blue.weights[name], 1 - parts.get(name, most), one)
        for name, one in blue.variants.items()
    ]
    new = [Share(green.weights[name], parts[name], one) for name, one in green.variants.items()]
    return Routes([*old, *new])
