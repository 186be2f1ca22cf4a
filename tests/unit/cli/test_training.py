"""The training under way: drawn in place on a terminal, told point by point in a file."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from perennial.aws.history import Visit
from perennial.aws.machine import Execution
from perennial.aws.training_metrics import Curve
from perennial.domain.errors import Denied
from perennial.watch_run import RunView
from perennial.watch_training import Best, Search, TrainingView
from rich.console import Console

from cli.live import Progress
from cli.training import TrainingTeller, ending_lines, live_lines, search_words

JOB = "p-train-0"
CURVE = Curve("auc", tuple((second * 1000, 0.5 + second / 100) for second in range(1, 21)))
TRAINING = TrainingView(JOB, 0, 1000, (CURVE, Curve("logloss", ((2_000, 0.25),))))
BEST = Best("t-2", 0.9123, {"rate": "0.1", "kind": '"dart"'})
SEARCH = Search("auc", "maximize", 10, 3, 2, 0, 0, None)
EXECUTION = Execution("arn", "name", "RUNNING", "{}", None, "", "", 0, None, 0)


def path(left_ms: int | None = None, state: str = "Train", job: str = JOB) -> RunView:
    """A run in which this job trains, or has trained."""
    return RunView(EXECUTION, (Visit(state, "Task", 0, left_ms, job),), None, ())


def told(*looks: TrainingView | None, terminal: bool = False) -> tuple[TrainingTeller, io.StringIO]:
    """A teller that sees these one after the other (the last again and again), and its stream."""
    stream, left = io.StringIO(), list(looks)
    console = Console(file=stream, width=60, height=24, force_terminal=terminal)
    progress = Progress(console)

    def look(_: str) -> TrainingView | None:
        return left.pop(0) if left[1:] else left[0]

    return TrainingTeller(progress, look, 0), stream


def test_a_file_gets_each_point_once() -> None:
    """However often it is looked at; the points in the order of time, whatever their metric."""
    early = replace(TRAINING, curves=(Curve("auc", CURVE.points[:2]),))
    teller, stream = told(early, early, TRAINING)
    for _ in range(4):
        assert teller.tell(path()) == ()
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert lines[:4] == [
        "training, after 1.0 s: auc=0.5100",
        "training, after 2.0 s: auc=0.5200",
        "training, after 2.0 s: logloss=0.2500",
        "training, after 3.0 s: auc=0.5300",
    ]
    assert len(lines) == len(set(lines)) == 21


def test_a_point_that_may_still_change_waits_for_the_end() -> None:
    """The mean of a second that still lasts is not told before it is known."""
    now = int(time.time() * 1000)
    fresh = TrainingView(JOB, now - 5_000, 60_000, (Curve("auc", ((now - 1_000, 0.9),)),))
    teller, stream = told(fresh)
    teller.tell(path())
    assert stream.getvalue() == ""
    teller.tell(path(now))
    teller.tell(path(now))
    assert stream.getvalue().split() == ["training,", "after", "4.0", "s:", "auc=0.9000"]


def test_a_terminal_gets_the_picture_and_keeps_a_line_a_metric() -> None:
    """While it trains, the curves with their axes; after its end, one lasting line each."""
    teller, stream = told(TRAINING, terminal=True)
    with teller.progress:
        lines = teller.tell(path())
        assert lines[0] == "auc  0.7000"
        assert lines[1].startswith("0.7000 ┤")
        assert lines[-1] == "logloss  0.2500"
        assert teller.tell(path(30_000)) == ()
        assert teller.tell(path(30_000)) == ()
    kept = [line for line in stream.getvalue().splitlines() if "▁▁" in line]
    assert len(kept) == 1
    assert "0.7000" in kept[0]


def test_looks_keep_their_distance() -> None:
    """CloudWatch is asked at the pace that was set, not at that of the screen."""
    asked: list[str] = []

    def look(job: str) -> None:
        asked.append(job)

    teller = TrainingTeller(Progress(Console(file=io.StringIO())), look, 3600)
    for _ in range(5):
        teller.tell(path())
    assert asked == [JOB]
    teller.tell(path(9_000))
    assert asked == [JOB, JOB]


@pytest.mark.parametrize("state", ["CheckData", "Evaluate"])
def test_other_jobs_have_no_curves(state: str) -> None:
    """Only what trains or tunes is looked at."""
    teller, stream = told(TRAINING)
    assert teller.tell(path(state=state)) == ()
    assert stream.getvalue() == ""


def test_who_may_not_read_metrics_still_follows_the_run() -> None:
    """It is said once, with the reason; nothing is raised."""

    def refused(_job: str) -> TrainingView:
        raise Denied("reading the metrics of p-train-0: not authorized")

    stream = io.StringIO()
    teller = TrainingTeller(Progress(Console(file=stream, width=100)), refused, 0)
    for left in (None, None, 5_000):
        assert teller.tell(path(left)) == ()
    assert stream.getvalue().count("no curves: reading the metrics of p-train-0") == 1


def test_a_search_is_told_by_its_trials() -> None:
    """Golden: by their fate, and the best so far with the hyperparameters that made it."""
    assert search_words(SEARCH) == "3 of 10 trials done · 2 running · no auc yet"
    further = replace(SEARCH, done=7, running=0, stopped=1, failed=2, best=BEST)
    assert search_words(further) == (
        "7 of 10 trials done · 0 running · 1 stopped early · 2 failed"
        " · best auc 0.9123 by kind=dart, rate=0.1"
    )


def test_a_file_hears_of_a_search_when_it_changes() -> None:
    """One line a change, and one for each trial's objective."""
    view = TrainingView("t-0", 0, 0, (), SEARCH)
    changed = replace(view, curves=(Curve("auc", ((9_000, 0.9123),)),))
    changed = replace(changed, search=replace(SEARCH, done=4, best=BEST))
    teller, stream = told(view, view, changed)
    for left in (None, None, None, 9_500):
        teller.tell(path(left, "Tune", "t-0"))
    assert [line.strip() for line in stream.getvalue().splitlines()] == [
        "3 of 10 trials done · 2 running · no auc yet",
        search_words(changed.search or SEARCH),
        "training, after 9.0 s: auc=0.9123",
    ]


def test_a_search_is_drawn_below_its_words() -> None:
    """On a terminal: how far it is, and the objective of one trial after the other."""
    view = TrainingView("t-0", 0, 0, (CURVE,), replace(SEARCH, best=BEST))
    words, head, *_ = live_lines(view, 70, 10)
    assert words == "3 of 10 trials done · 2 running · best auc 0.9123 by kind=dart, rate=0"
    assert head == "auc  0.7000"
    assert ending_lines(view, 70)[1].startswith("auc  ▁")
