"""How a verdict is told on the screen: gates, the comparison, notes, cost, the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perennial.domain.gates import figure
from rich.markup import escape

from cli.output import Screen, duration, table

if TYPE_CHECKING:
    from perennial.read_report import Report

MOST_NOTES = 12
MOST_CHANGES = 8


def show_judgement(screen: Screen, report: Report, model: str, run: int) -> None:
    """Print what the verdict says; nothing when there is none."""
    if report.gates:
        rows = [
            (
                gate.get("name", gate.get("metric")),
                gate.get("words", ""),
                "pass" if gate.get("passed") else "FAIL",
            )
            for gate in report.gates
        ]
        screen.out.print(table(("gate", "", ""), rows))
        screen.line()
    verdict = report.verdict
    if not verdict:
        return
    colour = "green" if verdict.get("passed") else "yellow"
    screen.line(f"{'verdict':<12}[{colour}]{escape(str(verdict.get('words', '')))}[/]")
    lines = comparison_lines(verdict)
    for index, words in enumerate(lines):
        screen.line(f"{'champion' if index == 0 else '':<12}{escape(words)}")
    show_list(screen, "changed", verdict.get("changes"), MOST_CHANGES)
    show_list(screen, "notes", verdict.get("notes"), MOST_NOTES)
    if cost := cost_words(verdict):
        screen.line(f"{'cost':<12}{escape(cost)}")
    if "cost" in verdict:  # verdicts of an earlier form had no page beside them
        screen.line(f"{'card':<12}[dim]perennial run card {model} {run} --open[/]")


def show_list(screen: Screen, head: str, words: Any, most: int) -> None:
    """Some lines below one head, and how many more there are."""
    lines = [str(line) for line in words or ()]
    for index, line in enumerate(lines[:most]):
        screen.line(f"{head if index == 0 else '':<12}{escape(line)}")
    if len(lines) > most:
        screen.line(f"{'':<12}[dim]… and {len(lines) - most} more; --json has all[/]")


def comparison_lines(verdict: Mapping[str, Any]) -> list[str]:
    """Candidate and champion on the same rows: the difference, its interval, the windows."""
    champion, found = verdict.get("champion"), verdict.get("comparison")
    if not champion:
        return []
    name = f"version {champion.get('version')} (run {champion.get('run')})"
    if not found:
        return [f"{name}; not compared"]
    low, high = found.get("interval") or (None, None)
    ours, theirs = shown(found.get("candidate")), shown(found.get("champion"))
    words = (
        f"{name}, {found.get('metric')} {theirs} to the candidate's {ours}: "
        f"{signed(found.get('difference'))} [{signed(low)}, {signed(high)}] "
        f"on the same {found.get('rows', 0):,} rows"
    )
    lines = [words]
    windows = [signed(window.get("difference")) for window in found.get("windows") or ()]
    if len(windows) > 1:
        lines.append(f"by landing time, oldest first: {', '.join(windows)}")
    return lines


def cost_words(verdict: Mapping[str, Any]) -> str:
    """What the run cost until its verdict; empty when nobody noted it."""
    cost = verdict.get("cost")
    if not cost:
        return ""
    jobs = cost.get("jobs") or []
    seconds = sum(job.get("seconds") or 0 for job in jobs if not job.get("reused"))
    usd = cost.get("usd")
    dollars = "an unknown amount" if usd is None else f"${usd:.4f}"
    reused = sum(bool(job.get("reused")) for job in jobs)
    more = f", {reused} of {len(jobs)} steps reused" if reused else ""
    return f"{dollars} for {duration(seconds)} of jobs (prices of {cost.get('prices')}){more}"


def shown(value: float | None) -> str:
    """A figure, or that it is not known."""
    return "unknown" if value is None else figure(value)


def signed(value: float | None) -> str:
    """A difference with its sign, in four significant digits."""
    return "unknown" if value is None else f"{value:+.4g}"


def judgement_document(report: Report) -> dict[str, Any]:
    """What scripts want of a verdict beyond its gates; empty before there is one."""
    keys = ("passed", "words", "champion", "comparison", "metrics", "changes", "notes", "cost")
    return {key: report.verdict[key] for key in keys if key in report.verdict}
