"""`logs`: the newest lines of a function, of a run's jobs, or of one job or endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from cli.names import one_model
from cli.output import clock
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.aws.log_groups import LogLine

# What Lambda writes around each invocation, and the fields that every structured entry carries.
FRAME = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START")
KNOWN = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "cold_start", "function_name"),
        *("function_memory_size", "function_arn", "function_request_id", "xray_trace_id"),
    }
)
FRAMED = 8  # an invocation that says one thing has at most so many lines around it
POLL_S = 1.0
MINUTE_MS = 60_000


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FUNCTION | run N | JOB | ENDPOINT")
@click.option("--model", help="The run's model, if there are several.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--raw", is_flag=True, help="Every line as it was written.")
@on_target
def logs(  # noqa: PLR0913 - one argument an option
    session: Session,
    what: tuple[str, ...],
    model: str | None,
    lines: int,
    *,
    follow: bool,
    raw: bool,
) -> None:
    """Show log lines of a function, of all jobs of a run, of one job or of an endpoint.

    \b
    Examples:
      perennial logs on_signal
      perennial logs run 3 --model census
      perennial logs perennial-census-3-train-0 --follow
      perennial logs perennial-live-census
    """
    from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.tail_logs import (  # noqa: PLC0415 - as above
        function_source,
        is_work_of,
        run_sources,
        tail_logs,
        work_sources,
    )

    words = list(what)
    if words[0] == "run" and len(words) in {2, 3} and words[-1].isdigit():
        named = model or (words[1] if len(words) == 3 else None)
        run = describe_run(session.ports, one_model(session, named), int(words[-1]))
        sources = run_sources(session.ports, run.model, run.number)
    elif len(words) > 1 or words[0] == "run":
        raise click.UsageError("Name one function, job or endpoint, or 'run' and a number.")
    elif is_work_of(session.ports, words[0]):
        sources = work_sources(words[0])
    else:
        sources = (function_source(session.ports, words[0].replace("-", "_").removesuffix("()")),)
    most = lines if raw or session.screen.as_json else lines * FRAMED
    show(
        session,
        lambda since: tail_logs(sources, since_ms=since, most=most),
        lines,
        follow=follow,
        raw=raw,
    )


def show(
    session: Session,
    read: Callable[[int | None], Sequence[LogLine]],
    most: int,
    *,
    follow: bool,
    raw: bool,
) -> None:
    """Print the newest of what `read` finds; with `follow`, again and again, each line once."""
    seen: set[str] = set()
    since: int | None = None
    while True:
        found = read(since)
        fresh = [line for line in found if line.id not in seen]
        seen.update(line.id for line in fresh)
        if session.screen.as_json and not follow:
            session.screen.document(fresh)
            return
        told = [(line, escape(line.text) if raw else readable(line.text)) for line in fresh]
        for line, text in [pair for pair in told if pair[1]][-most:]:
            session.screen.out.print(
                f"[dim]{clock(line.at_ms)} {escape(source_name(line))}[/] {text}",
                soft_wrap=True,
            )
        if not follow:
            if not any(text for _, text in told):
                session.screen.line("No lines yet.")
            return
        since = max((line.at_ms for line in found), default=int(time.time() * 1000) - MINUTE_MS)
        time.sleep(POLL_S)


def source_name(line: LogLine) -> str:
    """Which job, or which worker of a function, wrote the line."""
    job, _, worker = line.stream.partition("/algo")
    return job if worker else line.stream[-6:]


def readable(text: str) -> str:
    """A line for people: Lambda's frame and metrics are left out, entries become words."""
    if text.startswith(FRAME):
        return ""
    try:
        entry = json.loads(text)
    except ValueError:
        return escape(text)
    if not isinstance(entry, dict) or "message" not in entry:
        # A line with `_aws` is a metric on its way to CloudWatch.
        return "" if isinstance(entry, dict) and "_aws" in entry else escape(text)
    level = str(entry.get("level", ""))
    colour = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}.get(level, "default")
    facts = " ".join(f"{key}={value}" for key, value in entry.items() if key not in KNOWN)
    return f"[{colour}]{level:<7}[/] {escape(str(entry['message']))} [dim]{escape(facts)}[/]"
