"""Run `jobs/check_project.py` in the environment of the jobs, and show its steps as they come."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cli.errors import CommandError
from cli.jobs_environment import jobs_python
from cli.live import Progress
from cli.local_cloud import ROOT
from cli.output import Screen, duration, table

if TYPE_CHECKING:
    from perennial.domain.settings import Settings

TITLES = {
    "settings": "settings and project",
    "check_data": "check the data",
    "train": "train",
    "evaluate": "evaluate on the holdout",
    "judge": "judge by the gates",
}
MOST_TAIL = 12
# What of an evaluation a person reads first; --json has all of it.
FIGURES = (
    *("auc", "accuracy", "precision", "recall", "false_positive_rate", "f1", "log_loss"),
    *("rmse", "mae", "r2", "rows"),
)


def run_check(
    screen: Screen,
    folder: Path,
    files: tuple[Path, ...],
    sets: tuple[str, ...],
    settings: Settings,
) -> bool:
    """Check a project on files; True when it passes its gates."""
    limits = {step: settings.job(step).max_seconds for step in ("check_data", "train", "evaluate")}
    result: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    with Progress(screen.people) as progress, tempfile.TemporaryFile("w+") as noise:
        python = jobs_python(folder, lambda words: progress.say(f"  [dim]{words}[/]"))
        for event in events(command_line(python, folder, files, sets), limits, noise):
            if event.get("step") == "result":
                result = event
                continue
            steps.append(event)
            tell(progress, event)
        noise.seek(0)
        printed = noise.read().splitlines()
    if not result and steps and steps[-1].get("status") == "failed":
        result = {"step": "result", "passed": False, "words": steps[-1].get("words", "")}
        # What is wrong with settings or project is told whole by the step itself.
        printed = [] if steps[-1].get("step") == "settings" else printed
    if not result:
        tail = "\n".join(printed[-MOST_TAIL:]) or "it said nothing"
        raise CommandError(f"The check of {folder} ended without a result:\n{tail}")
    if screen.as_json:
        screen.document({**result, "steps": steps})
    else:
        show_result(screen, result, printed)
    return bool(result.get("passed"))


class Watch:
    """Ends a check whose step exceeds its time limit, and says why a check ended without a word."""

    def __init__(self, process: subprocess.Popen[str], limits: Mapping[str, int]) -> None:
        self.process = process
        self.limits = limits
        self.step = ""
        self.expired = False
        self.timer: threading.Timer | None = None

    def see(self, event: Mapping[str, Any]) -> None:
        """A step began or ended."""
        self.rest()
        self.step = str(event.get("step")) if event.get("status") == "started" else ""
        if self.step in self.limits:
            self.timer = threading.Timer(self.limits[self.step], self.expire)
            self.timer.daemon = True
            self.timer.start()

    def expire(self) -> None:
        """The step's time is over."""
        self.expired = True
        self.process.kill()

    def rest(self) -> None:
        """No step is at work."""
        if self.timer is not None:
            self.timer.cancel()

    def last_words(self) -> Iterator[dict[str, Any]]:
        """The failure of the step that was at work when the process ended, if one was."""
        if not self.step:
            return
        code = self.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        words = (
            f"the process ended itself here ({how}) instead of returning."
            " Take os._exit and the like out of the project's code."
        )
        if self.expired:
            key = "train" if self.step == "train" else f"jobs.{self.step}"
            words = (
                f"did not end within {key}.max_seconds ({self.limits[self.step]} s)."
                " Make it faster, or raise the limit in model.yaml."
            )
        yield {"step": self.step, "status": "failed", "words": words}


def command_line(
    python: Path, folder: Path, files: tuple[Path, ...], sets: tuple[str, ...]
) -> list[str]:
    """How the check is called, in the jobs' environment."""
    options = [part for pair in sets for part in ("--set", pair)]
    paths = [str(path.resolve()) for path in (folder, *files)]
    return [str(python), "-m", "jobs.check_project", *paths, *options]


def events(command: list[str], limits: Mapping[str, int], noise: Any) -> Iterator[dict[str, Any]]:
    """What the check tells, one JSON object a line; what the model prints goes to `noise`."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")]),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=noise,
        text=True,
    )
    watch = Watch(process, limits)
    try:
        for line in process.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                # The model printed past the redirection (for example from C); keep it readable.
                noise.write(line)
                continue
            if isinstance(event, dict):
                watch.see(event)
                yield event
        process.wait()
        yield from watch.last_words()
    finally:
        watch.rest()
        if process.poll() is None:
            process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


def tell(progress: Progress, event: dict[str, Any]) -> None:
    """Show one step's beginning or end."""
    title = TITLES.get(str(event.get("step")), str(event.get("step")))
    words = escape(str(event.get("words", "")))
    if event.get("status") == "started":
        progress.now(title)
        return
    failed = event.get("status") == "failed" or event.get("passed") is False
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
    show_suspicions(screen, result)
    if result.get("metrics"):
        screen.out.print(figures_table(result["metrics"]))
        screen.line()
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


def show_suspicions(screen: Screen, result: dict[str, Any]) -> None:
    """Features that give the label away, and rows that contradict one another."""
    for leak in result.get("leaks", []):
        words = escape(str(leak.get("words")))
        screen.line(f"[red]leak[/]        {words}: is it known when a prediction is asked for?")
    conflicts = result.get("conflicts") or {}
    if conflicts.get("rows"):
        screen.line(
            f"[yellow]notice[/]      {conflicts['rows']:,} rows share their identity with one of"
            " another label"
        )


def figures_table(metrics: Mapping[str, float | None]) -> Table:
    """The figures on the holdout: of all rows, then of each group of a facet."""
    names = [name for name in FIGURES if name in metrics]
    groups = dict.fromkeys(name.partition(":")[2] for name in metrics if ":" in name)
    rows = [
        (
            group or "all",
            *(figure(name, metrics.get(f"{name}:{group}" if group else name)) for name in names),
        )
        for group in ("", *groups)
    ]
    return table(("holdout", *names), rows, right=range(1, len(names) + 1))


def figure(name: str, value: float | None) -> str:
    """One figure, or a dash where a group has none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if name == "rows" else f"{value:.4g}"


def gate_word(gate: dict[str, Any]) -> str:
    """'pass' or 'FAIL'."""
    return "pass" if gate.get("passed") else "FAIL"
