"""After a window the retrain policy is asked, and a training that pays becomes a signal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.ledger.rows import Champion, Live, RunRow, Verdict
from perennial.domain.ledger.store import change, create, drop
from perennial.weigh_training import weigh_training

from tests.unit.usecases.test_monitors import queued
from tests.unit.world import DOCUMENT, MODEL, World

DAY = 86_400_000


def watched(world: World, **retrain: Any) -> None:
    """A model that is watched daily; version 1 of run 1 is live for ten days."""
    world.push(
        release={"endpoint": {"count": 2}},
        monitor={"model-quality": {"every": "1d"}, "data-quality": {}, "retrain": retrain},
        triggers={**DOCUMENT["triggers"], "quiet_period": "0s"},
    )
    since = world.clock.now_ms - 10 * DAY
    live = Live("e", "c", 1, 1, "arn:1", since, run=1)
    champion = Champion(1, "arn:1", "d", 1, 1, since)
    fields: Any = {"live": live, "champion": champion, "has_data": True, "last_run": 1}
    paired = json.dumps({"usd": 0.5})
    run = RunRow(MODEL, 1, 1, since, "ended", claimed_ms=since, verdict=Verdict("u", "d", True))
    verdict = Verdict("u", "d", True, paired=paired)
    world.ledger.commit([change(world.model(), **fields), *map(drop, world.signals())])
    world.ledger.commit([create(change(run, verdict=verdict).row)])
    world.wakes()


def judged(world: World, *accuracies: float) -> None:
    """The days to now were judged with these accuracies."""
    for back, accuracy in zip(reversed(range(len(accuracies))), accuracies, strict=True):
        end_ms = world.clock.now_ms - back * DAY
        figures = json.dumps({"figures": {"accuracy": accuracy}})
        row = WindowRow(
            MODEL,
            "model-quality",
            end_ms - DAY,
            end_ms,
            1,
            1,
            1,
            1,
            end_ms,
            state="done",
            rows=100,
            labelled=100,
            figures=figures,
        )
        world.ledger.commit([create(row)])


def asked(world: World) -> list[dict[str, Any]]:
    """The policy's messages in the signal queue."""
    return [each for each in queued(world) if each.get("schedule") == "retrain-policy"]


def test_errors_that_add_up_open_a_run(world: World) -> None:
    """By the default policy, with the reason in words, and once only."""
    watched(world)
    judged(world, 0.9, 0.9, 0.6)
    decision = weigh_training(world.ports, MODEL, "model-quality")
    assert decision is not None
    assert decision.code == "pays"
    (message,) = asked(world)
    assert message["reason"].startswith("a training would have saved an error of 0.")
    world.deliver(json.dumps(message))
    (line,) = world.run(2).because
    assert line.startswith("schedule retrain-policy: ")
    assert line.endswith("it costs 0.05")
    assert weigh_training(world.ports, MODEL, "model-quality") is None


def test_a_dear_run_is_not_worth_it(world: World) -> None:
    """With what an error costs, the run's real cost decides: 50 errors a window are 0.5."""
    watched(world, error_usd=0.01)
    judged(world, 0.9, 0.9, 0.6)
    decision = weigh_training(world.ports, MODEL, "model-quality")
    assert decision is not None
    assert (decision.train, decision.code) == (False, "not-yet")
    assert decision.words.endswith("it costs 0.5")
    assert asked(world) == []


def test_a_fixed_period_needs_no_labels(world: World) -> None:
    """Any monitor's window is an occasion to look at the clock."""
    watched(world, policy="fixed", every="9d")
    decision = weigh_training(world.ports, MODEL, "data-quality", violations=1)
    assert decision is not None
    assert decision.code == "period"
    assert len(asked(world)) == 1


@pytest.mark.parametrize(
    ("retrain", "kind", "violations"),
    [
        ({"policy": "any-alarm"}, "model-quality", 0),
        ({}, "data-quality", 0),
        ({}, "model-quality", 1),
    ],
)
def test_what_the_policy_leaves_to_alarms(
    world: World, retrain: dict[str, Any], kind: str, violations: int
) -> None:
    """Alarms speak for themselves; unlabelled windows say nothing of errors."""
    watched(world, **retrain)
    judged(world, 0.9, 0.6)
    assert weigh_training(world.ports, MODEL, kind, violations) is None
    assert asked(world) == []


def test_nothing_is_decided_while_a_newer_version_waits(world: World) -> None:
    """What was decided to be live is not live yet: its errors are not known."""
    watched(world)
    judged(world, 0.9, 0.6)
    newer = Champion(2, "arn:2", "d", 2, 1, world.clock.now_ms)
    world.ledger.commit([change(world.model(), champion=newer)])
    assert weigh_training(world.ports, MODEL, "model-quality") is None
