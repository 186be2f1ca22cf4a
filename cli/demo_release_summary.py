"""What `demo-release` remembers, as read back from the stack and counted at the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from cli.demo_frame import DemoSummary
from cli.demo_load import Figures, Share
from cli.output import Styled, duration, plain, table

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import ReleaseRow
    from perennial.read_report import Report

STORY = ("released", "released", "rolled_back")
COLOURS = {"released": "green", "rolled_back": "yellow"}


@dataclass(frozen=True)
class Canary:
    """The new version's share of the answers during the canary, with its binomial bounds."""

    wanted: float
    hits: int
    answers: int
    measured: float
    low: float
    high: float
    is_within: bool

    @classmethod
    def of(cls, share: Share) -> Canary:
        """From what the client counted."""
        low, high = share.bounds
        return cls(
            share.wanted,
            share.hits,
            share.answers,
            round(share.measured, 4),
            round(low, 4),
            round(high, 4),
            share.is_within,
        )


@dataclass(frozen=True)
class Told:
    """One release: its row, its smoke test, its canary, and the alarm that was seen sounding."""

    row: ReleaseRow
    smoke_test: Mapping[str, Any]
    canary: Canary | None
    alarm: Mapping[str, Any]


@dataclass
class ReleaseSummary(DemoSummary):
    """All of it; `live` is the version that the ledger says is live after the last release."""

    factor: float
    per_second: int
    releases: list[Told] = field(default_factory=list)
    champion: int | None = None
    live: int = 0
    load: Figures = field(default_factory=lambda: Figures(0, 0, 0.0, 0.0, {}, {}))

    @property
    def objections(self) -> list[str]:
        """What was not as the story says."""
        found = []
        outcomes = tuple(str(told.row.outcome) for told in self.releases)
        if outcomes != STORY:
            found.append(f"the releases ended {', '.join(outcomes)}; wanted {', '.join(STORY)}")
        if (self.champion, self.live) != (2, 2):
            found.append(f"champion {self.champion}, live version {self.live}; wanted 2 and 2")
        for told in self.releases:
            name = f"release {told.row.number}"
            if not told.smoke_test.get("passed"):
                found.append(f"the smoke test of {name} did not pass")
            if told.row.number > 1 and (told.canary is None or told.canary.answers == 0):
                found.append(f"no answer was seen during the canary of {name}")
            elif told.canary is not None and not told.canary.is_within:
                found.append(f"the share of {name} left its bounds")
        if self.releases and not self.releases[-1].alarm.get("name", "").endswith("-latency"):
            found.append("the latency alarm was not seen in ALARM")
        if self.load.failed or not self.load.sent:
            found.append(f"{self.load.failed} of {self.load.sent} predictions failed")
        return found

    def facts(self) -> dict[str, Any]:
        """The releases with their tests and shares, and what the clients counted."""
        return {
            "clock_factor": self.factor,
            "predictions_per_second": self.per_second,
            "champion": self.champion,
            "live": self.live,
            "predictions": plain(self.load),
            "releases": [
                {
                    **plain(told.row),
                    "smoke_test": dict(told.smoke_test),
                    "canary": plain(told.canary),
                    "alarm": dict(told.alarm),
                }
                for told in self.releases
            ],
        }

    def table(self) -> RichTable:
        """One line a release."""
        columns = ("release", "version", "outcome", "took", "smoke test", "share", "how it ended")
        return table(columns, [_row(told) for told in self.releases], right=(0, 1, 3))

    def next_commands(self) -> list[tuple[str, str]]:
        """What to try now, with the names of this demo."""
        model = self.model
        return [
            (f"perennial releases {model}", "every release, how it ended and why"),
            (f"perennial endpoint {model}", "what serves now, and where a rollback goes"),
            (f"perennial predict {model}", "what it takes, and how to ask it"),
            (f'perennial rollback {model} --because "…"', "back to version 1, under guard"),
            (f"perennial run show {model} 3", "the slow version's run: it passed every gate"),
            (f"perennial endpoint {model} --remove", "stop its servers"),
            ("perennial down", "stop the local cloud; nothing stays"),
        ]


def _row(told: Told) -> tuple[str, ...]:
    row = told.row
    checks = told.smoke_test.get("checks", [])
    passed = sum(bool(check["passed"]) for check in checks)
    outcome = str(row.outcome)
    canary = told.canary
    _, _, words = row.words.partition(": ")
    if told.alarm:
        words = f"{told.alarm['name']} went off; {row.words.rpartition('; ')[2]}"
    return (
        str(row.number),
        str(row.version),
        Styled(f"[{COLOURS.get(outcome, 'red')}]{outcome.replace('_', ' ')}[/]"),
        duration(((row.ended_ms or row.opened_ms) - row.opened_ms) / 1000),
        f"{passed} of {len(checks)}",
        f"{percent(canary.measured)} of {canary.answers}" if canary else "-",
        words,
    )


def gate_words(report: Report) -> str:
    """The headline figures of a verdict, and how the candidate compares with the champion."""
    shown = [
        f"{gate['metric']} {float(gate['value']):.3f}"
        for gate in report.gates
        if gate.get("value") is not None
        and gate.get("metric") in ("auc", "accuracy")
        and gate.get("name") != "champion.min"
    ]
    compared = report.verdict.get("comparison")
    if compared:
        shown.append(f"{float(compared['difference']):+.3f} against the champion")
    return ", ".join(shown)


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.0f}%"
