"""A window's report, in one form for all four monitors: what it saw, and what broke which bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.engine.checks import COMPLETENESS, TYPE, VALUES, Finding
from jobs.monitor_config import MonitorConfig

VERSION = 1
# CloudWatch has no infinity; this is what Clarify's monitors publish in its place.
INFINITE = 2.348543e108
MOST_NOTES = 50
# Checks of a share: unbroken ones are no drift, however near their bound they are.
SHARES = (COMPLETENESS, TYPE, VALUES)


@dataclass
class Report:
    """What one window of one monitor found."""

    config: MonitorConfig
    rows: int = 0
    labelled_rows: int = 0
    late: int = 0
    unmatched_labels: int = 0
    broken_lines: int = 0
    findings: list[Finding] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_empty: bool = False

    @property
    def violations(self) -> list[Finding]:
        """The findings that fire, the worst first."""
        return sorted(
            (finding for finding in self.findings if finding.fires),
            key=lambda finding: (-finding.severity, finding.name, finding.check),
        )

    @property
    def worst(self) -> Finding | None:
        """What is farthest beyond its bound; without violations the drift that is nearest to it."""
        calm = [finding for finding in self.findings if finding.check not in SHARES]
        return next(
            iter(self.violations),
            max(calm, key=lambda finding: finding.severity, default=None),
        )

    def metric(
        self, name: str, value: float | None, dimensions: Mapping[str, str] | None = None
    ) -> None:
        """Add a metric for CloudWatch; what has no value is not published."""
        if value is None or math.isnan(value):
            return
        kept = value if math.isfinite(value) else math.copysign(INFINITE, value)
        self.metrics.append({"name": name, "value": kept, "dimensions": dict(dimensions or {})})

    def to_json(self) -> dict[str, Any]:
        """The content of report.json."""
        config, worst = self.config, self.worst
        return {
            "version": VERSION,
            "kind": config.kind,
            "model": config.model,
            "model_version": config.model_version,
            "window": {"start_ms": config.start_ms, "end_ms": config.end_ms},
            "rows": self.rows,
            "labelled_rows": self.labelled_rows,
            "late": self.late,
            "unmatched_labels": self.unmatched_labels,
            "broken_lines": self.broken_lines,
            "worst": {**worst.to_json(), "words": in_words(worst)} if worst else None,
            "violations": [finding.to_json() for finding in self.violations],
            "metrics": self.metrics,
            "figures": self.figures,
            "counts": self.counts,
            "empty": self.is_empty,
            "notes": self.notes[:MOST_NOTES],
        }

    @property
    def message(self) -> str:
        """The job's last words, as Model Monitor's container has them."""
        if self.is_empty:
            return f"Completed: no row of {self.config.model} in the window could be looked at."
        count = len(self.violations)
        if count:
            first = self.violations[0].words
            return (
                f"CompletedWithViolations: Job completed successfully with {count} violations. "
                f"{first}."
            )
        return "Completed: Job completed successfully with no violations."


def in_words(worst: Finding) -> str:
    """The worst finding for people, who must not take for drift what is none."""
    if worst.fires:
        return worst.words
    if worst.severity > 1:
        return f"{worst.words}, which chance explains in so few rows"
    return f"nearest its bound: {worst.words}"


def violations_document(
    violations: Iterable[Finding], extra: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The content of constraint_violations.json of a data-quality monitor."""
    return {
        "violations": [
            {
                "feature_name": finding.name,
                "constraint_check_type": finding.check,
                "description": finding.description,
            }
            for finding in violations
        ]
        + [dict(each) for each in extra]
    }
