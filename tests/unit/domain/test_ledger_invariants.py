"""The invariants of the ledger (DESIGN 5.2), held by the real rules under every fault.

`bench.ledger_world` is a cloud in memory; `bench.ledger_watch` states each invariant in words of
its own and looks at every commit. Here hypothesis decides what happens, and shrinks what goes
wrong; beside it run some hundred histories at random, in which every crash point is met, and a
few told by hand.

1. every object version that lands and matches is accounted for one sweep later;
2. at most one run per model; 3. a burst costs one run, max_wait bounds it; 4. cool-down and
budget hold; 5. a signal delivered twice counts once; 6. poison raises (see test_signals);
7. a run that ends in any way frees the model exactly once.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from perennial.domain.ledger.book import read_book
from perennial.domain.ledger.explain import explain
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.store import read_model, read_signals

from bench import ledger_simulation as simulation
from bench.ledger_actors import command, commit_names, crash_points, push, restart_by_hand, retrain
from bench.ledger_watch import must
from bench.ledger_world import HOUR, MINUTE, MODEL, SECOND, World

MOMENTS = st.sampled_from([1, SECOND, 30 * SECOND, 6 * MINUTE, 16 * MINUTE, HOUR, 25 * HOUR])
NAMES = st.sampled_from(simulation.FILES)


class Ledger(RuleBasedStateMachine):
    """Whatever may happen to one model, one happening at a time."""

    @initialize(
        random=st.randoms(use_true_random=False),
        quiet=st.sampled_from([0, 30, 300]),
        longest=st.sampled_from([60, 3600]),
        cool=st.sampled_from([0, 600, 3600]),
        budget=st.sampled_from([1, 3, 24]),
    )
    def begin(self, random: Random, quiet: int, longest: int, cool: int, budget: int) -> None:
        """A model is pushed, under some limits."""
        limits = Limits(quiet * SECOND, longest * SECOND, cool * SECOND, budget)
        self.world = simulation.make_world(random, limits)
        self.world.spawn("push", push(self.world, "sha-a"))

    @rule(name=NAMES, bad=st.booleans(), times=st.integers(0, 2))
    def land(self, name: str, *, bad: bool, times: int) -> None:
        """An object lands or is overwritten; its event comes never, once or twice."""
        version = self.world.put(name, bad=bad)
        for _ in range(times):
            self.world.announce(version)

    @rule()
    def delete(self) -> None:
        """An object is deleted."""
        simulation.delete(self.world)

    @rule(actor=st.integers(0, 50), steps=st.integers(1, 60))
    def work(self, actor: int, steps: int) -> None:
        """Somebody works on for a while, perhaps after a long sleep with old readings."""
        if self.world.actors:
            chosen = self.world.actors[actor % len(self.world.actors)]
            for _ in range(steps):
                if chosen in self.world.actors:
                    self.world.step(chosen)
            simulation.restart_is_over(self.world)

    @rule(actor=st.integers(0, 50))
    def die(self, actor: int) -> None:
        """Somebody dies at a pause."""
        if self.world.actors:
            self.world.crash(self.world.actors[actor % len(self.world.actors)])

    @rule()
    def receive(self) -> None:
        """A message is delivered, in any order, perhaps again."""
        simulation.receive(self.world)

    @rule()
    def lose(self) -> None:
        """A wake or an event gets lost."""
        simulation.lose(self.world)

    @rule(ms=MOMENTS)
    def pass_time(self, ms: int) -> None:
        """Time passes."""
        self.world.tick(ms)

    @rule()
    def sweep(self) -> None:
        """The sweeper starts."""
        simulation.begin_sweep(self.world)

    @rule(sha=st.sampled_from(["a", "b", "c"]), broken=st.booleans())
    def push_something(self, sha: str, *, broken: bool) -> None:
        """Somebody pushes, perhaps what was pushed before, perhaps code that fails."""
        mark = "-broken" if broken else ""
        self.world.spawn("push", push(self.world, f"sha-{sha}{mark}", broken=broken))

    @rule(number=st.integers(1, 5), depth=st.sampled_from(["", "3", "4"]))
    def ask(self, number: int, depth: str) -> None:
        """Somebody asks for a run, perhaps with settings of its own, perhaps twice."""
        overrides = {"train.depth": depth} if depth else {}
        self.world.spawn("retrain", retrain(self.world, number, overrides))

    @rule(name=st.sampled_from(simulation.COMMANDS))
    def order(self, name: str) -> None:
        """Somebody pauses, resumes, retries, stops, excludes, includes or approves."""
        self.world.spawn("command", command(self.world, name))

    @rule()
    def alarm(self) -> None:
        """A monitor's alarm goes off."""
        simulation.alarm(self.world)

    @rule()
    def other_reasons(self) -> None:
        """A schedule fires or reviewers answer."""
        simulation.other_reasons(self.world)

    @rule()
    def end_badly(self) -> None:
        """An execution is aborted by hand or takes too long."""
        simulation.end_badly(self.world)
        simulation.restart_is_over(self.world)

    @rule()
    def restart(self) -> None:
        """An execution is started or redriven by hand."""
        restart_by_hand(self.world)

    @invariant()
    def every_open_signal_has_an_answer(self) -> None:
        """`perennial why` can always say what each signal waits for."""
        self.world.depth = 1  # look, without letting anyone act meanwhile
        try:
            if read_model(self.world.store, MODEL) is not None:
                book = read_book(self.world.store, MODEL)
                must(book is not None, "a book cannot be read")
                for line in explain(book, self.world.limits, self.world.now_ms).signals:
                    must(line.what and all(hold.words for hold in line.holds), "no words")
        finally:
            self.world.depth = 0

    def teardown(self) -> None:
        """Calm returns: one sweep later all is accounted for, and days later all is settled."""
        if hasattr(self, "world"):
            simulation.calm_down(self.world)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_histories_at_random_meet_every_crash_point() -> None:
    """Some hundred histories: no violation, every pause died at, every write lied about."""
    figures = simulation.Figures()
    for seed in range(3000):
        figures.add(simulation.history(seed))
        is_met = figures.crashed_at >= crash_points() and figures.lied_at >= commit_names()
        if seed >= 500 and is_met:
            break
    assert figures.crashed_at >= crash_points(), crash_points() - figures.crashed_at
    assert figures.lied_at >= commit_names(), commit_names() - figures.lied_at
    assert set(figures.outcomes) == {"won", "lost", "refused", "failed", "stopped"}


@pytest.fixture
def calm() -> World:
    """A world without faults, with a pushed model and generous limits."""
    limits = Limits(5 * MINUTE, HOUR, HOUR, 24)
    world = simulation.make_world(Random(1), limits)
    world.faults = False
    world.spawn("push", push(world, "sha-a"))
    simulation.finish_all(world)
    world.queue.clear()
    return world


def deliver_due(world: World) -> None:
    """Deliver every message that is due, until none is."""
    while due := [m for m in world.queue if m.visible_ms <= world.now_ms]:
        for message in due:
            world.queue.remove(message)
            simulation.deliver(world, message)
        simulation.finish_all(world)


def live(world: World, ms: int) -> None:
    """Let time pass second by second where something is due, without any sweep."""
    end = world.now_ms + ms
    while world.now_ms <= end:
        deliver_due(world)
        following = [m.visible_ms for m in world.queue if m.visible_ms > world.now_ms]
        if not following or min(following) > end:
            world.now_ms = end
            return
        world.now_ms = min(following)


def test_a_burst_costs_one_run_by_wakes_alone(calm: World) -> None:
    """Many objects within ten seconds, with duplicates: one run, without any sweep."""
    for number in range(300):
        version = calm.put(f"{number}.csv")
        calm.announce(version)
        if number % 3 == 0:
            calm.announce(version)
        calm.tick(33)
        if number % 50 == 0:
            deliver_due(calm)
    live(calm, 2 * HOUR)
    assert calm.watch.opened_runs == 1
    rows = read_signals(calm.store, MODEL, "done#")
    assert sum(row.kind == "data" and row.state == "consumed" for row in rows) == 300
    assert not read_signals(calm.store, MODEL, "open#")


def test_one_chain_of_wakes_serves_a_long_wait(calm: World) -> None:
    """A wait of an hour costs a handful of wakes, however many signals come."""
    calm.announce(calm.put("a.csv"))
    live(calm, 10 * MINUTE)
    assert calm.watch.opened_runs == 1
    sent = []
    send_wake = calm.send_wake
    calm.send_wake = lambda due, delay: (sent.append(due), send_wake(due, delay))
    for number in range(100):
        calm.announce(calm.put(f"b{number}.csv"))
        live(calm, 10 * SECOND)
    live(calm, 2 * HOUR)
    assert calm.watch.opened_runs == 2
    assert len(sent) <= 12


def test_max_wait_bounds_a_burst_that_never_pauses(calm: World) -> None:
    """A signal a minute, for three hours: a run comes within max_wait and the cool-down."""
    began = calm.now_ms
    for number in range(180):
        calm.announce(calm.put(f"{number}.csv"))
        live(calm, MINUTE)
    opened = sorted(calm.watch.opened.values())
    assert opened[0] - began <= HOUR + MINUTE
    assert 2 <= len(opened) <= 3


def test_objects_that_landed_before_the_push_are_found() -> None:
    """The sweeper's listing needs no event."""
    world = simulation.make_world(Random(1), Limits(0, 0, 0, 24))
    world.faults = False
    world.put("early.csv")
    world.announce(world.put("announced.csv"))
    deliver_due(world)
    world.spawn("push", push(world, "sha-a"))
    simulation.finish_all(world)
    simulation.run_sweep(world)
    assert world.watch.opened_runs == 1
    world.watch.accounted_for(at_rest=True)


def test_an_overwritten_and_a_deleted_object(calm: World) -> None:
    """Before their run: one is superseded, one withdrawn, and neither is read."""
    calm.announce(calm.put("a.csv"))
    live(calm, HOUR)
    old, gone = calm.put("over.csv"), calm.put("gone.csv")
    calm.announce(old)
    calm.announce(gone)
    live(calm, MINUTE)
    new = calm.put("over.csv")
    calm.announce(new)
    calm.delete(gone.key)
    live(calm, 2 * HOUR)
    rows = {row.id: row for row in read_signals(calm.store, MODEL, "done#")}
    assert (rows[old.id].state, rows[gone.id].state) == ("superseded", "withdrawn")
    assert (rows[new.id].state, rows[new.id].run, calm.watch.opened_runs) == ("consumed", 2, 2)


def test_a_deterministic_failure_stops_the_model_trying(calm: World) -> None:
    """Code that fails runs once; mended code takes the held data along."""
    calm.spawn("push", push(calm, "sha-broken", broken=True))
    simulation.finish_all(calm)
    calm.announce(calm.put("a.csv"))
    live(calm, 10 * HOUR)
    for _ in range(20):
        calm.tick(HOUR)
        simulation.run_sweep(calm)
    assert calm.watch.opened_runs == 1
    book = read_book(calm.store, MODEL)
    assert {line.holds[0].code for line in explain(book, calm.limits, calm.now_ms).signals} == {
        "held"
    }
    calm.spawn("push", push(calm, "sha-mended"))
    simulation.finish_all(calm)
    live(calm, HOUR)
    assert calm.watch.opened_runs == 2
    assert not read_signals(calm.store, MODEL, "open#")
