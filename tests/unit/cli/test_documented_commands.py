"""The commands that the documents tell can be typed: each parses, with all that it must have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cli.local_cloud import ROOT
from cli.main import perennial

FENCED = re.compile(r"```(?:sh|bash)?\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`(perennial [^`]+)`")
NUMBERS = re.compile(r"<(?:n|number|version|run|release)>")
NAMES = re.compile(r"<([a-z-]+)>")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "models/*/README.md")
    for path in ROOT.glob(pattern)
)


def commands(text: str) -> list[str]:
    """The commands of a page: its lines in fences, and what stands between backquotes."""
    lines = [line.strip() for block in FENCED.findall(text) for line in block.splitlines()]
    typed = [line for line in lines if line.startswith("perennial ")]
    return [*typed, *INLINE.findall(FENCED.sub("", text))]


def trouble(command: str) -> str:
    """Why a command cannot be typed; a name alone, as in "see `perennial why`", names it."""
    given = NAMES.sub(r"\1", NUMBERS.sub("1", command.replace("…", "x")))
    words = shlex.split(given, comments=True)[1:]
    found: click.Command = perennial
    try:
        context = perennial.make_context("perennial", list(words))
        while isinstance(found, click.Group) and words:
            while words[0].startswith("--"):  # an option of the group, with its value
                del words[:2]
            name, command_found, words = found.resolve_command(context, words)
            if command_found is None or not words:
                break
            found = command_found
            if not isinstance(found, click.Group):
                found.make_context(name, words, parent=context)
    except click.exceptions.Exit:  # --help
        return ""
    except click.UsageError as error:
        return "" if "does not exist" in error.message else error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_can_be_typed(page: str) -> None:
    """Only the files that they name need not be here."""
    text = Path(ROOT, page).read_text("utf-8")
    found = {command: trouble(command) for command in commands(text)}
    assert {command: why for command, why in found.items() if why} == {}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("perennial run stop <model> <n>", "Missing option '--because'"),
        ("perennial why census --loud", "No such option"),
        ("perennial explode", "No such command"),
        ("perennial approve <model>", "Missing argument"),
        ("perennial --target local status --quiet", "No such option"),
        ('perennial approve <model> <n> --because "…"', ""),
        ("perennial why", ""),
    ],
)
def test_what_cannot_be_typed_is_found(command: str, why: str) -> None:
    """An option that is missing or unknown, a command that is not there."""
    assert (why in trouble(command)) if why else not trouble(command)
