"""Read what drifted: each monitor's newest finding, its report, and its figures over time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.describe_monitors import (
    Watching,
    describe_monitors,
    figures_of,
    read_report_of,
)
from perennial.domain.drift_page import drift_page

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_WINDOWS = 400


@dataclass(frozen=True)
class Drift:
    """A model's monitors, the newest report of each, and its windows in figures."""

    watching: Watching
    reports: Mapping[str, Mapping[str, Any]]
    history: Mapping[str, list[dict[str, Any]]]
    stack: str
    at_ms: int

    def page(self) -> str:
        """The report page: one HTML document that stands alone."""
        return drift_page(
            {
                "model": self.watching.model,
                "version": self.watching.version,
                "stack": self.stack,
                "at_ms": self.at_ms,
                "monitors": [
                    {
                        "kind": each.kind,
                        "alarm": each.alarm,
                        "blind": each.blind,
                        "report": self.reports.get(each.kind, {}),
                        "windows": self.history.get(each.kind, []),
                    }
                    for each in self.watching.monitors
                ],
            }
        )


def read_drift(ports: Ports, model: str) -> Drift:
    """Everything that `perennial drift` shows; raises `NotFound` for an unknown model."""
    watching = describe_monitors(ports, model, most=MOST_WINDOWS)
    reports, history = {}, {}
    for each in watching.monitors:
        if each.last_seen is not None:
            reports[each.kind] = read_report_of(ports, each.last_seen)
        history[each.kind] = [
            {
                "end_ms": window.end_ms,
                "version": window.version,
                "rows": window.rows,
                "violations": window.violations,
                "worst": (json.loads(window.figures).get("worst") or {}).get("value"),
                "figures": dict(figures_of(window)),
            }
            for window in each.windows
            if window.state == "done"
        ]
    return Drift(watching, reports, history, ports.deployment.stack, ports.clock())
