"""`demo-drift`: traffic drifts, its monitors notice, the model is retrained and released, told."""

from __future__ import annotations

import os
import sys
import tempfile
import time
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
from cli.demo_drift_story import FACTOR, DriftStory, DriftSummary
from cli.demo_release import ensure_stack, hurried
from cli.demo_story import free_name
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import ROOT
from cli.output import Screen, duration, table
from cli.session import Session, spoken_errors
from cli.target import DEFAULT_STACK, Target


@click.command("demo-drift")
@PORT_OPTION
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting of the demo."
)
@click.option("--synthetic", is_flag=True, help="Use synthetic rows even where genuine ones are.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document.")
@click.pass_context
def demo_drift(
    ctx: click.Context, port: int, sets: tuple[str, ...], *, synthetic: bool, as_json: bool
) -> None:
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
    require_local(ctx)
    started = time.monotonic()
    screen = Screen(as_json=as_json)
    dataset = fetch_dataset(PROJECT, synthetic=synthetic)
    screen.line(f"[bold]Perennial: a model that follows its traffic[/] · {source_words(dataset)}")
    with Progress(screen.people) as progress:
        cloud = ensure_cloud(port, progress)
        target = Target(stack=DEFAULT_STACK, region=cloud.region, cloud=cloud)
        target.apply(os.environ)
        with spoken_errors(target), tempfile.TemporaryDirectory() as folder:
            ensure_stack(target.stack, progress)
            jobs_python(ROOT / "models" / PROJECT, progress.now)
            story = DriftStory(Session(target, screen), progress, dataset, sets)
            with hurried(cloud, FACTOR):
                summary = story.tell(
                    free_name(story.session), lambda name: project_copy(name, Path(folder))
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
