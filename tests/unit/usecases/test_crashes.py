"""A process that dies, or is lied to, at any one of its AWS calls loses nothing.

Every call that opening and ending a run makes is found by counting. The process dies after a call
that writes took effect (dying at any other moment leaves the world as dying after the write
before it does); or such a call took effect and its caller is told that it failed. Then, in turn,
the same is simply done again, as a redelivered message does, or the sweeper passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from perennial.domain.errors import PerennialError
from perennial.end_run import end_run
from perennial.sweep import sweep

from tests.unit.world import World

DIES, LIES = "dies", "is told that it failed"
READS = ("Get", "List", "Describe", "Query", "Head")


class ProcessDied(BaseException):
    """Nothing of the process goes on: no handler of ours may catch this."""


@dataclass
class Fault:
    """The k-th AWS call goes wrong; `calls` names all that were made."""

    k: int
    variant: str
    calls: list[str] = field(default_factory=list)

    def call(self, real: Callable[..., Any], client: Any, operation: str, request: Any) -> Any:
        """Stand in for botocore's own call."""
        self.calls.append(operation)
        answer = real(client, operation, request)
        if len(self.calls) != self.k:
            return answer
        if self.variant == DIES:
            raise ProcessDied(operation)
        lie: Any = {
            "Error": {"Code": "InternalServerError", "Message": "a lie of the test"},
            "ResponseMetadata": {"HTTPStatusCode": 500},
        }
        raise ClientError(lie, operation)


@contextmanager
def faulty(k: int, variant: str) -> Iterator[Fault]:
    """Let the k-th AWS call within go wrong; what the process died of stays inside."""
    fault = Fault(k, variant)
    real = BaseClient._make_api_call  # type: ignore[attr-defined]  # botocore's one way out

    def call(self: Any, operation: str, request: Any) -> Any:
        return fault.call(real, self, operation, request)

    BaseClient._make_api_call = call  # type: ignore[attr-defined]
    try:
        yield fault
    except (ProcessDied, PerennialError):
        pass
    finally:
        BaseClient._make_api_call = real  # type: ignore[attr-defined]


def every_call(
    prepare: Callable[[int], World], act: Callable[[World], Any], variant: str
) -> Iterator[tuple[World, str]]:
    """Let each write of `act` go wrong, on a world of its own, and recover from it."""
    dry = prepare(0)
    with faulty(0, variant) as whole:
        act(dry)
    writes = [k for k, name in enumerate(whole.calls, 1) if not name.startswith(READS)]
    assert len(writes) >= 7, "the action writes too little to be the real one"
    for turn, k in enumerate([0, *writes]):
        world = prepare(k + 1)
        with faulty(k, variant) as fault:
            act(world)
        told = f"call {k}, {whole.calls[k - 1] if k else 'none'}, {variant}"
        assert not k or fault.calls[:k] == whole.calls[:k], told
        if (turn + (variant == LIES)) % 2:
            act(world)
        else:
            swept = sweep(world.ports, deadline=time.monotonic() + 60)
            assert [each.failure for each in swept if each.failure] == [], told
        yield world, told


@pytest.mark.parametrize("variant", [DIES, LIES])
def test_opening_a_run_survives_a_fault_at_every_call(world: World, variant: str) -> None:
    """One run, one execution, every signal in it or waiting for the next."""
    bodies: dict[str, list[str]] = {}

    def prepare(k: int) -> World:
        fresh = world.sibling(f"m{k}")
        fresh.push()
        bodies[fresh.name] = [fresh.land("a b+%41.csv"), fresh.land("ü.csv")]
        return fresh

    # One batch admits two signals and opens the run that the push asked for.
    for fresh, told in every_call(prepare, lambda w: w.deliver(*bodies[w.name]), variant):
        assert fresh.executions() == [f"perennial-{fresh.name}-1"], told
        assert (fresh.model().open_run, fresh.run(1).state) == (1, "started"), told
        states = fresh.states()
        assert set(states) == {"a b+%41.csv", "ü.csv", "1"}, told
        assert states["1"] == "claimed", told
        assert set(states.values()) <= {"claimed", "pending"}, told
        # What landed before the manifest was written is read, whether or not it was tagged.
        listed = [each["key"].rsplit("/", 1)[-1] for each in fresh.manifest(1)]
        assert listed == ["a b+%41.csv", "ü.csv"], told


@pytest.mark.parametrize("variant", [DIES, LIES])
def test_ending_a_run_survives_a_fault_at_every_call(world: World, variant: str) -> None:
    """Freed once, every signal settled once, people told at least once and by one id."""
    world.push()
    world.deliver(world.land("a b+%41.csv"), world.land("ü.csv"))
    arn = world.win(1)
    refused = {name: world.manifest(1)[0][name] for name in ("bucket", "key", "version_id")}
    world.report(1, [{**refused, "quarantined": True, "reason": "wrong columns"}])

    def prepare(k: int) -> World:
        world.inbox()
        return world.copy(f"c{k}")

    worlds = every_call(prepare, lambda fresh: end_run(fresh.ports, arn), variant)
    for fresh, told in worlds:
        run, model = fresh.run(1), fresh.model()
        assert (run.state, run.outcome, run.notified) == ("ended", "won", True), told
        assert (model.open_run, model.last_run, model.notices) == (None, 1, ()), told
        states = {"a b+%41.csv": "quarantined", "ü.csv": "consumed", "1": "consumed"}
        assert fresh.states() == states, told
        notices = [each["MessageAttributes"]["id"]["Value"] for each in fresh.inbox()]
        assert set(notices) == {"perennial/census/1"}, told
        assert len(notices) <= 2, told
