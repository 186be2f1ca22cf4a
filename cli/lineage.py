"""`lineage`: everything that a version came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.markup import escape

from cli.output import clock, count, size, table
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.describe_lineage import Lineage

MOST_OBJECTS = 12


@click.command()
@click.argument("model")
@click.argument("version", type=int)
@on_target
def lineage(session: Session, model: str, version: int) -> None:
    """Show what a version came from: every object version, code, settings, image, jobs.

    \b
    Examples:
      perennial lineage census 1
      perennial lineage census 1 --json
    """
    from perennial.describe_lineage import describe_lineage  # noqa: PLC0415 - boto3 costs 0.2 s

    found = describe_lineage(session.ports, model, version)
    if session.screen.as_json:
        session.screen.document(found)
    else:
        show(session, found)


def show(session: Session, found: Lineage) -> None:
    """Print a lineage as a page."""
    screen = session.screen
    screen.line(
        f"[bold]{found.model} {found.version}[/] · {found.status}"
        f" · registered {clock(found.registered_ms)} by run {found.run}"
    )
    facts = (
        ("package", found.arn),
        ("because", "; ".join(found.because)),
        ("settings", f"version {found.settings}" + overrides_words(found)),
        ("code", f"{found.code}"),
        ("code sha", found.code_sha),
        ("image", found.image),
        ("artifact", found.artifact),
        ("digest", found.artifact_digest),
        ("verdict", found.verdict),
        ("manifest", found.manifest),
        ("approval", found.approval),
    )
    for name, value in facts:
        if value:
            screen.line(f"{name:<10}{escape(value)}")
    screen.line()
    screen.out.print(
        table(("step", "job", "status"), [(j.kind, j.name, j.status) for j in found.jobs])
    )
    screen.line()
    total = sum(item.size for item in found.objects)
    out = sum(bool(item.left_out) for item in found.objects)
    words = f"; from {out} of them nothing was learned" if out else ""
    screen.line(f"[bold]{count(len(found.objects), 'object version')}[/], {size(total)}{words}")
    rows = [
        (item.key, item.version_id, size(item.size), item.left_out)
        for item in found.objects[:MOST_OBJECTS]
    ]
    screen.out.print(table(("object", "version", "size", ""), rows, right=(2,)))
    if len(found.objects) > MOST_OBJECTS:
        screen.line(f"[dim]… and {len(found.objects) - MOST_OBJECTS} more; --json has all[/]")


def overrides_words(found: Lineage) -> str:
    """The settings that held for this run only."""
    pairs = ", ".join(f"{key}={value}" for key, value in found.overrides.items())
    return f" with {pairs}" if pairs else ""
