"""The curves of what trains at this moment: drawn on a terminal, told point by point in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from perennial.domain.errors import PerennialError
from rich.markup import escape

from cli.curves import figure, picture, sparkline
from cli.live import Progress
from cli.output import count, duration

if TYPE_CHECKING:
    from perennial.watch_run import RunView
    from perennial.watch_training import Search, TrainingView

# Every look asks CloudWatch for each metric, which has its price on AWS ($0.01 a thousand).
LOCAL_LOOK_S, AWS_LOOK_S = 0.5, 10.0
TRAINS = (
    *("Train", "TrainInVpc", "Tune", "TuneInVpc"),
    *("TuneFromParents", "TuneFromParentsInVpc"),
)
MARGIN = 4
# Lines of the terminal that the states, the log and the prompt need.
OTHER_LINES = 12
LEAST_LINES = 5

Look = Callable[[str], "TrainingView | None"]


class TrainingTeller:
    """Looks at the training under way now and then; each job's last look comes after its end."""

    def __init__(self, progress: Progress, look: Look, every_s: float) -> None:
        self.progress = progress
        self._look = look
        self._every_s = every_s
        self._next_s = 0.0
        self._told: dict[tuple[str, str], int] = {}
        self._said = ""
        self._trouble = ""
        self._over: set[str] = set()
        self._lines: tuple[str, ...] = ()

    def tell(self, view: RunView) -> tuple[str, ...]:
        """Say what is new in a file; the lines to show on a terminal, none while nothing trains."""
        for visit in view.path:
            if visit.state not in TRAINS or not visit.job or visit.job in self._over:
                continue
            if visit.left_ms is not None:
                self._over.add(visit.job)
                self._lines = ()
                self._finish(visit.job)
            elif time.monotonic() >= self._next_s:
                self._next_s = time.monotonic() + self._every_s
                self._show(visit.job)
        return self._lines

    def _see(self, job: str) -> TrainingView | None:
        """One look; whoever may not read the metrics is told so once and follows the run still."""
        try:
            return self._look(job)
        except PerennialError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                self.progress.say(f"    [yellow]no curves: {escape(self._trouble)}[/]")
            return None

    def _show(self, job: str) -> None:
        found = self._see(job)
        if found is None:
            return
        if self.progress.is_live:
            size = self.progress.console.size
            lines = max(LEAST_LINES, size.height - OTHER_LINES)
            self._lines = tuple(live_lines(found, size.width - 2 * MARGIN, lines))
            return
        self._say_new(found, found.period_ms)

    def _finish(self, job: str) -> None:
        """What was printed last may not have been told yet; a terminal keeps a line a metric."""
        found = self._see(job)
        if found is None:
            return
        if not self.progress.is_live:
            self._say_new(found, 0)
            return
        width = self.progress.console.size.width - 2 * MARGIN
        for line in ending_lines(found, width):
            self.progress.say(f"    [dim]{escape(line)}[/]")

    def _say_new(self, found: TrainingView, unsure_ms: int) -> None:
        """Each point once, those of one moment on one line.

        One whose period still lasts may change, and waits for the next look.
        """
        if found.search is not None and self._said != (words := search_words(found.search)):
            self._said = words
            self.progress.say(f"    {escape(words)}")
        until = time.time() * 1000 - unsure_ms
        new: dict[int, list[str]] = {}
        for curve in found.curves:
            key = (found.job, curve.name)
            known = self._told.get(key, 0)
            for at, value in curve.points:
                if known < at <= until:
                    new.setdefault(at, []).append(f"{curve.name}={figure(value)}")
                    self._told[key] = at
        for at, figures in sorted(new.items()):
            since = duration((at - found.began_ms) / 1000)
            said = escape(", ".join(sorted(figures)))
            self.progress.say(f"    [dim]training, after {since}: {said}[/]")


def live_lines(view: TrainingView, width: int, height: int) -> Iterable[str]:
    """What a terminal shows of a training or a search."""
    lines = [search_words(view.search)[:width]] if view.search is not None else []
    return [*lines, *picture(seconds_of(view), width, height - len(lines))]


def ending_lines(view: TrainingView, width: int) -> list[str]:
    """What stays on a terminal of a training that is over: how it went, a line a metric."""
    lines = [search_words(view.search)] if view.search is not None else []
    return [*lines, *(sparkline(name, points, width) for name, points in seconds_of(view))]


def seconds_of(view: TrainingView) -> list[tuple[str, list[tuple[float, float]]]]:
    """Each curve's points by seconds since the job was created."""
    return [
        (curve.name, [((at - view.began_ms) / 1000, value) for at, value in curve.points])
        for curve in view.curves
    ]


def search_words(search: Search) -> str:
    """How far a search is, in one line: trials by their fate, and the best one so far."""
    parts = [f"{search.done} of {count(search.trials, 'trial')} done", f"{search.running} running"]
    parts += [f"{search.stopped} stopped early"] if search.stopped else []
    parts += [f"{search.failed} failed"] if search.failed else []
    if search.best is None or search.best.value is None:
        return " · ".join([*parts, f"no {search.objective} yet"])
    tuned = ", ".join(
        f"{name}={value.strip(chr(34))}" for name, value in sorted(search.best.tuned.items())
    )
    best = f"best {search.objective} {figure(search.best.value)}"
    return " · ".join([*parts, best + (f" by {tuned}" if tuned else "")])
