"""`run show|card|stop|retry`: one run of a model."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from cli.follow import follow_run
from cli.judgement import judgement_document, show_judgement
from cli.live import Progress
from cli.names import model_and_number
from cli.output import clock, count, duration, plain, size, table
from cli.session import Session, on_target
from cli.terminal import visible

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.read_report import Report
    from perennial.watch_run import RunView

WHICH = click.argument("which", nargs=-1, required=True, metavar="[MODEL] RUN")
MODEL = click.option("--model", help="The model, if there are several.")
COLOURS = {"won": "green", "lost": "yellow", "refused": "yellow", "stopped": "yellow"}
MOST_BAD_LINES = 3
CUT_OFF = {"Aborted": "stopped", "TimedOut": "timed out"}


@click.group("run")
def run_group() -> None:
    """Look at one run, stop it, or repeat it."""


@run_group.command()
@WHICH
@MODEL
@click.option(
    "--follow", "-f", is_flag=True, help="Stay until the run is over; see its training's curves."
)
@on_target
def show(session: Session, which: tuple[str, ...], model: str | None, *, follow: bool) -> None:
    """Show a run: why it began, its data, its path, its verdict and its version.

    \b
    Examples:
      perennial run show census 3
      perennial run show 3 --follow
      perennial run show 3 --model census --json
    """
    from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.read_report import read_report  # noqa: PLC0415 - as above
    from perennial.watch_run import watch_run  # noqa: PLC0415 - as above

    name, number = model_and_number(session, which, model, "run")
    run = describe_run(session.ports, name, number)
    screen = session.screen
    if follow and run.state != "ended":
        screen.line(f"[bold]{name} run {number}[/]  [dim]{escape('; '.join(run.because))}[/]")
        with Progress(screen.people) as progress:
            run = follow_run(session, name, number, progress)
    report = read_report(session.ports, name, number)
    view = watch_run(run.execution) if run.execution else None
    if screen.as_json:
        screen.document(run_document(run, report, view))
    else:
        show_run(session, run, report, view)
    if follow and run.outcome not in {"won", "lost"}:
        sys.exit(1)


def run_document(run: RunRow, report: Report, view: RunView | None) -> dict[str, Any]:
    """Everything known about a run, for scripts."""
    return {
        **plain(run),
        "path": plain(view.path) if view else [],
        "job": plain(view.job) if view else None,
        "quarantined": report.quarantined,
        "gates": report.gates,
        "judgement": judgement_document(report),
    }


def show_run(session: Session, run: RunRow, report: Report, view: RunView | None) -> None:
    """Print a run as a page: head, reasons, data, quarantine, path, gates, verdict, version."""
    screen = session.screen
    screen.line(headline(run))
    for index, reason in enumerate(run.because):
        screen.line(f"{'because' if index == 0 else '':<12}{escape(reason)}")
    if run.overrides:
        pairs = ", ".join(f"{key}={value}" for key, value in run.overrides.items())
        screen.line(f"{'settings':<12}{run.settings}, for this run only: {escape(pairs)}")
    else:
        screen.line(f"{'settings':<12}{run.settings}")
    if run.manifest is not None:
        screen.line(f"{'dataset':<12}{dataset_words(run)}")
    show_quarantine(session, report)
    if view is not None:
        show_path(session, view)
    show_verdict(session, run, report)
    if run.outcome in {"failed", "refused", "stopped", "not_claimed"}:
        words = run.ending.words if run.ending else run.error
        screen.line(f"{'ended':<12}[red]{escape(words)}[/]")
        # A job's whole description is no line to read at night; `words` holds its reason.
        if run.cause and "{" not in run.cause and run.cause not in words:
            screen.line(f"{'cause':<12}{escape(run.cause)}")
        screen.line(
            f"[dim]next:[/]       perennial logs run {run.number} --model {run.model}"
            f"   or: perennial run retry {run.model} {run.number}"
        )


def headline(run: RunRow) -> str:
    """The first line: which run, how it stands, when and how long."""
    state = run.outcome or run.state
    colour = COLOURS.get(str(run.outcome), "red" if run.outcome else "cyan")
    spent = duration(((run.ended_ms or time.time() * 1000) - run.opened_ms) / 1000)
    again = f" · repeats run {run.retry_of}" if run.retry_of else ""
    return (
        f"[bold]{run.model} run {run.number}[/] · [{colour}]{state}[/] · {spent}"
        f" · opened {clock(run.opened_ms)}{again}"
    )


def dataset_words(run: RunRow) -> str:
    """How much the run read, and what of it was good."""
    if run.manifest is None:
        return "-"
    words = f"{count(run.manifest.objects, 'object')}, {size(run.manifest.bytes)}"
    rows = run.check.get("rows")
    if isinstance(rows, dict):
        words += (
            f" · {rows.get('good', 0):,} good rows, {rows.get('bad', 0):,} bad"
            f" · {rows.get('training', 0):,} for training, {rows.get('holdout', 0):,} held out"
        )
    return words


def show_quarantine(session: Session, report: Report) -> None:
    """Each object that the check refused, with its reason and first bad lines."""
    for index, found in enumerate(report.quarantined):
        head = "quarantine" if index == 0 else ""
        name = str(found["key"]).split("/", 2)[-1]
        session.screen.line(f"{head:<12}[bold]{escape(name)}[/]: {escape(str(found['reason']))}")
        for bad in list(found.get("first_bad", []))[:MOST_BAD_LINES]:
            column = f", column {bad['column']}" if bad.get("column") else ""
            why = escape(str(bad.get("why", "")))
            session.screen.line(
                f"{'':<12}  line {bad.get('line')}{escape(column)}: {why}"
                f"  [dim]{escape(str(bad.get('text', ''))[:80])}[/]"
            )


def show_path(session: Session, view: RunView) -> None:
    """The states that the execution visited, with their times and jobs."""
    rows = []
    for visit in view.path:
        if visit.type != "Task":
            continue
        left = visit.left_ms or int(time.time() * 1000)
        now = "done" if visit.left_ms else "runs"
        if visit.error:
            now = CUT_OFF.get(visit.error, "failed")
        rows.append((visit.state, now, duration((left - visit.entered_ms) / 1000), visit.job))
    if rows:
        session.screen.line()
        session.screen.out.print(table(("state", "", "time", "job"), rows, right=(2,)))
        session.screen.line()


def show_verdict(session: Session, run: RunRow, report: Report) -> None:
    """The verdict with all it rests on, the version and what to do with it."""
    screen = session.screen
    show_judgement(screen, report, run.model, run.number)
    if run.version is not None:
        screen.line(f"{'version':<12}{run.model} {run.version.number} · {run.version.status}")
        if run.version.words:
            screen.line(f"{'decision':<12}{escape(run.version.words)}")
        if run.version.status == "PendingManualApproval":
            which = f"{run.model} {run.version.number}"
            screen.line(f'[dim]next:[/]       perennial approve {which} --because "…"')


@run_group.command()
@WHICH
@MODEL
@click.option("--to", type=click.Path(dir_okay=False), help="Write it here; .md for the text.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@on_target
def card(
    session: Session, which: tuple[str, ...], model: str | None, *, to: str | None, opens: bool
) -> None:
    """Fetch a run's model card: its text to read here, or the page with its pictures.

    \b
    Examples:
      perennial run card census 3
      perennial run card census 3 --open
      perennial run card 3 --to census-3.html
    """
    from perennial.read_card import read_card  # noqa: PLC0415 - boto3 costs 0.2 s

    name, number = model_and_number(session, which, model, "run")
    screen = session.screen
    if to is None and opens:
        # Kept after the command: the browser reads it when it likes.
        to = str(Path(tempfile.mkdtemp(prefix="perennial-")) / f"{name}-{number}.html")
    text_wanted = to is None or to.endswith(".md")
    found = read_card(session.ports, name, number, "md" if text_wanted else "html")
    if to is not None:
        Path(to).write_bytes(found.body)
    if opens and to is not None:
        click.launch(to)
    if screen.as_json:
        screen.document({"model": name, "run": number, "card": found.uri, "file": to})
    elif to is None:
        screen.out.file.write(visible(found.body.decode()))
    else:
        screen.line(f"The card of [bold]{name}[/] run {number} is in {escape(to)}")


@run_group.command()
@WHICH
@MODEL
@click.option("--because", required=True, help="Why; kept in the ledger.")
@on_target
def stop(session: Session, which: tuple[str, ...], model: str | None, because: str) -> None:
    """Stop a run; its signals are held until something changes or it is retried.

    \b
    Examples:
      perennial run stop census 3 --because "wrong file landed"
    """
    from perennial.stop_run import stop_run  # noqa: PLC0415 - boto3 costs 0.2 s

    name, number = model_and_number(session, which, model, "run")
    stop_run(session.ports, name, number, because, session.who)
    if session.screen.as_json:
        session.screen.document({"model": name, "run": number, "stopping": True})
        return
    session.screen.line(f"Run {number} of [bold]{name}[/] is being stopped.")
    session.screen.line(f"[dim]next:[/]  perennial run show {name} {number} --follow")


@run_group.command()
@WHICH
@MODEL
@click.option("--because", default="", help="Why; kept in the ledger.")
@on_target
def retry(session: Session, which: tuple[str, ...], model: str | None, because: str) -> None:
    """Repeat a run that failed: a new run number, the same signals and settings.

    \b
    Examples:
      perennial run retry census 3
    """
    from perennial.retry_run import retry_run  # noqa: PLC0415 - boto3 costs 0.2 s

    name, number = model_and_number(session, which, model, "run")
    retry_run(session.ports, name, number, because or "asked for", session.who)
    if session.screen.as_json:
        session.screen.document({"model": name, "run": number, "retry": True})
        return
    session.screen.line(f"Run {number} of [bold]{name}[/] will be repeated under a new number.")
    session.screen.line(f"[dim]next:[/]  perennial why {name}")
