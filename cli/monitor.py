"""`monitor list|run|show`, `drift` and `label`: what watches a model in production."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from perennial.domain.ledger.monitors import found_before
from perennial.domain.monitor_windows import words
from perennial.domain.naming import MONITOR_KINDS
from rich.markup import escape

from cli.errors import CommandError, NotFound, Refused
from cli.names import one_model
from cli.output import Styled, ago, count, duration, table, until
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.describe_monitors import MonitorDescription, Watching
    from perennial.domain.ledger.monitor_rows import Earlier, WindowRow

KIND = click.option("--kind", type=click.Choice(MONITOR_KINDS), help="Which monitor.")
COLOURS = {"ALARM": "red", "OK": "green"}
POLL_S = 0.5
LONGEST_WAIT_S = 3600
NOTHING = "-"
PAGES = Path(".local") / "drift"


@click.group("monitor")
def monitor_group() -> None:
    """See the monitors of a model in production, and let one look now."""


@monitor_group.command("list")
@click.argument("model", required=False)
@on_target
def list_(session: Session, model: str | None) -> None:
    """List a model's monitors: the last window of each, its alarm, when it looks again.

    \b
    Examples:
      perennial monitor list census
      perennial monitor list census --json
    """
    from perennial.describe_monitors import describe_monitors  # noqa: PLC0415 - boto3 costs 0.2 s

    found = describe_monitors(session.ports, one_model(session, model), most=1)
    if session.screen.as_json:
        session.screen.document(found)
        return
    show_monitors(session, found)


@monitor_group.command()
@click.argument("model")
@KIND
@click.option("--wait/--no-wait", default=True, help="Wait for the finding (default).")
@on_target
def run(session: Session, model: str, kind: str | None, *, wait: bool) -> None:
    """Judge the traffic up to now, without waiting for the schedule.

    The window begins where the last one ended; the next one begins where this one ends. Without
    --kind every monitor of the model looks. Labels that are not there yet are not waited for.
    With providers.monitor sagemaker, a schedule of SageMaker's that runs once looks.

    \b
    Examples:
      perennial monitor run census --kind bias
      perennial monitor run census
    """
    from perennial.aws import functions  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.describe_monitors import describe_monitors  # noqa: PLC0415 - as above

    known = [each.kind for each in describe_monitors(session.ports, model, most=1).monitors]
    kinds = [kind] if kind else known
    if not kinds or (kind and kind not in known):
        raise no_monitors(model, kind)
    asked = {}
    for each in kinds:
        event = {"perennial": "monitor", "model": model, "monitor": each, "by": session.who}
        asked[each] = functions.ask(session.ports.deployment.monitor_due_arn, event)
        session.screen.line(f"[bold]{each}[/]  {escape(asked[each]['words'])}")
    ended = {each: follow(session, model, each, said) for each, said in asked.items() if wait}
    if session.screen.as_json:
        session.screen.document({"asked": asked, "windows": ended})
    for window in ended.values():
        if window is not None and window.state == "failed":
            raise CommandError(
                f"The {window.kind} monitor failed: {window.words}.",
                f"Look at: perennial logs {window.job}; perennial monitor list {model}",
            )


@monitor_group.command()
@click.argument("model")
@KIND
@click.option("--end", "end_ms", type=int, help="The window that ends then (ms since 1970).")
@on_target
def show(session: Session, model: str, kind: str | None, end_ms: int | None) -> None:
    """Show what one window of a monitor found, all of it.

    \b
    Examples:
      perennial monitor show census --kind data-quality
      perennial monitor show census --kind bias --json
    """
    from perennial.describe_monitors import (  # noqa: PLC0415 - boto3 costs 0.2 s
        describe_monitors,
        find_window,
        read_report_of,
    )

    known = [each.kind for each in describe_monitors(session.ports, model, most=1).monitors]
    if kind is None and len(known) != 1:
        raise Refused(f"{model} has {count(len(known), 'monitor')}.", "Name one with --kind.")
    window = find_window(session.ports, model, kind or known[0], end_ms)
    report = read_report_of(session.ports, window)
    if session.screen.as_json:
        session.screen.document({"window": window, "report": report})
        return
    show_window(session, window)
    show_report(session, report)


@click.command()
@click.argument("model", required=False)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the report page  [default: .local/drift/<model>.html]",
)
@on_target
def drift(session: Session, model: str | None, page: Path | None) -> None:
    """Show what drifted, as a table and as a page with pictures.

    The page stands alone: one file, no scripts, nothing from elsewhere.

    \b
    Examples:
      perennial drift census
      perennial drift census --page census.html
    """
    from perennial.read_drift import read_drift  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    found = read_drift(session.ports, name)
    if session.screen.as_json:
        session.screen.document(found.watching)
    else:
        show_monitors(session, found.watching)
        for each in found.watching.monitors:
            if each.last_seen is not None and each.last_seen.violations:
                show_window(session, each.last_seen)
                show_violations(session, found.reports[each.kind])
    path = page or PAGES / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.page(), encoding="utf-8")
    session.screen.line(f"page  {escape(str(path))}")


@click.command()
@click.argument("model")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@on_target
def label(session: Session, model: str, file: Path) -> None:
    """Send what was right, once it is known: delayed labels of captured requests.

    FILE has a line for each request: its id (what the answer, or the caller as inference id,
    called it) and its label, as CSV; several rows of one request are labels in order. Or it holds
    JSON lines of ground truth as SageMaker Model Monitor reads them.

    \b
    Examples:
      perennial label census labels.csv
      perennial label census ground-truth.jsonl
    """
    from perennial.domain.ground_truth import LabelsInvalid, read_label_file  # noqa: PLC0415
    from perennial.send_labels import allowed_labels, send_labels  # noqa: PLC0415 - boto3

    allowed = allowed_labels(session.ports, model)
    try:
        labels = read_label_file(file.read_text("utf-8"), allowed=allowed)
    except (LabelsInvalid, UnicodeDecodeError) as error:
        raise Refused(
            f"{file}: {error}.", "Nothing was sent; mend the file and send it again."
        ) from error
    sent = send_labels(session.ports, model, labels)
    if session.screen.as_json:
        session.screen.document(sent)
        return
    session.screen.line(
        f"sent {count(sent.labels, 'label')} of {count(sent.requests, 'request')} of {model}"
    )
    if not sent.is_learned:
        session.screen.line(
            "[dim]monitors read them; add labelled-traffic to data.sources for runs to learn "
            "from them, too[/]"
        )


def follow(session: Session, model: str, kind: str, said: dict[str, Any]) -> WindowRow | None:
    """Wait for the window that was asked for, and tell what it found."""
    from perennial.describe_monitors import (  # noqa: PLC0415 - boto3 costs 0.2 s
        find_window,
        window_by_schedule,
    )

    if "end_ms" not in said and "schedule" not in said:
        return None
    deadline = time.monotonic() + LONGEST_WAIT_S
    while True:
        window = (
            find_window(session.ports, model, kind, int(said["end_ms"]))
            if "end_ms" in said
            else window_by_schedule(session.ports, model, kind, said["schedule"])
        )
        if window is not None and window.state != "open":
            break
        if time.monotonic() > deadline:
            name = window.job if window is not None else said["schedule"]
            raise CommandError(f"{name} did not end within an hour.")
        time.sleep(POLL_S)
    show_window(session, window)
    return window


def show_monitors(session: Session, found: Watching) -> None:
    """One line a monitor."""
    if not found.monitors:
        raise no_monitors(found.model, None)
    if found.version is None:
        session.screen.line(f"{found.model}: nothing is live, so there is no traffic to watch")
    else:
        session.screen.line(
            f"[bold]{found.model} {found.version}[/], live since {ago(found.since_ms)}"
        )
    rows = [monitor_row(each) for each in found.monitors]
    heads = ("monitor", "every", "alarm", "last window", "rows", "worst", "next")
    session.screen.out.print(table(heads, rows, right=(4,)))


def monitor_row(each: MonitorDescription) -> tuple[object, ...]:
    """The cells of one monitor."""
    last = each.last
    state = f"[{COLOURS.get(each.alarm, 'dim')}]{each.alarm}[/]"
    if each.blind == "ALARM":
        state += " [yellow]blind[/]"
    return (
        each.kind,
        duration(each.every),
        Styled(state),
        words(last.start_ms, last.end_ms) if last else NOTHING,
        f"{last.rows:,}" if last else NOTHING,
        (last.words or last.state) if last else NOTHING,
        "at work"
        if last and last.state == "open"
        else until(each.due_ms)
        if each.due_ms
        else NOTHING,
    )


def show_window(session: Session, window: WindowRow) -> None:
    """What one window found, in two lines."""
    span = words(window.start_ms, window.end_ms)
    found = found_before(window)
    colour = "red" if found.violations else "yellow" if found.is_blind else "green"
    state = count(found.violations, "violation") if not found.is_blind else window.state
    labelled = f", {window.labelled:,} labelled" if window.labelled else ""
    session.screen.line(
        f"{window.kind} of {window.model} {window.version} in {span}: [{colour}]{state}[/]"
        f" · {window.rows:,} rows{labelled}"
    )
    if window.words:
        session.screen.line(f"  {escape(window.words)}")
    for each in window.earlier:
        session.screen.line(f"  [dim]{escape(earlier_words(each, window))}[/]")


def earlier_words(each: Earlier, window: WindowRow) -> str:
    """How another version did on the window's labelled rows, beside the one that answered."""
    if each.words:
        return f"version {each.version} was not scored: {each.words}"
    if not each.gain:
        waits = "is being scored" if window.labelled else "is not scored without labels"
        return f"version {each.version} {waits}"
    gain = float(each.gain)
    way = f"{abs(gain):.3g} {'less' if gain > 0 else 'more'} than" if gain else "as much as"
    return f"version {each.version} errs {way} version {window.version} on the labelled rows"


def show_report(session: Session, report: Any) -> None:
    """Violations, figures and notes of a report."""
    show_violations(session, report)
    figures = [
        (each["name"], ", ".join(each.get("dimensions", {}).values()), f"{each['value']:.4g}")
        for each in report.get("metrics", [])
    ]
    if figures:
        session.screen.out.print(table(("figure", "", "value"), figures, right=(2,)))
    for note in report.get("notes", []):
        session.screen.line(f"[dim]{escape(str(note))}[/]")


def show_violations(session: Session, report: Any) -> None:
    """What broke its bound, in words."""
    for each in report.get("violations", []):
        session.screen.line(f"  [red]✗[/] {escape(str(each.get('words', each.get('name'))))}")


def no_monitors(model: str, kind: str | None) -> NotFound:
    """The error of a model that is not watched, or not so."""
    which = f"no {kind} monitor" if kind else "no monitors"
    hint = "Add the section monitor to model.yaml (docs/monitors.md), and push."
    return NotFound(f"{model} has {which}.", hint)
