"""`demo-release`: releases that cannot hurt, told line by line while clients never stop asking."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.markup import escape

from cli.datasets import fetch_dataset
from cli.demo import (
    PORT_OPTION,
    PROJECT,
    ensure_cloud,
    project_copy,
    require_local,
    source_words,
    try_next,
)
from cli.demo_release_story import FACTOR, ReleaseStory
from cli.demo_release_summary import ReleaseSummary
from cli.demo_story import free_name
from cli.deployment import build_and_deploy
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import ROOT, RunningCloud, read_clock, set_clock
from cli.output import Screen, duration
from cli.session import Session, spoken_errors
from cli.target import DEFAULT_STACK, Target


@click.command("demo-release")
@PORT_OPTION
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting of the demo."
)
@click.option("--synthetic", is_flag=True, help="Use synthetic rows even where genuine ones are.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document.")
@click.pass_context
def demo_release(
    ctx: click.Context, port: int, sets: tuple[str, ...], *, synthetic: bool, as_json: bool
) -> None:
    """Show how versions reach production, on the local cloud with the genuine UCI Adult data.

    A first version is approved, tested on a staging endpoint and goes live. From then on clients
    ask for predictions without a pause. A better version takes over by canary. A third one passes
    every test and is slow in production: its alarm goes off and production rolls back by itself.
    Exit code 0 only if all of this was seen and no prediction failed. The model gets a name that
    is free; the local cloud's clock goes faster until the demo ends.

    \b
    Examples:
      perennial demo-release
      perennial demo-release --set release.share=20%
    """
    require_local(ctx)
    started = time.monotonic()
    screen = Screen(as_json=as_json)
    dataset = fetch_dataset(PROJECT, synthetic=synthetic)
    screen.line(f"[bold]Perennial: a release that cannot hurt[/] · {source_words(dataset)}")
    with Progress(screen.people) as progress:
        cloud = ensure_cloud(port, progress)
        target = Target(stack=DEFAULT_STACK, region=cloud.region, cloud=cloud)
        target.apply(os.environ)
        with spoken_errors(target), tempfile.TemporaryDirectory() as folder:
            ensure_stack(target.stack, progress)
            jobs_python(ROOT / "models" / PROJECT, progress.now)
            session = Session(target, screen)
            story = ReleaseStory(session, progress, dataset, sets)
            with hurried(cloud):
                summary = story.tell(
                    free_name(session), lambda name: project_copy(name, Path(folder))
                )
    spent = time.monotonic() - started
    if as_json:
        screen.document({**summary.document(), "seconds": round(spent, 1), "target": target.spec})
    else:
        conclude(screen, summary)
    for objection in summary.objections:
        screen.line(f"[red]not as told: {escape(objection)}[/]")
    screen.line(f"[bold]{duration(spent)}[/] in all · {source_words(dataset)}")
    sys.exit(0 if summary.went_well else 1)


def ensure_stack(stack: str, progress: Progress) -> None:
    """The stack as it is deployed, else a new one."""
    from perennial.aws.stacks import describe_stack  # noqa: PLC0415 - boto3 costs 0.2 s

    if describe_stack(stack) is None:
        build_and_deploy(stack, progress)
    else:
        progress.say(
            f"  [green]✓[/] stack {stack} is deployed already  [dim]make up deploys it anew[/]"
        )


@contextmanager
def hurried(cloud: RunningCloud, factor: float = FACTOR) -> Iterator[None]:
    """Let the cloud's clock go fast, and afterwards as it went before."""
    before = read_clock(cloud)
    set_clock(cloud, factor)
    try:
        yield
    finally:
        set_clock(cloud, before)


def conclude(screen: Screen, summary: ReleaseSummary) -> None:
    """The table of releases, and the commands to try next."""
    screen.line("\n[bold]What happened[/]")
    screen.out.print(summary.table())
    try_next(screen, summary.next_commands())
