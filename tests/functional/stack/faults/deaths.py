"""Every function of the loop dies at every one of its points, and the loop goes on.

A stage is a kind of life that takes some functions past all their steps; undisturbed lives tell
the points, then further lives pass while the stage's functions die at one point after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from perennial.approve_version import approve_version
from perennial.describe_model import describe_model
from perennial.describe_run import describe_run
from perennial.domain.ledger.rows import OPEN_SK
from perennial.domain.ledger.store import read_model, read_signals

from local.faults import is_write
from tests.functional.stack.faults import cheap
from tests.functional.stack.faults.points import Gauntlet, Invocation, Journal, Point, points_of
from tests.functional.stack.faults.stack import SWEEP, Stack, is_at_rest, wait_for

STEPS = ("OnSignal", "CheckClaim", "JudgeCandidate", "RegisterVersion", "OnRunEnded")
AT_WORK = 5  # lives side by side
LOOK_EVERY_S = 0.1
LONGEST_S = 240
LIVES = 30


@dataclass
class Stage:
    """One kind of life: how to begin one with a model, and how to see that it is over."""

    name: str
    functions: tuple[str, ...]
    begin: Callable[[str], None]
    is_over: Callable[[str], bool]
    at_work: int = AT_WORK


@dataclass
class Deaths:
    """What was found out so far."""

    stack: Stack
    every_call: bool = False
    lies: bool = False
    gauntlets: list[Gauntlet] = field(default_factory=list)

    def enumerate(self, stage: Stage, models: list[str]) -> set[Point]:
        """The points of a stage's functions.

        Two functions that write to one row at the same moment make one of them read and write
        again: of several lives, each function's shortest part is the undisturbed one.
        """
        parts: dict[str, list[Invocation]] = {}
        for model in models:
            journal = Journal(self.stack.cloud)
            stage.begin(model)
            wait_for(f"the end of {model}", lambda m=model: stage.is_over(m))
            self.stack.rest(90)
            began, _ = journal.read()
            for name in stage.functions:
                part = [each for each in began if each.function == name]
                if part and (name not in parts or _length(part) < _length(parts[name])):
                    parts[name] = part
        missing = set(stage.functions) - set(parts)
        assert not missing, f"stage {stage.name}: {sorted(missing)} had nothing to do"
        everything = [each for part in parts.values() for each in part]
        return points_of(everything, every_call=self.every_call, lies=self.lies)

    def go_through(self, stage: Stage, points: set[Point], models: Iterator[str]) -> None:
        """Let lives pass until everybody was struck everywhere, or there are no models left."""
        gauntlet = Gauntlet(self.stack.cloud, points, every_call=self.every_call)
        self.gauntlets.append(gauntlet)
        at_work: list[str] = []
        end = time.monotonic() + LONGEST_S
        gauntlet.arm()
        while gauntlet.left and time.monotonic() < end:
            at_work = [each for each in at_work if not stage.is_over(each)]
            if len(at_work) < stage.at_work:
                model = next(models, None)
                if model is None and not at_work:
                    break
                if model is not None:
                    stage.begin(model)
                    at_work.append(model)
            time.sleep(LOOK_EVERY_S)
            gauntlet.look()
        self.stack.cloud.faults()

    def go_through_a_run(self) -> None:
        """Every function that a run and its approval need, and a signal that waits."""
        stack = self.stack
        models = stack.models("steps", LIVES, approval="person")
        self._stage(steps_stage(stack), models, samples=3)
        stack.rest()
        self._stage(approval_stage(stack), [m for m in models if is_at_rest(stack.ports, m)])
        self._stage(policy_stage(stack), stack.models("policy", 6))
        waiting = stack.models("waits", 12, quiet_period="1h", max_wait="2h")
        self._stage(waiting_stage(stack), waiting, samples=3)

    def go_through_sweeps(self) -> None:
        """The sweeper finds objects that nothing announced, and ends what no event ended."""
        stack = self.stack
        stack.switch("OnRunEnded", on=False)
        models = unannounced(stack, 18)
        self._stage(found_stage(stack), models)
        stack.alone()
        stack.rest()
        at_work = [m for m in models if describe_model(stack.ports, m).open_run]
        self._stage(ended_stage(stack), at_work)
        stack.switch("OnRunEnded", on=True)

    def _stage(self, stage: Stage, models: list[str], samples: int = 1) -> None:
        found = self.enumerate(stage, models[:samples])
        self.go_through(stage, found, iter(models[samples:]))

    @property
    def left(self) -> list[Point]:
        """Points that were found, but that nobody died at."""
        return [point for gauntlet in self.gauntlets for point in gauntlet.left]

    def report(self) -> str:
        """The visible count."""
        covered = sum(len(g.covered) for g in self.gauntlets)
        points = sum(len(g.points) for g in self.gauntlets)
        parts = ", ".join(g.report() for g in self.gauntlets)
        deaths = sum(g.hits for g in self.gauntlets)
        what = "lies" if self.lies else "deaths"
        return f"{what[:-1]} points covered: {covered} of {points} ({parts}); {deaths} {what}"


def _length(part: list[Invocation]) -> tuple[int, int]:
    calls = [call for each in part for call in each.calls]
    return (sum(map(is_write, calls)), len(calls))


def steps_stage(stack: Stack) -> Stage:
    """An object lands: its model runs at once, and leaves the version for a person."""
    return Stage(
        "steps",
        STEPS,
        lambda model: cheap.land(stack.ports, model, "a.csv") and None,
        lambda model: is_at_rest(stack.ports, model),
    )


def policy_stage(stack: Stack) -> Stage:
    """The same, but the policy approves."""
    return Stage(
        "policy",
        ("ApproveCandidate",),
        lambda model: cheap.land(stack.ports, model, "a.csv") and None,
        lambda model: is_at_rest(stack.ports, model),
    )


def approval_stage(stack: Stack) -> Stage:
    """A person approves what the steps have left."""
    return Stage(
        "approval",
        ("OnVersionApproved",),
        lambda model: approve_version(stack.ports, model, 1, "a test", "a test") and None,
        lambda model: describe_model(stack.ports, model).champion is not None,
    )


def waiting_stage(stack: Stack) -> Stage:
    """An object lands whose model waits for more: it is admitted, and a wake is sent."""

    def is_over(model: str) -> bool:
        row = read_model(stack.ports.ledger, model)
        open_signals = read_signals(stack.ports.ledger, model, OPEN_SK)
        waits = any(each.state == "pending" for each in open_signals)
        return row is not None and row.wake_ms > 0 and waits

    return Stage(
        "waiting",
        ("OnSignal",),
        lambda model: cheap.land(stack.ports, model, "a.csv") and None,
        is_over,
        at_work=2,
    )


def found_stage(stack: Stack) -> Stage:
    """The sweeper finds an object that no event announced, and opens its run."""

    def begin(model: str) -> None:
        stack.alone(model)
        stack.sweep()

    def is_over(model: str) -> bool:
        row = describe_model(stack.ports, model)
        is_open = row.last_run and describe_run(stack.ports, model, 1).started_ms is None
        return (row.last_run > 0 and not is_open) or swept_again(stack)

    return Stage("found", (SWEEP,), begin, is_over, at_work=1)


def ended_stage(stack: Stack) -> Stage:
    """The sweeper ends a run whose end no event told."""

    def begin(model: str) -> None:
        stack.alone(model)
        stack.sweep()

    def is_over(model: str) -> bool:
        row = describe_model(stack.ports, model)
        is_told = row.open_run is None and describe_run(stack.ports, model, 1).notified
        return is_told or swept_again(stack)

    return Stage("ended", (SWEEP,), begin, is_over, at_work=1)


def swept_again(stack: Stack) -> bool:
    """Sweep once more, and say that it has to be looked at again."""
    stack.sweep()
    return False


def unannounced(stack: Stack, count: int) -> list[str]:
    """Models with an object that no event told of."""
    names = stack.models("found", count, approval="person")
    stack.switch("DataLandedRule", on=False)
    for name in names:
        cheap.land(stack.ports, name, "a.csv")
    stack.rest(60)
    stack.switch("DataLandedRule", on=True)
    return names
