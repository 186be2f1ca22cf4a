"""`status`, `why`, `runs`: what there is, what it waits for, and what happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from cli.errors import NotFound
from cli.names import one_model
from cli.output import Styled, ago, count, duration, plain, size, table, until
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.describe_model import ModelView
    from perennial.domain.ledger.rows import RunRow
    from perennial.explain_wait import Wait

MOST_SIGNALS = 20
COLOURS = {"won": "green", "lost": "yellow", "refused": "yellow", "stopped": "yellow"}


@click.command()
@click.argument("model", required=False)
@on_target
def status(session: Session, model: str | None) -> None:
    """Show every model on one screen: champion, newest version, open run, what waits.

    \b
    Examples:
      perennial status
      perennial status census --json
    """
    from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.list_models import list_models  # noqa: PLC0415 - as above

    names = [model] if model else list_models(session.ports)
    views = [describe_model(session.ports, name) for name in names]
    screen = session.screen
    if screen.as_json:
        documents = [{**plain(view), "now": working(session, view)} for view in views]
        screen.document(documents[0] if model else documents)
        return
    if not views:
        screen.line("There are no models here yet.")
        screen.line("[dim]next:[/]  perennial push models/census")
        return
    columns = ("model", "champion", "newest version", "settings", "now", "waiting", "quarantined")
    screen.out.print(table(columns, [status_row(session, view) for view in views], right=(3, 6)))
    for view in views:
        for words in notes(view):
            screen.line(words)


def status_row(session: Session, view: ModelView) -> tuple[str, ...]:
    """One model as a row of the status table."""
    champion = f"version {view.champion.version}" if view.champion else "none"
    newest = view.latest_version
    latest = f"{newest.number} · {newest.status}" if newest else "none"
    waiting = [count(view.pending, "pending signal")] if view.pending else []
    waiting += [f"{view.held} held"] if view.held else []
    return (
        Styled(f"[bold]{escape(view.model)}[/]"),
        champion,
        latest,
        str(view.settings),
        Styled(now_words(session, view)),
        ", ".join(waiting) or "-",
        str(view.quarantined),
    )


def now_words(session: Session, view: ModelView) -> str:
    """What the model does at this moment: its open run's state, job and time, or that it rests."""
    now = working(session, view)
    if now is None:
        return "[yellow]paused[/]" if view.paused else "rests"
    job = f" · {escape(str(now['job_status']))}" if now["job_status"] else ""
    spent = duration(float(now["seconds"]))
    return f"[cyan]run {now['run']} · {escape(str(now['state']))}{job}[/] · {spent}"


def working(session: Session, view: ModelView) -> dict[str, Any] | None:
    """The open run: its state in the machine, its job, and the seconds since it was opened."""
    if view.open_run is None:
        return None
    from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.watch_run import watch_run  # noqa: PLC0415 - as above

    run = describe_run(session.ports, view.model, view.open_run)
    seen = watch_run(run.execution, log_lines=1) if run.execution else None
    return {
        "run": run.number,
        "state": (seen.state if seen else "") or run.state,
        "job": seen.job.name if seen and seen.job else "",
        "job_status": seen.job.stage if seen and seen.job else "",
        "seconds": round(time.time() - run.opened_ms / 1000, 1),
    }


def notes(view: ModelView) -> list[str]:
    """Lines below the table: why signals are held, and who paused the model."""
    lines = []
    if view.paused:
        lines.append(
            f"{view.model} is paused by {escape(view.paused.by)} since {ago(view.paused.since_ms)}:"
            f" {escape(view.paused.because)}  [dim]perennial resume {view.model}[/]"
        )
    for reason, number in sorted(view.held_because.items()):
        lines.append(f"{view.model}: {count(number, 'signal')} held: {escape(reason)}")
    newest = view.latest_version
    if newest and newest.status == "PendingManualApproval":
        lines.append(
            f"{view.model} {newest.number} waits for a person:"
            f'  [dim]perennial approve {view.model} {newest.number} --because "…"[/]'
        )
    return lines


@click.command()
@click.argument("model", required=False)
@click.argument("key", required=False)
@on_target
def why(session: Session, model: str | None, key: str | None) -> None:
    """Say what a model waits for and until when; or, with KEY, what became of an object.

    \b
    Examples:
      perennial why census
      perennial why census adult-3.csv
    """
    if key is not None and model is not None:
        why_object(session, model, key)
        return
    from perennial.explain_wait import explain_wait  # noqa: PLC0415 - boto3 costs 0.2 s

    wait = explain_wait(session.ports, one_model(session, model))
    screen = session.screen
    if screen.as_json:
        screen.document(wait)
        return
    screen.line(wait_words(wait))
    if not wait.signals:
        return
    shown = wait.signals[:MOST_SIGNALS]
    rows = [
        (
            signal.kind,
            signal.words,
            ago(signal.admitted_ms),
            signal.state,
            signal.reason + (f" · {until(signal.until_ms)}" if signal.until_ms else ""),
        )
        for signal in shown
    ]
    screen.out.print(table(("signal", "", "since", "state", "why"), rows))
    if len(wait.signals) > len(shown):
        screen.line(f"[dim]… and {len(wait.signals) - len(shown)} more; --json has all[/]")


def wait_words(wait: Wait) -> str:
    """The one sentence of `why`, with the time it names."""
    moment = f" · {until(wait.until_ms)}" if wait.until_ms else ""
    return f"[bold]{wait.model}[/] {escape(wait.words)}{moment}"


def why_object(session: Session, model: str, key: str) -> None:
    """What became of each version of an object."""
    from perennial.domain import naming  # noqa: PLC0415 - only this command needs it
    from perennial.explain_object import explain_object  # noqa: PLC0415 - boto3 costs 0.2 s

    prefix = naming.landing_prefix(model)
    full = key if key.startswith(prefix) else prefix + key
    stories = explain_object(session.ports, model, full)
    if not stories:
        raise NotFound(
            f"Nothing was ever landed as {full}.", f"Land it: perennial land {model} <file>"
        )
    screen = session.screen
    if screen.as_json:
        screen.document(stories)
        return
    screen.line(f"[bold]{escape(full)}[/]")
    rows = [
        (
            story.version_id,
            ago(story.landed_ms),
            size(story.size),
            story.state,
            f"run {story.run}" if story.run else "-",
            story.reason,
        )
        for story in stories
    ]
    screen.out.print(table(("version", "landed", "size", "state", "by", "why"), rows, right=(2,)))
    for story in stories:
        for line in story.first_bad:
            screen.line(f"  {escape(line)}")


@click.command()
@click.argument("model", required=False)
@click.option("-n", "--limit", default=20, show_default=True, help="How many, newest first.")
@on_target
def runs(session: Session, model: str | None, limit: int) -> None:
    """List a model's runs, newest first: why each began and how it ended.

    \b
    Examples:
      perennial runs census
      perennial runs --json
    """
    from perennial.list_runs import list_runs  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    found = list_runs(session.ports, name, limit)
    screen = session.screen
    if screen.as_json:
        screen.document(found)
        return
    if not found:
        screen.line(f"{name} has had no run yet.")
        screen.line(f"[dim]next:[/]  perennial why {name}")
        return
    columns = ("run", "outcome", "version", "opened", "took", "because")
    screen.out.print(table(columns, [run_row(run) for run in found], right=(0, 4)))


def run_row(run: RunRow) -> tuple[str, ...]:
    """One run as a row of the table."""
    state = str(run.outcome or run.state)
    colour = COLOURS.get(state, "red" if run.outcome else "cyan")
    end = run.ended_ms or int(time.time() * 1000)
    because = run.because[0] if run.because else "-"
    more = f" (and {len(run.because) - 1} more)" if len(run.because) > 1 else ""
    return (
        str(run.number),
        Styled(f"[{colour}]{state}[/]"),
        str(run.version.number) if run.version else "-",
        ago(run.opened_ms),
        duration((end - (run.started_ms or run.opened_ms)) / 1000),
        because + more,
    )
