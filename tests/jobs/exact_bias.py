"""Bias metrics by their definitions in the SageMaker developer guide, from rows, in fractions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

Row = tuple[bool, str, bool, bool]  # is it d, its group, its label, its prediction


class Exact:
    """The metrics by their definitions, from counts of rows, in fractions."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.counts = Counter(rows)

    def n(self, **wanted: Any) -> int:
        """How many rows agree with what is wanted of d, group, label, predicted."""
        keys = ("d", "group", "label", "predicted")
        return sum(
            count
            for row, count in self.counts.items()
            if all(row[keys.index(key)] == value for key, value in wanted.items())
        )

    def ratio(self, part: int, whole: int) -> Fraction | float:
        """0/0 is 0, x/0 infinite."""
        return Fraction(part, whole) if whole else math.inf if part else Fraction(0)

    def gap(self, part: dict[str, bool], whole: dict[str, bool], sign: int = 1) -> Any:
        """The ratio on side a less that on side d."""
        a, d = (
            self.ratio(self.n(d=side, **part), self.n(d=side, **whole)) for side in (False, True)
        )
        return Fraction(0) if a == d else sign * (a - d)

    def shares(self, d: bool) -> list[Fraction]:
        """The distribution of the labels on a side."""
        return [Fraction(self.n(d=d, label=label), self.n(d=d)) for label in (False, True)]

    def conditional(self, outcome: str) -> Any:
        """The mean of the groups' disparities, weighted by their rows."""
        total = Fraction(0)
        for group in {row[1] for row in self.counts}:
            disparity = [
                self.ratio(
                    self.n(d=True, group=group, **{outcome: kind}),
                    self.n(group=group, **{outcome: kind}),
                )
                for kind in (False, True)
            ]
            total += self.n(group=group) * (disparity[0] - disparity[1])
        return total / self.n()

    def divergence(self, one: list[Fraction], other: list[Fraction]) -> float:
        """Kullback and Leibler's, in nats."""
        if any(p and not q for p, q in zip(one, other, strict=True)):
            return math.inf
        return math.fsum(p * math.log(p / q) for p, q in zip(one, other, strict=True) if p)

    def values(self) -> dict[str, Any]:
        """Every metric."""
        yes, no = {"label": True}, {"label": False}
        hat, naught = {"predicted": True}, {"predicted": False}
        a, d = self.shares(False), self.shares(True)
        middle = [(p + q) / 2 for p, q in zip(a, d, strict=True)]
        gaps = [abs(p - q) for p, q in zip(a, d, strict=True)]
        right = [
            Fraction(self.n(d=s, **yes, **hat) + self.n(d=s, **no, **naught), self.n(d=s))
            for s in (False, True)
        ]
        rows, benefits = self.n(), {2: self.n(**no, **hat), 0: self.n(**yes, **naught)}
        benefits[1] = rows - benefits[2] - benefits[0]
        mean = Fraction(sum(b * n for b, n in benefits.items()), rows)
        accepted = [self.ratio(self.n(d=s, **hat), self.n(d=s)) for s in (True, False)]
        return {
            "CI": Fraction(self.n(d=False) - self.n(d=True), rows),
            "DPL": self.gap(yes, {}),
            "KL": self.divergence(a, d),
            "JS": (self.divergence(a, middle) + self.divergence(d, middle)) / 2,
            "LP": math.sqrt(sum(gap**2 for gap in gaps)),
            "TVD": sum(gaps) / 2,
            "KS": max(gaps),
            "CDDL": self.conditional("label"),
            "DPPL": self.gap(hat, {}),
            "DI": accepted[0] / accepted[1] if accepted[1] else math.inf if accepted[0] else 0,
            "DCA": self.gap(yes, hat),
            "DCR": self.gap(no, naught, -1),
            "RD": self.gap(yes | hat, yes),
            "SD": self.gap(no | naught, no, -1),
            "DAR": self.gap(yes | hat, hat),
            "DRR": self.gap(no | naught, naught, -1),
            "AD": right[0] - right[1],
            "CDDPL": self.conditional("predicted"),
            "TE": self.gap(yes | naught, no | hat, -1),
            "GE": sum(n * ((b / mean) ** 2 - 1) for b, n in benefits.items()) / (2 * rows)
            if mean
            else None,
        }
