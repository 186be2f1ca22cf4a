"""`release`, `releases`, `rollback`, `adopt`, `endpoint`: what reaches production, and is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.markup import escape

from cli.errors import Usage
from cli.names import one_model
from cli.output import Styled, ago, duration, table
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.advance_releases import ReleaseAdvance
    from perennial.describe_endpoint import EndpointDescription
    from perennial.describe_scaling import ScalingDescription
    from perennial.domain.ledger.rows import ReleaseRow

BECAUSE = click.option("--because", required=True, help="Why; kept with your name.")
YES = click.option("--yes", is_flag=True, help="Do not ask (AWS asks; the local cloud never does).")
COLOURS = {"released": "green", "rolled_back": "yellow", "failed": "red"}
NOTHING = "-"


@click.command()
@click.argument("model")
@click.option("--version", type=int, help="Which approved version (default: the champion).")
@BECAUSE
@YES
@on_target
def release(session: Session, model: str, version: int | None, because: str, *, yes: bool) -> None:
    """Bring an approved version into production again, by the present settings.

    \b
    Examples:
      perennial release census --because "larger machines"
      perennial release census --version 5 --because "7 is slow for long texts"
    """
    from perennial.release_again import release_again  # noqa: PLC0415 - boto3 costs 0.2 s

    which = "the champion" if version is None else f"version {version}"
    session.confirm(f"Release {which} of {model} on {session.target}?", yes=yes)
    opened(session, model, release_again(session.ports, model, version, because, session.who))


@click.command()
@click.argument("model")
@BECAUSE
@YES
@on_target
def rollback(session: Session, model: str, because: str, *, yes: bool) -> None:
    """Go back to the last good configuration: by a release of its own, under the same guards.

    \b
    Examples:
      perennial rollback census --because "complaints since noon"
    """
    from perennial.rollback_release import rollback_release  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Roll {model} back on {session.target}?", yes=yes)
    opened(session, model, rollback_release(session.ports, model, because, session.who))


def opened(session: Session, model: str, done: ReleaseAdvance) -> None:
    """Report the release that was opened."""
    numbers = done.opened or ((done.watching,) if done.watching is not None else ())
    if session.screen.as_json:
        session.screen.document({"model": model, "releases": list(numbers)})
        return
    for number in numbers:
        session.screen.line(f"Release {number} of [bold]{escape(model)}[/] is opened.")
    session.screen.line(f"[dim]next:[/]  perennial releases {model}   or: perennial why {model}")


@click.command()
@click.argument("model", required=False)
@click.option("-n", "--limit", default=20, show_default=True, help="How many, newest first.")
@on_target
def releases(session: Session, model: str | None, limit: int) -> None:
    """List a model's releases, newest first: what each brought, how it ended, and why.

    \b
    Examples:
      perennial releases census
      perennial releases census -n 3 --json
    """
    from perennial.list_releases import list_releases  # noqa: PLC0415 - boto3 costs 0.2 s

    if limit < 1:
        raise Usage(f"--limit is {limit}.", "Give a number of at least 1.")
    name = one_model(session, model)
    found = list_releases(session.ports, name, limit)
    screen = session.screen
    if screen.as_json:
        screen.document(found)
        return
    if not found:
        screen.line(f"{name} has had no release yet.")
        screen.line(f"[dim]next:[/]  perennial endpoint {name}   or: perennial why {name}")
        return
    columns = ("release", "version", "kind", "outcome", "opened", "took", "words")
    screen.out.print(table(columns, [release_row(row) for row in found], right=(0, 1, 5)))


def release_row(row: ReleaseRow) -> tuple[str, ...]:
    """One release as a row of the table."""
    state = row.outcome or row.state
    colour = COLOURS.get(state, "cyan" if row.outcome is None else "yellow")
    took = NOTHING
    if row.ended_ms is not None:
        took = duration((row.ended_ms - row.opened_ms) / 1000)
    return (
        str(row.number),
        str(row.version),
        row.kind,
        Styled(f"[{colour}]{state.replace('_', ' ')}[/]"),
        ago(row.opened_ms),
        took,
        row.words or row.because,
    )


@click.command()
@click.argument("model", required=False)
@click.option("--remove", is_flag=True, help="Take the endpoint away, with what releases made.")
@YES
@on_target
def endpoint(session: Session, model: str | None, *, remove: bool, yes: bool) -> None:
    """Show a model's endpoint: what it serves, beside what the ledger says is live.

    \b
    Examples:
      perennial endpoint census
      perennial endpoint census --remove
    """
    from perennial.describe_endpoint import describe_endpoint  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    if remove:
        take_away(session, name, yes=yes)
        return
    found = describe_endpoint(session.ports, name)
    if session.screen.as_json:
        session.screen.document(found)
        return
    show_endpoint(session, found)


def take_away(session: Session, model: str, *, yes: bool) -> None:
    """Remove the endpoint and report what is gone."""
    from perennial.remove_endpoint import remove_endpoint  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Remove the endpoint of {model} on {session.target}?", yes=yes)
    removed = remove_endpoint(session.ports, model)
    if session.screen.as_json:
        session.screen.document(removed)
        return
    gone = ", ".join(removed.endpoints) or "no endpoint: there was none"
    session.screen.line(f"Removed: {escape(gone)}. The champion of {model} stays champion.")


def show_endpoint(session: Session, found: EndpointDescription) -> None:
    """The endpoint for people."""
    screen = session.screen
    status = found.status or "does not exist"
    good = found.status == "InService" and not found.words
    screen.line(
        f"[bold]{escape(found.endpoint)}[/]  [{'green' if good else 'yellow'}]{escape(status)}[/]"
        + (f" · {escape(found.config)}" if found.config else "")
    )
    if found.live is not None:
        since = ago(found.live.since_ms)
        screen.line(f"live: version {found.version}, by release {found.live.release}, {since}")
    if found.live is not None and found.live.kind == "multi-model":
        others = ", ".join(found.shared_with) or "no other model now"
        screen.line(f"shared with {escape(others)}")
    if found.previous is not None:
        previous = f"{found.model}: version {found.previous.version}"
        screen.line(f'back: {previous}  [dim]perennial rollback {found.model} --because "…"[/]')
    if found.open_release is not None:
        screen.line(f"release {found.open_release} is at work  [dim]perennial why {found.model}[/]")
    if found.moving:
        screen.line(escape(found.moving))
    if found.open_ab is not None:
        screen.line(f"A/B test {found.open_ab} is open  [dim]perennial ab status {found.model}[/]")
    if found.fleets:
        rows = [
            (
                each.variant,
                each.instance,
                f"{each.count} of {each.wanted}" if each.wanted else "",
                f"{each.weight:g}",
            )
            for each in found.fleets
        ]
        screen.out.print(table(("variant", "machine", "in service", "weight"), rows, right=(2, 3)))
    if found.scaling is not None:
        show_scaling(session, found.scaling)
    if found.words:
        screen.line(f"[yellow]{escape(found.words)}[/]")


def show_scaling(session: Session, found: ScalingDescription) -> None:
    """Between how many instances the endpoint has, and what was last done about it."""
    screen = session.screen
    if found.max:
        target = found.invocations_per_instance
        each = f", {target:g} requests a minute each" if target is not None else ""
        when = f", {ago(found.last_ms)}" if found.last_ms is not None else ""
        screen.line(f"scaling: {found.min} to {found.max} instances{each}")
        screen.line(f"last scaled: {escape(found.last)}{when}")
    if found.words:
        screen.line(f"[yellow]scaling: {escape(found.words)}[/]")


@click.command()
@click.argument("model")
@click.option("--version", type=int, help="Which approved version, where no endpoint serves one.")
@BECAUSE
@YES
@on_target
def adopt(session: Session, model: str, version: int | None, because: str, *, yes: bool) -> None:
    """Record what the live endpoint serves already, or an approved version, as the champion.

    For an endpoint that was made or changed by other hands, and for a version that no release
    brought into production.

    \b
    Examples:
      perennial adopt census --because "deployed before Perennial came"
      perennial adopt census --version 3 --because "used in batches only"
    """
    from perennial.adopt_endpoint import adopt_endpoint  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Record the champion of {model} on {session.target}?", yes=yes)
    adopted = adopt_endpoint(session.ports, model, version, because, session.who)
    if session.screen.as_json:
        session.screen.document(adopted)
        return
    where = f", served by {adopted.endpoint} ({adopted.config})" if adopted.config else ""
    state = "is adopted as champion" if adopted.is_new else "is the champion already"
    session.screen.line(f"[bold]{model} {adopted.version}[/] {state}{escape(where)}.")
