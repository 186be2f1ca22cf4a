"""What a command says when it cannot do what was asked, and the exit code a script reads."""

from __future__ import annotations

from typing import IO, Any

import click
from rich.markup import escape

from cli.terminal import Terminal

DONE, FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED = 0, 1, 2, 3, 4, 5


class CommandError(click.ClickException):
    """What happened, to which model or file, and what to do next; exits with 1."""

    exit_code = FAILED

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.next_step = next_step

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error to stderr, with the next step below it."""
        console = Terminal(file=file, stderr=file is None, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error:[/] {escape(self.message)}")
        if self.next_step:
            console.print(f"[dim]next:[/]  {escape(self.next_step)}")


class Usage(CommandError):
    """The command was asked for in a way that makes no sense; exits with 2."""

    exit_code = USAGE


class TargetUnreachable(CommandError):
    """There is no cloud, account or stack where the command was to act; exits with 3."""

    exit_code = UNREACHABLE


class NotFound(CommandError):
    """The model, run, version, file or object does not exist; exits with 4."""

    exit_code = NOT_FOUND


class Refused(CommandError):
    """A rule or a person's missing consent stands against it; exits with 5."""

    exit_code = REFUSED
