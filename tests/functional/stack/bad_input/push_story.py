"""A model that is pushed back and forth, and by two people at once."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.local_cloud import ROOT
from tests.functional.stack.bad_input.shell import Shell

MODEL = "undecided"


@dataclass
class PushStory:
    """What each push said, and what waits afterwards."""

    in_turn: list[dict[str, Any]]
    at_once: list[dict[str, Any]]
    waits: dict[str, Any]
    status: dict[str, Any]
    settings: dict[str, Any]


def tell_push_story(shell: Shell, folder: Path) -> PushStory:
    """A, B, A, A in turn; then C and D at once."""
    projects = {letter: _project(folder / letter, letter) for letter in "ABCD"}
    in_turn = [shell.json("push", projects[letter]) for letter in "ABAA"]
    with ThreadPoolExecutor() as pool:
        together = [pool.submit(shell.run, "push", projects[each], "--json") for each in "CD"]
        results = [push.result() for push in together]
    assert [push.returncode for push in results] == [0, 0], [push.stderr for push in results]
    rows = shell.ledger(MODEL)
    return PushStory(
        in_turn,
        [json.loads(push.stdout) for push in results],
        shell.json("why", MODEL),
        shell.json("status", MODEL),
        {key: row for key, row in rows.items() if key.startswith("settings#")},
    )


def _project(folder: Path, letter: str) -> str:
    """The abalone project, told apart by a comment in its code."""
    project = folder / MODEL
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "models" / "abalone", project, ignore=hidden)
    with (project / "model.py").open("a") as code:
        code.write(f"# {letter}\n")
    return str(project)
