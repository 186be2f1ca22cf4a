"""`demo-drift`: traffic drifts, its monitors notice, the model is retrained and released, told."""

from __future__ import annotations

from typing import Any

import click

from cli.demo_drift_story import FACTOR, DriftStory, DriftSummary
from cli.demo_stage import Demo, Stage, demo_options, ensure_stack, hurried, try_next
from cli.demo_story import free_name
from cli.output import Screen, table


@click.command("demo-drift")
@demo_options
@click.pass_context
def demo_drift(ctx: click.Context, /, sets: tuple[str, ...], **asked: Any) -> None:
    """Show a model that follows its traffic, on the local cloud with the genuine UCI Adult data.

    A first version goes live. Then only older people ask: the data-quality monitor notices without
    any label. Then the relation itself changes: the model-quality monitor notices by delayed
    labels. Each time the alarm of the monitor, from its own metric, opens a run with that evidence;
    the new champion is released, and the alarm goes back to OK. It ends with the share of right
    answers over time, with Perennial and by the first champion on the very same rows. Exit code 0
    only if all of this was seen.

    \b
    Examples:
      perennial demo-drift
      perennial demo-drift --json
    """

    def tell(stage: Stage) -> DriftSummary:
        told = DriftStory(stage.session, stage.progress, stage.dataset, sets)
        with hurried(stage.cloud, FACTOR):
            return told.tell(free_name(stage.session), stage.project_copy)

    Demo(**asked).play(
        ctx, "Perennial: a model that follows its traffic", ensure_stack, tell, conclude
    )


def conclude(screen: Screen, summary: DriftSummary) -> None:
    """The share of right answers over time, and the commands to try next."""
    screen.line("\n[bold]Right answers over time[/]")
    rows = [
        (
            each.name,
            f"{len(each.rows):,}",
            ", ".join(map(str, each.versions)),
            f"{each.accuracy:.1%}",
            f"{each.first_accuracy:.1%}",
        )
        for each in summary.phases
    ]
    heads = ("traffic", "rows", "version", "with Perennial", "first champion alone")
    screen.out.print(table(heads, rows, right=(1, 3, 4)))
    model = summary.model
    try_next(
        screen,
        [
            (f"perennial drift {model}", "a table, and a page with pictures"),
            (f"perennial monitor show {model} --kind model-quality", "what the last window had"),
            (f"perennial runs {model}", "each run, and why it began"),
        ],
    )
