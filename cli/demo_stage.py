"""The stage of every demo: its options, the local cloud, the data, and how it ends."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.markup import escape

from cli.datasets import Dataset, fetch_dataset
from cli.demo_frame import DemoSummary
from cli.deployment import build_and_deploy
from cli.errors import Refused
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import (
    ROOT,
    RunningCloud,
    find_cloud,
    port_option,
    read_clock,
    set_clock,
    start_cloud,
)
from cli.output import Screen, duration
from cli.session import Session, spoken_errors
from cli.target import DEFAULT_STACK, Target

PROJECT = "census"


Summary = TypeVar("Summary", bound=DemoSummary)


@dataclass(frozen=True)
class Stage:
    """What a story is told with."""

    session: Session
    progress: Progress
    dataset: Dataset
    cloud: RunningCloud
    folder: Path

    def project_copy(self, name: str) -> Path:
        """A copy of models/census under the name of the demo's model."""
        copy, hidden = self.folder / name, shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "models" / PROJECT, copy, ignore=hidden)
        return copy


@dataclass(frozen=True)
class Demo:
    """The options that all demos have, as somebody gave them."""

    port: int
    synthetic: bool
    as_json: bool

    def play(
        self,
        ctx: click.Context,
        title: str,
        deploy: Callable[[str, Progress], None],
        tell: Callable[[Stage], Summary],
        conclude: Callable[[Screen, Summary], None],
    ) -> None:
        """Set the stage, tell the story, and end with exit code 0 only if it went as told."""
        require_local(ctx)
        started = time.monotonic()
        screen = Screen(as_json=self.as_json)
        dataset = fetch_dataset(PROJECT, synthetic=self.synthetic)
        screen.line(f"[bold]{title}[/] · {source_words(dataset)}")
        with Progress(screen.people) as progress:
            cloud = ensure_cloud(self.port, progress)
            target = Target(stack=DEFAULT_STACK, region=cloud.region, cloud=cloud)
            target.apply(os.environ)
            with spoken_errors(target), tempfile.TemporaryDirectory() as folder:
                deploy(target.stack, progress)
                # Jobs would make it too, but nobody would see why the first one takes so long.
                jobs_python(ROOT / "models" / PROJECT, progress.now)
                session = Session(target, screen)
                summary = tell(Stage(session, progress, dataset, cloud, Path(folder)))
        spent = time.monotonic() - started
        if self.as_json:
            facts = {"seconds": round(spent, 1), "target": target.spec}
            screen.document({**summary.document(), **facts})
        else:
            conclude(screen, summary)
        for objection in summary.objections:
            screen.line(f"[red]not as told: {escape(objection)}[/]")
        screen.line(f"[bold]{duration(spent)}[/] in all · {source_words(dataset)}")
        sys.exit(1 if summary.objections else 0)


Command = TypeVar("Command", bound=Callable[..., Any])


def demo_options(command: Command) -> Command:
    """The options that all demos have: a `Demo`'s fields, and `sets`."""
    options = (
        port_option("Port, if none runs yet."),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a setting of models/census.",
        ),
        click.option(
            "--synthetic", is_flag=True, help="Use synthetic rows even where genuine ones are."
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Print a summary as one JSON document."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def require_local(ctx: click.Context) -> None:
    """Refuse every target but the local cloud."""
    asked = ctx.find_root().params.get("target") or os.environ.get("PERENNIAL_TARGET") or "local"
    if str(asked) != "local":
        raise Refused(
            f"The demo runs on the local cloud only, not on '{asked}'.", "Unset the target."
        )


def source_words(dataset: Dataset) -> str:
    """Where the rows come from; synthetic ones are shouted."""
    if dataset.genuine:
        return f"data: {escape(dataset.source)}"
    return f"[bold black on yellow] data: {escape(dataset.source)} [/]"


def ensure_cloud(port: int, progress: Progress) -> RunningCloud:
    """The local cloud that runs, else a new one."""
    progress.say("\n[bold]The local cloud[/]")
    cloud = find_cloud()
    if cloud is not None:
        progress.say(f"  [green]✓[/] runs already at {cloud.endpoint}")
        return cloud
    before = time.monotonic()

    def on_wait(seconds: float, last: str) -> None:
        progress.now(f"starting · {duration(seconds)}  [dim]{escape(last[:80])}[/]")

    cloud, _ = start_cloud(port, 1.0, on_wait)
    progress.say(
        f"  [green]✓[/] {'started':<18} {duration(time.monotonic() - before):>8}  {cloud.endpoint}"
    )
    return cloud


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
def hurried(cloud: RunningCloud, factor: float) -> Iterator[None]:
    """Let the cloud's clock go fast, and afterwards as it went before."""
    before = read_clock(cloud)
    set_clock(cloud, factor)
    try:
        yield
    finally:
        set_clock(cloud, before)


def try_next(screen: Screen, commands: list[tuple[str, str]]) -> None:
    """Commands with what each is for."""
    screen.line("\n[bold]Try next[/]")
    if shutil.which("perennial") is None:
        screen.line(f"  {'source .venv/bin/activate':<58} [dim]this shell then knows the rest[/]")
    for command, words in commands:
        screen.line(f"  {escape(command):<58} [dim]{escape(words)}[/]")
    screen.line()
