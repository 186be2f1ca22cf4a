"""Bring the main stack onto the local cloud with an unmodified `sam build && sam deploy`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque

from rich.markup import escape

from cli.errors import CommandError
from cli.live import Progress
from cli.local_cloud import ROOT
from cli.output import duration

TAIL, SHOWN = 60, 15


def build_and_deploy(stack: str, progress: Progress) -> None:
    """Run both commands with their last line shown live; the environment names the target."""
    sam = find_sam()
    run_sam([sam, "build"], "sam build", progress)
    deploy = [sam, "deploy", "--stack-name", stack]
    run_sam(
        [*deploy, "--no-confirm-changeset", "--no-fail-on-empty-changeset"], "sam deploy", progress
    )


def find_sam() -> str:
    """The sam CLI that `make setup` installed, else the one on the PATH."""
    own = ROOT / ".tools" / "sam" / "bin" / "sam"
    found = str(own) if own.exists() else shutil.which("sam")
    if found is None:
        raise CommandError("The sam CLI is not installed.", "Install everything: make setup")
    return found


def run_sam(arguments: list[str], title: str, progress: Progress) -> None:
    """Run one sam command; raise with the end of its output when it fails."""
    started = time.monotonic()
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "PYTHONUNBUFFERED": "1"}
    path = environment.get("PATH", "")
    environment["PATH"] = os.pathsep.join([str(ROOT / ".venv" / "bin"), path])
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    tail: deque[str] = deque(maxlen=TAIL)
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        for line in process.stdout or ():
            text = " ".join(line.split())
            if text.strip("-=+ "):
                tail.append(text)
                spent = duration(time.monotonic() - started)
                progress.now(f"{title} {spent}  [dim]{escape(text[:80])}[/]")
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
    if code != 0:
        raise CommandError(
            f"'{title}' failed:\n" + "\n".join(worst(list(tail))),
            f'See all of it: eval "$(perennial env)" && {title}',
        )
    progress.say(f"  [green]✓[/] {title:<18} {duration(time.monotonic() - started):>8}")


def worst(lines: list[str]) -> list[str]:
    """The end of a failed command's output, from the first line that speaks of the failure."""
    telling = ("Build Failed", "Error", "ROLLBACK", "FAILED")
    first = next((i for i, line in enumerate(lines) if any(t in line for t in telling)), 0)
    return lines[max(first, len(lines) - SHOWN) :]
