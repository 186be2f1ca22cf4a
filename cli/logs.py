"""`logs`: the newest lines of a function, of a run's jobs, or of one job."""

from __future__ import annotations

import re
import time

import click
from rich.markup import escape

from cli.names import one_model
from cli.output import clock
from cli.session import Session, on_target

POLL_S = 1.0
MINUTE_MS = 60_000


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FUNCTION | run N | JOB")
@click.option("--model", help="The run's model, if there are several.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@on_target
def logs(
    session: Session, what: tuple[str, ...], model: str | None, lines: int, *, follow: bool
) -> None:
    """Show log lines of a function, of all jobs of a run, or of one job.

    \b
    Examples:
      perennial logs on_signal
      perennial logs run 3 --model census
      perennial logs perennial-census-3-train-0 --follow
    """
    from perennial.tail_logs import (  # noqa: PLC0415 - boto3 costs 0.2 s
        function_source,
        job_source,
        run_sources,
        tail_logs,
    )

    words = list(what)
    if words[0] == "run" and len(words) > 1 and words[-1].isdigit():
        named = model or (words[1] if len(words) == 3 else None)
        sources = run_sources(session.ports, one_model(session, named), int(words[-1]))
    elif len(words) > 1:
        raise click.UsageError("Name one function, one job, or 'run' and a number.")
    elif re.fullmatch(r".+-(check-data|train|evaluate)-\d+", words[0]):
        sources = (job_source(words[0]),)
    else:
        sources = (function_source(session.ports, words[0].replace("-", "_").removesuffix("()")),)
    seen: set[str] = set()
    since: int | None = None
    while True:
        found = tail_logs(sources, since_ms=since, most=lines)
        fresh = [line for line in found if line.id not in seen]
        if session.screen.as_json and not follow:
            session.screen.document(fresh)
            return
        for line in fresh:
            seen.add(line.id)
            session.screen.out.print(
                f"[dim]{clock(line.at_ms)} {escape(line.stream[:48])}[/] {escape(line.text)}",
                soft_wrap=True,
            )
        if not follow:
            if not fresh:
                session.screen.line("No lines yet.")
            return
        since = max((line.at_ms for line in found), default=int(time.time() * 1000) - MINUTE_MS)
        time.sleep(POLL_S)
