"""Follow a run while it works: each state with its job and time, as the APIs tell them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.markup import escape

from cli.errors import CommandError
from cli.live import Progress
from cli.output import duration
from cli.session import Session
from cli.training import AWS_LOOK_S, LOCAL_LOOK_S, TrainingTeller

if TYPE_CHECKING:
    from perennial.aws.history import Visit
    from perennial.domain.ledger.rows import RunRow
    from perennial.watch_run import RunView

LOCAL_POLL_S, AWS_POLL_S = 0.25, 2.0
# States that only say how it ended; the outcome's own line tells that better.
WORK = ("Task",)
RECORDED_S = 3  # it is recorded within a second, unless its event was lost
SETTLE_S = 600  # the sweeper settles within five minutes what its event did not


def follow_run(session: Session, model: str, number: int, progress: Progress) -> RunRow:
    """Tell each step of a run until it is settled in the ledger, and return its row."""
    from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.watch_run import watch_run  # noqa: PLC0415 - as above
    from perennial.watch_training import watch_training  # noqa: PLC0415 - as above

    look_s = AWS_LOOK_S if session.target.is_aws else LOCAL_LOOK_S
    teller = Teller(progress, TrainingTeller(progress, watch_training, look_s))
    over_since, said = None, False
    while True:
        run = describe_run(session.ports, model, number)
        view = watch_run(run.execution) if run.execution else None
        if view is None:
            progress.now(f"run {number} · {run.state}")
        else:
            teller.tell(view)
        if run.state == "ended":
            progress.quiet()
            return run
        if view is not None and view.execution.is_over:
            if over_since is None:
                over_since = time.monotonic()
            elif not said and time.monotonic() - over_since > RECORDED_S and not progress.is_live:
                said = True
                progress.say(f"  [dim]{ended_words(view)}[/]")
            progress.now(f"run {number} · {view.execution.status.lower()}, being recorded")
            if time.monotonic() - over_since > SETTLE_S:
                raise CommandError(
                    f"Run {number} of {model} is over but not recorded after {SETTLE_S} s.",
                    "Look at: perennial logs on_run_ended; perennial replay --list",
                )
        time.sleep(AWS_POLL_S if session.target.is_aws else LOCAL_POLL_S)


class Teller:
    """Tells each state once when it is left (and, where nothing is live, when it begins)."""

    def __init__(self, progress: Progress, training: TrainingTeller) -> None:
        self.progress = progress
        self.training = training
        self.begun: set[int] = set()
        self.told: set[int] = set()

    def tell(self, view: RunView) -> None:
        """Say what is new since the last look, and show what happens now."""
        for index, visit in enumerate(view.path):
            if visit.type not in WORK or index in self.told:
                continue
            if visit.left_ms is not None:
                self.told.add(index)
                self.progress.say(finished(visit))
            elif index not in self.begun and visit.job:
                self.begun.add(index)
                if not self.progress.is_live:
                    self.progress.say(f"  [dim]…[/] {visit.state:<18} [dim]{escape(visit.job)}[/]")
        curves = self.training.tell(view)
        if words := running(view):
            self.progress.now(words, tuple(line.text for line in view.log), curves)


def finished(visit: Visit) -> str:
    """One line for a state that was left."""
    mark = "[red]✗[/]" if visit.error else "[green]✓[/]"
    spent = duration(((visit.left_ms or visit.entered_ms) - visit.entered_ms) / 1000)
    again = f" · attempt {visit.attempts}" if visit.attempts > 1 else ""
    words = f"  [red]{escape(visit.error)}[/]" if visit.error else ""
    return f"  {mark} {visit.state:<18} {spent:>8}  [dim]{escape(visit.job)}{again}[/]{words}"


def running(view: RunView) -> str:
    """The states that work now, a line each: time, job, and of one job its stage."""
    lines = []
    for visit in view.path:
        if visit.left_ms is not None or visit.type not in WORK:
            continue
        spent = duration(time.time() - visit.entered_ms / 1000)
        watched = view.job is not None and view.job.name == visit.job
        stage = f" · {escape(view.job.stage)}" if view.job is not None and watched else ""
        lines.append(f"{visit.state:<18} {spent:>8}  [dim]{escape(visit.job)}{stage}[/]")
    return "\n   ".join(lines)


def ended_words(view: RunView) -> str:
    """How the execution ended, while its outcome is still to be recorded."""
    execution = view.execution
    error = f": {escape(execution.error)}" if execution.error else ""
    return f"execution {execution.status.lower()}{error}; being recorded"
