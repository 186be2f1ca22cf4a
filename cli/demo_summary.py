"""What the demo remembers of what happened, as read back from the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from cli.demo_frame import DemoSummary
from cli.judgement import judgement_document, signed
from cli.output import Styled, duration, plain, table

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.read_report import Report

RUNS, CARDS, DAMAGED = 3, 2, 1
COLOURS = {"won": "green", "lost": "yellow"}
# Gates that hold no figure of the candidate alone against a limit.
OF_THEIR_OWN = ("champion", "schema", "producer_share")


@dataclass
class Summary(DemoSummary):
    """What happened; `kept` says whether neither damage nor a loser changed the champion."""

    runs: list[tuple[RunRow, Report]] = field(default_factory=list)
    champion: int | None = None
    approved_by: str = ""
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    cards: list[dict[str, Any]] = field(default_factory=list)
    kept: bool = True

    @property
    def objections(self) -> list[str]:
        """What was not as the story says."""
        ended = [str(run.outcome) for run, _ in self.runs]
        found = [f"a run ended {outcome}" for outcome in ended if outcome not in COLOURS]
        for count, wanted, what in (
            (len(self.runs), RUNS, "runs"),
            (len(self.cards), CARDS, "cards"),
            (len(self.quarantined), DAMAGED, "files in quarantine"),
        ):
            if count != wanted:
                found.append(f"there are {count} {what}; wanted {wanted}")
        if not self.kept:
            found.append("damage or a loser changed the champion")
        return found

    def facts(self) -> dict[str, Any]:
        """The runs with their gates and judgements, and what became of the champion."""
        return {
            "champion": self.champion,
            "approved_by": self.approved_by,
            "champion_digest_kept": self.kept,
            "quarantined": self.quarantined,
            "cards": self.cards,
            "runs": [
                {
                    **plain(run),
                    "gates": report.gates,
                    "judgement": judgement_document(report),
                    "reused": reused_steps(report.verdict),
                }
                for run, report in self.runs
            ],
        }

    def table(self) -> RichTable:
        """One line a run."""
        columns = (
            *("run", "outcome", "rows", "bad files", "figures", "against champion"),
            *("reused", "cost", "version", "took"),
        )
        rows = [self._row(run, report) for run, report in self.runs]
        return table(columns, rows, right=(2, 3, 6, 7, 9))

    def _row(self, run: RunRow, report: Report) -> tuple[str, ...]:
        rows = report.check.get("rows", {})
        figures = ", ".join(
            f"{gate.get('metric')} {float(gate['value']):.3f}"
            for gate in report.gates
            if gate.get("value") is not None and gate.get("metric") not in OF_THEIR_OWN
        )
        compared = report.verdict.get("comparison") or {}
        against = f"{compared['metric']} {signed(compared['difference'])}" if compared else "-"
        usd = (report.verdict.get("cost") or {}).get("usd")
        took = ((run.ended_ms or 0) - run.opened_ms) / 1000
        return (
            str(run.number),
            Styled(f"[{colour(run)}]{run.outcome}[/]"),
            f"{rows.get('good', 0):,}",
            str(len(report.quarantined)),
            figures or "-",
            against,
            str(len(reused_steps(report.verdict))),
            "-" if usd is None else f"${usd:.4f}",
            f"{run.version.number} {run.version.status}" if run.version else "-",
            duration(took),
        )

    def next_commands(self) -> list[tuple[str, str]]:
        """What to try now, with the names of this demo."""
        model, last = self.model, self.runs[-1][0] if self.runs else None
        commands = [("perennial status", "every model on one screen")]
        if len(self.runs) > 1:
            numbers = " ".join(str(run.number) for run, _ in self.runs)
            commands.append((f"perennial runs compare {model} {numbers}", "run beside run"))
        if last:
            commands.append((f"perennial run show {model} {last.number}", "the last run whole"))
        if last and last.version:
            which = f"{model} {last.version.number}"
            if last.outcome == "won":
                words = "approve it: it becomes the champion"
                commands.append((f'perennial approve {which} --because "…"', words))
            commands.append((f"perennial lineage {which}", "everything it came from"))
        commands += [
            (f"perennial cost {model}", "every job's time and price"),
            (f"perennial why {model}", "what it waits for"),
            ('eval "$(perennial env)"; sam logs', "any AWS client works: sam, aws, boto3"),
            ("perennial down", "stop the local cloud; nothing stays"),
        ]
        return commands


def colour(run: RunRow) -> str:
    """How an outcome is shown."""
    return COLOURS.get(str(run.outcome), "red")


def reused_steps(verdict: Mapping[str, Any]) -> list[str]:
    """The steps that an earlier run had done already."""
    jobs = (verdict.get("cost") or {}).get("jobs") or []
    return [str(job["step"]) for job in jobs if job.get("reused")]
