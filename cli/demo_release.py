"""`demo-release`: releases that cannot hurt, told line by line while clients never stop asking."""

from __future__ import annotations

from typing import Any

import click

from cli.demo_release_story import FACTOR, ReleaseStory
from cli.demo_release_summary import ReleaseSummary
from cli.demo_stage import Demo, Stage, demo_options, ensure_stack, hurried, try_next
from cli.demo_story import free_name
from cli.output import Screen


@click.command("demo-release")
@demo_options
@click.pass_context
def demo_release(ctx: click.Context, /, sets: tuple[str, ...], **asked: Any) -> None:
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

    def tell(stage: Stage) -> ReleaseSummary:
        told = ReleaseStory(stage.session, stage.progress, stage.dataset, sets)
        with hurried(stage.cloud, FACTOR):
            return told.tell(free_name(stage.session), stage.project_copy)

    Demo(**asked).play(ctx, "Perennial: a release that cannot hurt", ensure_stack, tell, conclude)


def conclude(screen: Screen, summary: ReleaseSummary) -> None:
    """The table of releases, and the commands to try next."""
    screen.line("\n[bold]What happened[/]")
    screen.out.print(summary.table())
    try_next(screen, summary.next_commands())
