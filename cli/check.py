"""Run `jobs/check_project.py` in the environment of the jobs, and show its steps as they come."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.markup import escape

from cli.errors import CommandError
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import ROOT
from cli.output import Screen, duration, table

TITLES = {
    "settings": "settings and project",
    "check_data": "check the data",
    "train": "train",
    "evaluate": "evaluate on the holdout",
    "judge": "judge by the gates",
}
MOST_TAIL = 12


def run_check(screen: Screen, folder: Path, files: tuple[Path, ...], sets: tuple[str, ...]) -> bool:
    """Check a project on files; True when it passes its gates."""
    result: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    with Progress(screen.people) as progress, tempfile.TemporaryFile("w+") as noise:
        python = jobs_python(folder, lambda words: progress.say(f"  [dim]{words}[/]"))
        for event in events(python, folder, files, sets, noise):
            if event.get("step") == "result":
                result = event
                continue
            steps.append(event)
            tell(progress, event)
        noise.seek(0)
        printed = noise.read().splitlines()
    if not result and steps and steps[-1].get("status") == "failed":
        result = {"step": "result", "passed": False, "words": steps[-1].get("words", "")}
        printed = []
    if not result:
        tail = "\n".join(printed[-MOST_TAIL:]) or "it said nothing"
        raise CommandError(f"The check of {folder} ended without a result:\n{tail}")
    if screen.as_json:
        screen.document({**result, "steps": steps})
    else:
        show_result(screen, result, printed)
    return bool(result.get("passed"))


def events(
    python: Path, folder: Path, files: tuple[Path, ...], sets: tuple[str, ...], noise: Any
) -> Iterator[dict[str, Any]]:
    """What the check tells, one JSON object a line; what the model prints goes to `noise`."""
    options = [part for pair in sets for part in ("--set", pair)]
    arguments = [str(python), "-m", "jobs.check_project", str(folder.resolve())]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")]),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        [*arguments, *(str(file.resolve()) for file in files), *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=noise,
        text=True,
    )
    try:
        for line in process.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                # The model printed past the redirection (for example from C); keep it readable.
                noise.write(line)
                continue
            if isinstance(event, dict):
                yield event
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()


def tell(progress: Progress, event: dict[str, Any]) -> None:
    """Show one step's beginning or end."""
    title = TITLES.get(str(event.get("step")), str(event.get("step")))
    words = escape(str(event.get("words", "")))
    if event.get("status") == "started":
        progress.now(title)
        return
    failed = event.get("status") == "failed"
    mark = "[red]✗[/]" if failed else "[green]✓[/]"
    spent = duration(float(event.get("seconds", 0)))
    progress.say(f"  {mark} {title:<24} {spent:>7}  {words}")


def show_result(screen: Screen, result: dict[str, Any], printed: list[str]) -> None:
    """Quarantined files, gates with their figures, and the verdict in words."""
    for found in result.get("objects", []):
        name = str(found.get("key", "")).rsplit("/", 1)[-1]
        if found.get("quarantined"):
            screen.line(f"[red]quarantined[/] {escape(name)}: {escape(str(found.get('reason')))}")
        for bad in list(found.get("first_bad", []))[:3]:
            column = f", column {bad['column']}" if bad.get("column") else ""
            why = escape(str(bad.get("why", "")))
            text = escape(str(bad.get("text", ""))[:80])
            screen.line(f"  line {bad.get('line')}{escape(column)}: {why}  [dim]{text}[/]")
        for notice in found.get("notices", []):
            screen.line(f"[yellow]notice[/]      {escape(name)}: {escape(str(notice))}")
    gates = result.get("gates", [])
    if gates:
        rows = [
            (gate.get("name", gate.get("metric", "")), gate.get("words", ""), gate_word(gate))
            for gate in gates
        ]
        screen.out.print(table(("gate", "", ""), rows))
    words = escape(str(result.get("words", "")))
    screen.line(
        "[green]passes[/]" if result.get("passed") else f"[yellow]does not pass[/]: {words}"
    )
    if not result.get("passed") and not gates and printed:
        screen.line("[dim]the model's own output ended with:[/]")
        for line in printed[-MOST_TAIL:]:
            screen.line(f"  [dim]{escape(line)}[/]")


def gate_word(gate: dict[str, Any]) -> str:
    """'pass' or 'FAIL'."""
    return "pass" if gate.get("passed") else "FAIL"
