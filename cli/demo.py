"""`demo`: the whole loop on real data, told line by line from the answers of the running stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.demo_stage import Demo, Stage, demo_options, try_next
from cli.demo_story import Story
from cli.demo_summary import Summary
from cli.deployment import build_and_deploy
from cli.local_cloud import ROOT
from cli.output import Screen


@click.command()
@demo_options
@click.option(
    "--cards",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".local" / "cards",
    show_default=".local/cards",
    help="Folder for the model cards.",
)
@click.pass_context
def demo(ctx: click.Context, /, sets: tuple[str, ...], cards: Path, **asked: Any) -> None:
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

    def tell(stage: Stage) -> Summary:
        told = Story(stage.session, stage.progress, stage.dataset, sets, cards=cards.resolve())
        return told.tell(stage.project_copy)

    Demo(**asked).play(ctx, "Perennial demo", build_and_deploy, tell, conclude)


def conclude(screen: Screen, summary: Summary) -> None:
    """The table of what happened, and the commands to try next."""
    screen.line("\n[bold]What happened[/]")
    screen.out.print(summary.table())
    champion = f"version {summary.champion}" if summary.champion else "none"
    screen.line(f"\nchampion of {summary.model}: [bold]{champion}[/]")
    try_next(screen, summary.next_commands())
