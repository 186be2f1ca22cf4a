"""Crash points: found in the journal of an undisturbed run, then each one died at.

A function's calls of AWS are its only traces, so a crash point is a place among them: before or
after the k-th call of one invocation. Between two writes the world does not change: dying after
any of the reads in between leaves the same behind. So a point is named by the writes that were
done, and the suite dies before and after each write; `every_call` names points by all calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from local.faults import is_write
from tests.functional.conftest import LocalCloud

HITS = ("kill", "lie")
ATTEMPTS = 4  # of the SDK, which repeats a call that failed with HTTP 500
MOST_READS = 2  # of a function that only looks, and lets a run go on or not


class Point(NamedTuple):
    """One place to die at: `calls` end with the call before or after which the worker dies."""

    function: str
    calls: tuple[str, ...]
    when: str

    def __str__(self) -> str:
        how = "is told that it failed in" if self.when == "lied" else f"dies {self.when}"
        return f"{self.function} {how} write {len(self.calls)}: … {' '.join(self.calls[-3:])}"


@dataclass
class Invocation:
    """The AWS calls of one invocation, in order."""

    function: str
    calls: list[str] = field(default_factory=list)


class Journal:
    """The cloud's journal, read on from where the last look ended."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        entries = cloud.journal()
        self.last = entries[-1]["n"] if entries else 0
        self.under_way: dict[int, Invocation] = {}

    def read(self) -> tuple[list[Invocation], list[tuple[Invocation, dict[str, Any]]]]:
        """What has been called since: invocations that began, and what hit which of them.

        A hit comes with the invocation as it was then: later calls are cut off.
        """
        began, deaths = [], []
        for entry in self.cloud.journal(since=self.last):
            self.last = entry["n"]
            if entry["kind"] == "call":
                if entry["call"] == 1:
                    invocation = Invocation(logical(entry["function"]))
                    self.under_way[entry["worker"]] = invocation
                    began.append(invocation)
                if entry["worker"] in self.under_way:
                    called = f"{entry['service']}.{entry['operation']}"
                    self.under_way[entry["worker"]].calls.append(called)
            elif entry.get("fault") in HITS and entry["worker"] in self.under_way:
                hit = self.under_way[entry["worker"]]
                deaths.append((Invocation(hit.function, hit.calls[: entry["call"]]), entry))
        return began, deaths


def logical(function: str) -> str:
    """`OnSignal` of `perennial-OnSignalFunction-Q2XAYLUEQ9Y1`."""
    return function.split("-")[1].removesuffix("Function")


def points_of(
    invocations: Iterable[Invocation], *, every_call: bool = False, lies: bool = False
) -> set[Point]:
    """Every place to die (or be lied) at; a function that writes nothing dies at each call."""
    found: set[Point] = set()
    for each in invocations:
        only_reads = not any(map(is_write, each.calls)) and len(each.calls) <= MOST_READS
        for number, call in enumerate(each.calls, 1):
            if lies and is_write(call):
                found.add(point(each, number, "lied", every_call=False))
            elif not lies and (every_call or is_write(call) or only_reads):
                found |= {
                    point(each, number, when, every_call=every_call) for when in ("before", "after")
                }
    return found


def point(invocation: Invocation, number: int, when: str, *, every_call: bool) -> Point:
    """The name of the place before or after the numbered call."""
    calls = invocation.calls[:number]
    if not every_call and any(map(is_write, invocation.calls)):
        calls = [call for call in calls if is_write(call)]
    return Point(invocation.function, tuple(calls), when)


class Gauntlet:
    """Has workers die (or be lied to) at every point, once; knows at which they really were.

    All points are armed at once. The cloud strikes an invocation only when it has done just what
    the point says, so that one which resumes another's work is not taken for the point.
    """

    def __init__(self, cloud: LocalCloud, points: set[Point], *, every_call: bool = False) -> None:
        self.points = points
        self.every_call = every_call
        self.covered: set[Point] = set()
        self.hits = 0
        self._cloud = cloud
        self._journal = Journal(cloud)
        self._names = {
            logical(each["FunctionName"]): each["FunctionName"]
            for each in cloud.client("lambda").list_functions()["Functions"]
        }

    @property
    def left(self) -> list[Point]:
        """The points that nobody was struck at yet."""
        return sorted(self.points - self.covered)

    def arm(self) -> None:
        """Put every point in force that is left."""
        self._cloud.faults(
            kill=[self._kill(each) for each in self.left if each.when != "lied"],
            lie=[self._lie(each) for each in self.left if each.when == "lied"],
        )

    def look(self) -> None:
        """Note who was struck since the last look."""
        for invocation, entry in self._journal.read()[1]:
            self.hits += 1
            when = entry.get("when", "lied")
            struck = point(invocation, entry["call"], when, every_call=self.every_call)
            if struck in self.points:
                self.covered.add(struck)

    def _kill(self, at: Point) -> dict[str, Any]:
        kind = "writes" if any(map(is_write, at.calls)) and not self.every_call else "calls"
        return {"function": self._names[at.function], "when": at.when, kind: list(at.calls)}

    def _lie(self, at: Point) -> dict[str, Any]:
        name, operation = self._names[at.function], at.calls[-1]
        facts = {"operation": operation, "nth": 1, "times": ATTEMPTS}
        return {**facts, "caller": name, "writes": list(at.calls)}

    def report(self) -> str:
        """The visible count."""
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for each in self.points:
            counts[each.function][0] += each in self.covered
            counts[each.function][1] += 1
        return ", ".join(f"{name} {a} of {b}" for name, (a, b) in sorted(counts.items()))
