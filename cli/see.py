"""`status`, `why`: what there is, and what it waits for."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from perennial.domain import naming
from rich.markup import escape

from cli.names import one_model
from cli.output import Styled, ago, count, duration, plain, table, until
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.describe_model import ModelDescription
    from perennial.describe_production import Production
    from perennial.domain.ledger.rows import Version
    from perennial.explain_wait import Explanation

MOST_SIGNALS = 20
LONGEST_SIGNAL = 250  # a key of S3 may have 1,024 characters
VERSION_ID = re.compile(r" \(version [^()]+\)$")
HELD = "what is held waits for a push, new data, 'perennial run retry' or 'perennial retrain'"


@dataclass(frozen=True)
class View:
    """One model on the status screen; `trouble` says what is wrong with its endpoint."""

    model: ModelDescription
    production: Production
    trouble: str
    newest: Version | None
    now: dict[str, Any] | None


@click.command()
@click.argument("model", required=False)
@on_target
def status(session: Session, model: str | None) -> None:
    """Show every model on one screen: what is live, open run and release, what waits.

    \b
    Examples:
      perennial status
      perennial status census --json
    """
    from perennial.describe_endpoint import live_trouble  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.describe_model import describe_model  # noqa: PLC0415 - as above
    from perennial.describe_production import describe_production  # noqa: PLC0415 - as above
    from perennial.latest_version import latest_version  # noqa: PLC0415 - as above
    from perennial.list_models import list_models  # noqa: PLC0415 - as above

    names = [model] if model else list_models(session.ports)
    views = [
        View(
            describe_model(session.ports, name),
            describe_production(session.ports, name),
            live_trouble(session.ports, name),
            latest_version(session.ports, name),
            working(session, name),
        )
        for name in names
    ]
    screen = session.screen
    if screen.as_json:
        documents = [
            {
                **plain(view.model),
                "production": plain(view.production),
                "trouble": view.trouble,
                "latest_version": plain(view.newest),
                "now": view.now,
            }
            for view in views
        ]
        screen.document(documents[0] if model else documents)
        return
    if not views:
        screen.line("There are no models here yet.")
        screen.line("[dim]next:[/]  perennial push models/census")
        return
    columns = (
        *("model", "champion", "live", "newest version", "settings", "now", "waiting"),
        "quarantined",
    )
    screen.out.print(table(columns, [status_row(view) for view in views], right=(4, 7)))
    for view in views:
        for words in notes(view):
            screen.line(words)


def status_row(view: View) -> tuple[str, ...]:
    """One model as a row of the status table."""
    model = view.model
    waiting = [f"{model.pending} pending"] if model.pending else []
    waiting += [f"{held} held"] if (held := sum(model.held.values())) else []
    return (
        Styled(f"[bold]{escape(model.model)}[/]"),
        f"version {model.champion.version}" if model.champion else "none",
        live_words(view.production),
        f"{view.newest.number} · {view.newest.status}" if view.newest else "none",
        str(model.settings),
        Styled(now_words(view)),
        ", ".join(waiting) or "-",
        str(model.quarantined),
    )


def live_words(production: Production) -> str:
    """The version that an endpoint serves, and the one that a release brings."""
    live = f"version {production.version}" if production.version else "none"
    if production.open_release is None:
        return live
    return f"{live} ← {production.open_version} (release {production.open_release})"


def now_words(view: View) -> str:
    """What the model does at this moment: its open run's state, job and time, or that it rests."""
    now = view.now
    if now is None:
        return "[yellow]paused[/]" if view.model.paused else "rests"
    job = f" · {escape(str(now['job_status']))}" if now["job_status"] else ""
    spent = duration(float(now["seconds"]))
    return f"[cyan]run {now['run']} · {escape(str(now['state']))}{job}[/] · {spent}"


def working(session: Session, model: str) -> dict[str, Any] | None:
    """The open run: its state in the machine, its job, and the seconds since it was opened."""
    from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.describe_run import describe_run  # noqa: PLC0415 - as above
    from perennial.watch_run import watch_run  # noqa: PLC0415 - as above

    number = describe_model(session.ports, model).open_run
    if number is None:
        return None
    run = describe_run(session.ports, model, number)
    seen = watch_run(run.execution, log_lines=1) if run.execution else None
    return {
        "run": run.number,
        "state": (seen.state if seen else "") or run.state,
        "job": seen.job.name if seen and seen.job else "",
        "job_status": seen.job.stage if seen and seen.job else "",
        "seconds": round(time.time() - run.opened_ms / 1000, 1),
    }


def notes(view: View) -> list[str]:
    """Lines below the table: the endpoint, the open release, why signals are held, who paused it,
    what a person should do."""
    lines = []
    model, paused = view.model, view.model.paused
    live = view.production
    if view.trouble:
        lines.append(
            f"[red]{model.model} {live.version} does not serve as it should:[/] "
            f"{escape(view.trouble)}"
        )
    elif live.version:
        lines.append(
            f"{model.model} {live.version} is live on {live.endpoint}, "
            f"released {ago(live.since_ms)}"
        )
    lines += [escape(words) for words in live.waits]
    if paused:
        lines.append(
            f"{model.model} is paused by {escape(paused.by)}, {ago(paused.since_ms)}:"
            f" {escape(paused.because)}  [dim]perennial resume {model.model}[/]"
        )
    for reason, number in sorted(model.held.items()):
        lines.append(f"{model.model}: {count(number, 'signal')} held: {escape(reason)}")
    if model.quarantined:
        lines.append(
            f"{model.model}: {count(model.quarantined, 'object')} quarantined; the run that found"
            f" one says why:  [dim]perennial run show {model.model} <run>[/]"
        )
    if view.newest and view.newest.status == "PendingManualApproval":
        which = f"{model.model} {view.newest.number}"
        lines.append(
            f'{which} waits for a person:  [dim]perennial approve {which} --because "…"[/]'
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
    for words in wait.releases:
        screen.line(escape(words))
    if not wait.signals:
        return
    shown = wait.signals[:MOST_SIGNALS]
    rows = [
        (
            short_words(signal.words, wait.model),
            ago(signal.admitted_ms),
            signal.state,
            signal.reason + (f" · {until(signal.until_ms)}" if signal.until_ms else ""),
        )
        for signal in shown
    ]
    screen.out.print(table(("signal", "since", "state", "why"), rows))
    if len(wait.signals) > len(shown):
        screen.line(f"[dim]… and {len(wait.signals) - len(shown)} more; --json has all[/]")


def short_words(words: str, model: str) -> str:
    """A signal's words without what every line would repeat: its prefix in S3 and its version."""
    found = VERSION_ID.sub("", words.replace(naming.landing_prefix(model), ""))
    return found if len(found) <= LONGEST_SIGNAL else f"{found[:LONGEST_SIGNAL]}…"


def wait_words(wait: Explanation) -> str:
    """What the model waits for, in one sentence, with the time if there is one."""
    name = f"[bold]{wait.model}[/]"
    if wait.open_run is not None:
        return (
            f"{name} is at work: run {wait.open_run}"
            f"  [dim]perennial run show {wait.model} {wait.open_run} --follow[/]"
        )
    if not wait.signals:
        return f"{name} waits for nothing: every signal is settled; new data opens the next run"
    holds = "; ".join(hold.words for hold in wait.holds)
    if wait.opens_ms is None:
        return f"{name} opens no run by itself: {escape(holds or HELD)}"
    moment = until(wait.opens_ms)
    if moment == "now":
        return f"{name} opens a run now"
    return f"{name} opens a run {moment}" + (f": {escape(holds)}" if holds else "")


def why_object(session: Session, model: str, key: str) -> None:
    """What became of each version of an object."""
    from perennial.explain_wait import explain_object  # noqa: PLC0415 - boto3 costs 0.2 s

    prefix = naming.landing_prefix(model)
    full = key if key.startswith(prefix) else prefix + key
    fates = explain_object(session.ports, model, full)
    screen = session.screen
    if screen.as_json:
        screen.document(fates)
        return
    screen.line(f"[bold]{escape(full)}[/]")
    rows = [
        (
            fate.version_id,
            ago(fate.admitted_ms),
            fate.state,
            f"run {fate.run}" if fate.run else "-",
            fate.reason or (f"see: perennial why {model}" if fate.state == "pending" else ""),
        )
        for fate in fates
    ]
    screen.out.print(table(("version", "admitted", "state", "by", "why"), rows))
    for fate in fates:
        for line in fate.first_bad:
            screen.line(f"  {escape(line)}")
