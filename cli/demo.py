"""`demo`: the whole loop on real data, told line by line from the answers of the running stack."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.markup import escape

from cli.datasets import Dataset, fetch_dataset
from cli.demo_story import Story
from cli.demo_summary import Summary
from cli.deployment import build_and_deploy
from cli.errors import Refused
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import DEFAULT_PORT, PORT, ROOT, RunningCloud, find_cloud, start_cloud
from cli.output import Screen, duration
from cli.session import Session, spoken_errors
from cli.target import DEFAULT_STACK, Target

PROJECT = "census"


PORT_OPTION = click.option(
    "--port",
    default=DEFAULT_PORT,
    type=PORT,
    envvar="PERENNIAL_PORT",
    show_envvar=True,
    show_default=True,
    help="Port, if none runs yet.",
)


@click.command()
@PORT_OPTION
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting of models/census."
)
@click.option(
    "--cards",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".local" / "cards",
    show_default=".local/cards",
    help="Folder for the model cards.",
)
@click.option("--synthetic", is_flag=True, help="Use synthetic rows even where genuine ones are.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document.")
@click.pass_context
def demo(  # noqa: PLR0913  # one argument an option
    ctx: click.Context,
    port: int,
    sets: tuple[str, ...],
    cards: Path,
    *,
    synthetic: bool,
    as_json: bool,
) -> None:
    """Show the whole loop on the local cloud with the genuine UCI Adult data.

    Starts the local cloud if none runs, builds and deploys the stack, pushes the census model,
    lands data, and follows each run to its verdict: a first champion (a damaged file beside its
    data is quarantined), a candidate that beats it, and one that loses to that. The cards of
    winner and loser are written to a folder. A model that is there already is left alone.

    \b
    Examples:
      perennial demo
      perennial demo --set gates.auc.min=0.999     # a gate that no candidate reaches
    """
    require_local(ctx)
    started = time.monotonic()
    screen = Screen(as_json=as_json)
    dataset = fetch_dataset(PROJECT, synthetic=synthetic)
    screen.line(f"[bold]Perennial demo[/] · {source_words(dataset)}")
    with Progress(screen.people) as progress:
        cloud = ensure_cloud(port, progress)
        target = Target(stack=DEFAULT_STACK, region=cloud.region, cloud=cloud)
        target.apply(os.environ)
        with spoken_errors(target), tempfile.TemporaryDirectory() as folder:
            build_and_deploy(target.stack, progress)
            # Jobs would make it too, but nobody would see why the first one takes so long.
            jobs_python(ROOT / "models" / PROJECT, progress.now)
            session = Session(target, screen)
            story = Story(session, progress, dataset, sets, cards=cards.resolve())
            summary = story.tell(lambda name: project_copy(name, Path(folder)))
    spent = time.monotonic() - started
    if as_json:
        screen.document({**summary.document(), "seconds": round(spent, 1), "target": target.spec})
    else:
        conclude(screen, summary)
    screen.line(f"[bold]{duration(spent)}[/] in all · {source_words(dataset)}")
    sys.exit(0 if summary.went_well else 1)


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


def project_copy(name: str, folder: Path) -> Path:
    """A copy of models/census under the name of the demo's model."""
    copy = folder / name
    shutil.copytree(ROOT / "models" / PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def conclude(screen: Screen, summary: Summary) -> None:
    """The table of what happened, and the commands to try next."""
    screen.line("\n[bold]What happened[/]")
    screen.out.print(summary.table())
    champion = f"version {summary.champion}" if summary.champion else "none"
    screen.line(f"\nchampion of {summary.model}: [bold]{champion}[/]")
    try_next(screen, summary.next_commands())


def try_next(screen: Screen, commands: list[tuple[str, str]]) -> None:
    """Commands with what each is for."""
    screen.line("\n[bold]Try next[/]")
    if shutil.which("perennial") is None:
        screen.line(f"  {'source .venv/bin/activate':<58} [dim]this shell then knows the rest[/]")
    for command, words in commands:
        screen.line(f"  {escape(command):<58} [dim]{escape(words)}[/]")
    screen.line()
