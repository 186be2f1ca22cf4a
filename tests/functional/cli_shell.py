"""A shell as a newcomer's: it runs `perennial …` on one local cloud of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cli.local_cloud import ROOT
from tests.functional.conftest import free_port


@dataclass(frozen=True)
class Told:
    """One demo: the summary for scripts, and the lines for people."""

    code: int
    summary: dict[str, Any]
    lines: list[str]

    def has(self, pattern: str) -> bool:
        """Say whether a line matches."""
        return any(re.search(pattern, line) for line in self.lines)


class Shell:
    """Runs `perennial …`, as Ann."""

    def __init__(self, state: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PERENNIAL_T"))}
        self.environment = {**kept, "PERENNIAL_STATE": str(state), "PERENNIAL_USER": "ann"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """Run one command, which must succeed, and return what it said."""
        result = self.run(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """Run one command with --json and return its document."""
        return json.loads(self.ok(*arguments, "--json"))

    def demo(self, command: str, *arguments: str) -> Told:
        """Run a demo, on a port of its own if no cloud runs yet."""
        result = self.run(command, "--json", "--port", str(free_port()), *arguments)
        assert result.stdout, result.stderr
        return Told(result.returncode, json.loads(result.stdout), result.stderr.splitlines())


Kind = TypeVar("Kind", bound=Shell)


@contextmanager
def opened(made: Kind) -> Iterator[Kind]:
    """A shell whose local cloud ends with it."""
    try:
        yield made
    finally:
        made.run("down")
