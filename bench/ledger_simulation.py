"""Histories of the ledger at random: one seed, one history, the same each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.explain import explain
from perennial.domain.ledger.holding import Opening, decide
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import read_model

from bench.ledger_actors import (
    command,
    crash_points,
    execute,
    on_run_ended,
    on_signal,
    push,
    restart_by_hand,
    retrain,
    sweep,
)
from bench.ledger_watch import Violation, Watch, must
from bench.ledger_world import (
    HOUR,
    MINUTE,
    MODEL,
    SECOND,
    Message,
    World,
    alarm_event,
    own_message,
)

FILES = ("a.csv", "b 1+2 %41.csv", "c.csv", "notes.txt")
MOST_ACTORS = 12
POINTS = sorted(crash_points())
COMMANDS = (
    *("pause", "resume", "resume", "exclude", "include"),
    *("retry", "retry", "stop", "stop", "approve", "approve"),
)


@dataclass
class Figures:
    """What histories added up to."""

    histories: int = 0
    steps: int = 0
    runs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    crashed_at: set[str] = field(default_factory=set)
    lied_at: set[str] = field(default_factory=set)

    def add(self, world: World) -> None:
        """Count one history."""
        self.histories += 1
        self.steps += world.steps
        self.runs += world.watch.opened_runs
        self.outcomes.update(world.watch.outcomes)
        self.crashed_at |= world.crashed_at
        self.lied_at |= world.lied_at


def limits_of(random: Random) -> Limits:
    """Limits such that every rule comes into play within a short history."""
    return Limits(
        quiet_ms=random.choice([0, 30 * SECOND, 5 * MINUTE]),
        max_wait_ms=random.choice([MINUTE, 10 * MINUTE, HOUR]),
        cool_down_ms=random.choice([0, 10 * MINUTE, HOUR]),
        max_runs_per_day=random.choice([1, 3, 24]),
    )


# -- what may happen -----------------------------------------------------------------------


def work(world: World) -> None:
    """Any actor goes one step on; jobs take their time."""
    if world.actors:
        actor = world.random.choice(world.actors)
        if actor.execution is None or world.random.random() < 0.3:
            world.step(actor)


def work_on(world: World) -> None:
    """One actor goes many steps on."""
    if world.actors:
        actor = world.random.choice(world.actors)
        most = 40 if actor.execution is None else 2
        for _ in range(world.random.randint(2, most)):
            if actor not in world.actors:
                return
            world.step(actor)


def die(world: World) -> None:
    """Any actor dies where it pauses."""
    if world.actors:
        world.crash(world.random.choice(world.actors))


def receive(world: World) -> None:
    """A message is delivered, in any order, and sometimes delivered again."""
    if not world.queue or len(world.actors) > MOST_ACTORS:
        return
    place = world.random.randrange(len(world.queue))
    message = world.queue[place]
    if message.visible_ms > world.now_ms:
        return
    if world.chance(0.1):
        message = Message(message.body, world.now_ms, ended=message.ended)
    else:
        del world.queue[place]
    deliver(world, message)


def deliver(world: World, message: Message) -> None:
    """Let the function behind the queue have a message."""
    if message.ended:
        world.spawn("on_run_ended", on_run_ended(world, message.body), message)
    else:
        world.spawn("on_signal", on_signal(world, message.body), message)


def lose(world: World) -> None:
    """A wake or an event gets lost."""
    lossy = [m for m in world.queue if '"wake"' in m.body or "Object Created" in m.body]
    if lossy:
        world.queue.remove(world.random.choice(lossy))


def land(world: World) -> None:
    """An object lands or is overwritten; its event comes once, twice or never."""
    name = world.random.choice(FILES)
    version = world.put(name, bad=world.random.random() < 0.15)
    for _ in range(world.random.choice([0, 1, 1, 1, 2])):
        world.announce(version)


def delete(world: World) -> None:
    """An object is deleted."""
    present = [key for key, history in world.objects.items() if not history[-1].marker]
    if present:
        world.delete(world.random.choice(present))


def pass_time(world: World) -> None:
    """Time passes: a moment, minutes, hours."""
    world.tick(world.random.choice([1, SECOND, 30 * SECOND, 3 * MINUTE, 15 * MINUTE, HOUR]))


def begin_sweep(world: World) -> None:
    """The sweeper starts; an earlier one may still be at work."""
    if len(world.actors) <= MOST_ACTORS:
        world.spawn("sweep", sweep(world))


def be_pushed(world: World) -> None:
    """Somebody pushes: new content, the old one again, or code that fails."""
    sha = world.random.choice(["sha-a", "sha-b", "sha-c"])
    broken = world.random.random() < 0.25
    world.spawn("push", push(world, sha + ("-broken" if broken else ""), broken=broken))


def be_asked(world: World) -> None:
    """Somebody asks for a run, with or without settings of its own."""
    overrides = world.random.choice([{}, {}, {"train.depth": "3"}, {"train.depth": "4"}])
    world.spawn("retrain", retrain(world, world.random.randint(1, 40), overrides))


def be_commanded(world: World) -> None:
    """Somebody pauses, resumes, retries, stops, excludes, includes or approves."""
    world.spawn("command", command(world, world.random.choice(COMMANDS)))


def alarm(world: World) -> None:
    """A monitor's alarm goes off."""
    world.send(alarm_event(world.random.choice(["data-quality", "bias"]), world.number() % 1000))


def other_reasons(world: World) -> None:
    """A schedule fires, or reviewers have answered."""
    number = world.number()
    if world.random.random() < 0.5:
        at = f"2026-11-20T10:{number % 60:02d}:00Z"
        world.send(own_message("schedule", schedule="nightly", scheduled=at))
    else:
        world.send(own_message("review", version=str(number), answers=20))


def end_badly(world: World) -> None:
    """A running execution is aborted by hand or takes too long."""
    running = [each for each in world.executions.values() if not each.is_over]
    if running:
        execution = world.random.choice(running)
        world.finish(execution, world.random.choice(["ABORTED", "TIMED_OUT"]))


#: What happens how often.
CHAOS: tuple[tuple[Callable[[World], None], int], ...] = (
    (work, 400),
    (work_on, 300),
    (die, 40),
    (receive, 150),
    (lose, 4),
    (land, 25),
    (delete, 8),
    (pass_time, 50),
    (begin_sweep, 20),
    (be_pushed, 5),
    (be_asked, 5),
    (be_commanded, 14),
    (alarm, 5),
    (other_reasons, 4),
    (end_badly, 25),
    (restart_by_hand, 3),
)
#: What leads to pauses that are rare otherwise.
WEAKNESS: dict[str, tuple[Callable[[World], None], ...]] = {
    "stopping": (be_commanded, begin_sweep),
    "early": (be_commanded, be_asked, delete, land),
    "retire": (delete, land),
    "give up": (be_asked,),
}
_HAPPENINGS = [happening for happening, _ in CHAOS]
_WEIGHTS = [weight for _, weight in CHAOS]


def restart_is_over(world: World) -> None:
    """Executions that were aborted do not work on."""
    for actor in list(world.actors):
        if actor.execution is not None and actor.execution.is_over and not actor.busy:
            actor.steps.close()
            world.actors.remove(actor)


# -- a history -----------------------------------------------------------------------------


def make_world(random: Random, limits: Limits) -> World:
    """An empty world with its watch."""
    return World(random, limits, Watch, execute)


def history(seed: int, happenings: int = 400) -> World:
    """Live through one history and its quiet end; raises `Violation`."""
    random = Random(seed)
    world = make_world(random, limits_of(random))
    world.weak_point = POINTS[seed % len(POINTS)]
    if random.random() < 0.5:
        land(world)  # objects may land before the model is pushed
    world.spawn("push", push(world, "sha-a"))
    # Histories differ in temper: in each, some things happen far more often than in others.
    weights = [weight * random.choice([1, 1, 2, 6]) for weight in _WEIGHTS]
    for words, often in WEAKNESS.items():
        if words in world.weak_point:
            for happening in often:
                weights[_HAPPENINGS.index(happening)] *= 8
    for happening in random.choices(_HAPPENINGS, weights, k=happenings):
        happening(world)
        restart_is_over(world)
    calm_down(world)
    return world


def calm_down(world: World) -> None:
    """Faults stop; whoever sleeps wakes up; one sweep later all is accounted for; and then,
    with time, everything that may happen has happened."""
    world.faults = False
    finish_all(world)
    world.queue.clear()
    run_sweep(world)
    world.watch.accounted_for()
    settle_down(world)
    check_rest(world)


def finish_all(world: World) -> None:
    """Let everyone finish; nobody is interrupted."""
    for _ in range(20_000):
        restart_is_over(world)
        if not world.actors:
            return
        world.step(world.random.choice(world.actors))
    raise AssertionError("the actors do not come to rest")


def run_sweep(world: World) -> None:
    """One quiet sweep, and whatever it sets going."""
    world.spawn("sweep", sweep(world))
    finish_all(world)


def settle_down(world: World) -> None:
    """Days pass, with sweeps, the model resumed and its code mended."""
    model = read_model(world.store, MODEL)
    if model is None:
        return
    world.spawn("command", command(world, "resume"))
    finish_all(world)
    world.broken_settings.clear()
    push_a_b_a(world)
    for _ in range(60):
        world.tick(4 * HOUR)
        world.queue.clear()
        run_sweep(world)
        if not _could_open(world):
            return
    raise AssertionError("the model does not come to rest in days of quiet")


def push_a_b_a(world: World) -> None:
    """Three pushes are three versions, though the third has the first one's content."""
    before = read_model(world.store, MODEL)
    for sha in ("sha-x", "sha-y", "sha-x"):
        world.spawn("push", push(world, sha))
        finish_all(world)
    after = read_model(world.store, MODEL)
    must(before and after and after.settings == before.settings + 3, "pushes of A, B, A are lost")


def _could_open(world: World) -> bool:
    """Whether a run is open, or time alone will open another."""
    book = _book(world)
    if book.run is not None:
        return True
    decision = decide(book, world.limits, world.now_ms)
    return isinstance(decision, Opening) or decision.until_ms is not None


def _book(world: World) -> Book:
    book = read_book(world.store, MODEL)
    if book is None:
        raise Violation("the model is gone")
    return book


def check_rest(world: World) -> None:
    """What is left waits for a reason that time does not mend, and says which."""
    model = read_model(world.store, MODEL)
    if model is None:
        return
    must(isinstance(model, ModelRow) and model.open_run is None, "a run is left open")
    must(not model.notices, "people were not told of every run")
    ended = set(world.watch.opened)
    must(ended <= set(world.notices), "people were not told of every run")
    must(set(world.watch.freed) == ended, "a run never freed its model")
    for line in explain(_book(world), world.limits, world.now_ms).signals:
        must(line.holds, f"{line.what} waits for nothing")
        codes = {hold.code for hold in line.holds}
        must(codes & {"held", "nothing-new", "no-data"}, f"{line.what} waits for {codes}")
    world.watch.accounted_for(at_rest=True)


def simulate(seeds: range, happenings: int = 400) -> Figures:
    """Many histories; their figures."""
    figures = Figures()
    for seed in seeds:
        figures.add(history(seed, happenings))
    return figures
