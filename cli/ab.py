"""`ab start|shift|status|stop`: a challenger beside the live version of a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import click
from rich.markup import escape

from cli.errors import CommandError, Usage
from cli.names import one_model
from cli.output import ago, count, table
from cli.release import BECAUSE, YES, opened
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.advance_ab import AbAdvance
    from perennial.describe_ab import AbDescription
    from perennial.domain.ab_report import VariantFigures
    from perennial.domain.ledger.ab_rows import AbOutcome

SHARE = re.compile(r"(\d{1,3}(?:\.\d)?)%")
MOST_INSTANCES = 100
#: A new fleet takes minutes on AWS; what is not done then, the sweeper and a repetition go on with.
PATIENCE_S = 1800.0
NOTHING = "-"


@click.group("ab")
def ab_group() -> None:
    """Test a version against the live one, on a part of the real traffic."""


@ab_group.command()
@click.argument("model")
@click.option("--version", type=int, required=True, help="Which version is the challenger.")
@click.option(
    "--share", default="10%", show_default=True, help="Its part of the traffic, 0% to 50%."
)
@click.option(
    "--instances",
    type=click.IntRange(1, MOST_INSTANCES),
    help="Machines of the challenger (default: as many as main's configuration has).",
)
@BECAUSE
@YES
@on_target
def start(  # noqa: PLR0913  # each is an option
    session: Session,
    model: str,
    version: int,
    share: str,
    because: str,
    *,
    instances: int | None,
    yes: bool,
) -> None:
    """Let a version join the live one as `challenger`, at no weight, then at its share.

    Releases wait until the test has ended. An alarm on the challenger's errors or latency takes
    its traffic away.

    \b
    Examples:
      perennial ab start census --version 8 --because "newer data"
      perennial ab start census --version 8 --share 25% --instances 1 --because "is it worth it?"
    """
    from perennial.start_ab import start_test  # noqa: PLC0415 - boto3 costs 0.2 s

    permille = parse_share(share)
    what = f"Send {share} of the requests of {model} to version {version} on {session.target}?"
    session.confirm(what, yes=yes)
    done = start_test(
        session.ports,
        model,
        version,
        permille,
        because=because,
        by=session.who,
        instances=instances,
        patience_s=PATIENCE_S,
        tell=teller(session),
    )
    tell_advance(session, done)


@ab_group.command()
@click.argument("model")
@click.option("--share", required=True, help="The challenger's part of the traffic, 0% to 50%.")
@BECAUSE
@YES
@on_target
def shift(session: Session, model: str, share: str, because: str, *, yes: bool) -> None:
    """Give the challenger another part of the traffic.

    \b
    Examples:
      perennial ab shift census --share 50% --because "no errors for a day"
    """
    from perennial.shift_ab import shift_test  # noqa: PLC0415 - boto3 costs 0.2 s

    permille = parse_share(share)
    session.confirm(f"Send {share} of {model} to its challenger on {session.target}?", yes=yes)
    done = shift_test(
        session.ports,
        model,
        permille,
        because=because,
        by=session.who,
        patience_s=PATIENCE_S,
        tell=teller(session),
    )
    tell_advance(session, done)


@ab_group.command()
@click.argument("model")
@click.option(
    "--winner",
    type=click.Choice(["challenger", "main"]),
    help="Who won; a challenger that did is released as main. Without it: undecided.",
)
@BECAUSE
@YES
@on_target
def stop(session: Session, model: str, winner: str | None, because: str, *, yes: bool) -> None:
    """End the test: back to main alone. A challenger that won is then released, under its guards.

    A challenger that waits for approval is approved by winning.

    \b
    Examples:
      perennial ab stop census --winner challenger --because "better by 2 points"
      perennial ab stop census --because "nobody sends labels"
    """
    from perennial.stop_ab import stop_test  # noqa: PLC0415 - boto3 costs 0.2 s

    outcome = cast("AbOutcome", winner or "undecided")
    session.confirm(f"End the A/B test of {model} on {session.target}?", yes=yes)
    done = stop_test(
        session.ports,
        model,
        outcome,
        because=because,
        by=session.who,
        patience_s=PATIENCE_S,
        tell=teller(session),
    )
    if session.screen.as_json:
        session.screen.document(done)
        refuse_unfinished(done.advance)
        return
    tell_advance(session, done.advance)
    if done.release is not None:
        opened(session, model, done.release)


@ab_group.command()
@click.argument("model", required=False)
@on_target
def status(session: Session, model: str | None) -> None:
    """Show the open test, else the last one: both variants in figures, and what they mean.

    You may look as often as you like: the test behind the words allows for it. Of two versions
    that do not differ, at most one test in twenty ever says that they do.

    \b
    Examples:
      perennial ab status census
      perennial ab status census --json
    """
    from perennial.describe_ab import describe_ab  # noqa: PLC0415 - boto3 costs 0.2 s

    found = describe_ab(session.ports, one_model(session, model))
    if session.screen.as_json:
        session.screen.document(found)
        return
    show_test(session, found)


def parse_share(text: str) -> int:
    """A share like `10%` in thousandths; in steps of a tenth of a percent."""
    match = SHARE.fullmatch(text.strip())
    permille = round(float(match[1]) * 10) if match else -1
    if not 0 <= permille <= 500:
        raise Usage(f"--share is {text!r}.", "Give a percentage from 0% to 50%, like 10% or 2.5%.")
    return permille


def teller(session: Session) -> Callable[[str], None]:
    """Says what is waited for, once each."""
    said: set[str] = set()

    def tell(words: str) -> None:
        if words not in said:
            said.add(words)
            session.screen.line(f"[dim]{escape(words)} …[/]")

    return tell


def tell_advance(session: Session, done: AbAdvance) -> None:
    """Report where the test stands; a test that failed, or is not done in time, is an error."""
    if session.screen.as_json:
        session.screen.document(done)
    refuse_unfinished(done)
    if session.screen.as_json:
        return
    if done.ended is not None:
        name = f"A/B test {done.ended.number} of [bold]{escape(done.model)}[/]"
        session.screen.line(f"{name} has ended.")
        return
    for words in (*done.told, done.words):
        session.screen.line(f"[bold]{escape(done.model)}[/]: {escape(words)}.")
    session.screen.line(f"[dim]next:[/]  perennial ab status {done.model}")


def refuse_unfinished(done: AbAdvance) -> None:
    """Raise `CommandError` for a test that failed, or that is not as it was asked to be yet."""
    ended = done.ended
    if ended is not None and ended.outcome == "failed":
        raise CommandError(
            f"A/B test {ended.number} of {done.model} has ended: {ended.words}",
            f"perennial endpoint {done.model}",
        )
    if not done.is_at_rest:
        raise CommandError(
            f"{done.model}: {done.words}; it is not done yet.",
            f"perennial ab status {done.model}, or the same command again",
        )


def show_test(session: Session, found: AbDescription) -> None:
    """The test for people."""
    screen, test = session.screen, found.test
    state = test.state if found.is_open else f"ended {ago(test.ended_ms or 0)}"
    screen.line(
        f"[bold]A/B test {test.number} of {escape(found.model)}[/]  {state} · opened "
        f"{ago(test.opened_ms)}"
        + (f" by {escape(test.by)}" if test.by else "")
        + (f": {escape(test.because)}" if test.because else "")
    )
    if found.is_open:
        screen.line(
            f"{escape(test.endpoint)} is {found.status or 'gone'}; the challenger gets "
            f"{found.permille / 10:g}% of the traffic"
        )
    rows = [row_of(each, is_error=found.report.is_error) for each in found.report.variants]
    columns = ("variant", "version", "requests", "failed", "latency", "worst p99", "labelled")
    last = "abs. error" if found.report.is_error else "right"
    screen.out.print(table((*columns, last), rows, right=range(1, 8)))
    for words in found.report.words:
        screen.line(escape(words))
    for share in test.shares[1:]:
        who = f"{share.by}: {share.because}" if share.because else share.by
        screen.line(f"[dim]{ago(share.at_ms)}: {share.permille / 10:g}%, {escape(who)}[/]")
    if found.skipped:
        screen.line(f"[yellow]{count(found.skipped, 'line')} could not be read[/]")
    if found.part < 1:
        screen.line(f"[yellow]{found.part:.0%} of the captured files were read, by chance[/]")


def row_of(each: VariantFigures, *, is_error: bool) -> tuple[str, ...]:
    """One variant as a row of the table."""
    quality = NOTHING
    if each.quality is not None:
        quality = f"{each.quality:.4g}" if is_error else f"{each.quality:.1%}"
    return (
        each.variant,
        str(each.version),
        f"{each.requests:,}",
        f"{each.errors:,}",
        NOTHING if each.latency_ms is None else f"{each.latency_ms:.1f} ms",
        NOTHING if each.worst_p99_ms is None else f"{each.worst_p99_ms:.1f} ms",
        f"{each.labelled:,}",
        quality,
    )
