"""`replay`: messages that were given up on are delivered once more."""

from __future__ import annotations

import sys

import click
from rich.markup import escape

from cli.output import count, table
from cli.session import Session, on_target

LONGEST_BODY = 120


@click.command()
@click.option(
    "--list", "only_list", is_flag=True, help="Show the dead letters and leave them where they are."
)
@on_target
def replay(session: Session, *, only_list: bool) -> None:
    """Bring back dead letters: signals and ends of runs that could not be dealt with.

    Known signals count once, so a replay doubles nothing. What fails again comes back to the
    dead-letter queue, and is gone 14 days after it was sent.

    \b
    Examples:
      perennial replay --list
      perennial replay
    """
    from perennial.replay_dead_letters import (  # noqa: PLC0415 - boto3 costs 0.2 s
        list_dead_letters,
        replay_dead_letters,
    )

    letters = list_dead_letters(session.ports) if only_list else replay_dead_letters(session.ports)
    screen = session.screen
    stayed = [letter for letter in letters if not letter.replayed]
    if screen.as_json:
        screen.document(letters)
    elif not letters:
        screen.line("There are no dead letters.")
    else:
        rows = [(letter.queue, shorten(letter.body), letter.words or "waits") for letter in letters]
        screen.out.print(table(("queue", "message", "now"), rows))
        if not only_list:
            screen.line(
                f"{count(len(letters) - len(stayed), 'message')} replayed, {len(stayed)} left."
            )
    if stayed and only_list and not screen.as_json:
        screen.line(
            "[dim]next:[/]  perennial logs on_signal   (why they failed)"
            "   then, when that is mended: perennial replay"
        )
    if stayed and not only_list:
        if not screen.as_json:
            screen.line(f"[dim]next:[/]  perennial logs on_signal   {escape('(why they failed)')}")
        sys.exit(1)


def shorten(text: str) -> str:
    """A body as far as it fits on a line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_BODY else flat[: LONGEST_BODY - 1] + "…"
