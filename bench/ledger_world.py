"""A cloud in memory that does to the ledger's rules what AWS, time and people can do.

Objects land, are overwritten and deleted; events are lost, doubled, reordered; every actor (the
functions of production, written as generators that pause around each effect) can die at each
pause or sleep there for hours and go on with what it read; writes take effect while their caller
is told that they failed; executions end in every way and are restarted by hand. Everything is
driven by one random source, so a seed repeats a history.

The world keeps the truth beside the ledger: `ledger_watch.Watch` compares both at every commit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from perennial.domain.errors import PerennialError, Unavailable
from perennial.domain.ledger.limits import Limits
from perennial.domain.ledger.rows import Key, Row, RunRow
from perennial.domain.ledger.store import Change, MemoryStore
from perennial.domain.manifest import Manifest
from perennial.domain.signals import ObjectVersion, wake_body

MODEL = "census"
BUCKET = "landing"
STACK = "perennial"
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:perennial-retrain"
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START_MS = 1_800_000_000_000
SELECT = ("*.csv",)
MOST_RECEIVES = 5

Steps = Generator[str, None, Any]


@dataclass(frozen=True)
class Stored:
    """One entry of the bucket's history; a marker is what deleting leaves."""

    version: ObjectVersion
    bad: bool = False
    marker: bool = False


@dataclass
class Execution:
    """One execution of the retrain machine. `jobs`: SageMaker jobs that are at work for it."""

    arn: str
    name: str
    input: str
    status: str = "RUNNING"
    passed: bool | None = None
    error: str = ""
    cause: str = ""
    jobs: set[str] = field(default_factory=set)
    past_claim: bool = False
    redriven: bool = False

    @property
    def is_over(self) -> bool:
        return self.status != "RUNNING"


@dataclass
class Message:
    """A message of the signal queue, or of the queue of status events."""

    body: str
    visible_ms: int
    receives: int = 0
    ended: bool = False


@dataclass
class Actor:
    """Something at work: a function, the sweeper, an execution, a person at a terminal."""

    name: str
    steps: Steps
    message: Message | None = None
    execution: Execution | None = None
    at: str = "start"
    busy: bool = False


class Watching(Protocol):
    """What looks at all that happens (`ledger_watch.Watch`)."""

    opened_runs: int
    outcomes: Counter[str]
    opened: dict[int, int]
    freed: Counter[int]

    def committed(self, changes: Sequence[Change], before: Mapping[Key, Row | None]) -> None:
        """A transaction took effect."""

    def passed_claim(self, execution: Execution) -> None:
        """An execution goes past its claim check."""

    def registered(self, execution: Execution) -> None:
        """An execution is about to register a version."""

    def run(self, number: int | None) -> RunRow:
        """A run's row, which must be there."""

    def accounted_for(self, *, at_rest: bool = False) -> None:
        """Every object version must have a fate."""


class WatchedStore(MemoryStore):
    """The ledger table. Others may act between any two reads of one actor."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def get(self, key: Key) -> Row | None:
        self.world.breathe()
        return super().get(key)

    def query(self, pk: str, sk_prefix: str) -> list[Row]:
        self.world.breathe()
        return super().query(pk, sk_prefix)

    def peek(self, key: Key) -> Row | None:
        """Read without letting anybody act (for the watch)."""
        return super().get(key)

    def peek_all(self, pk: str, sk_prefix: str) -> list[Row]:
        """Query without letting anybody act (for the watch)."""
        return super().query(pk, sk_prefix)

    def commit(self, changes: Sequence[Change]) -> None:
        before = {each.key: super(WatchedStore, self).get(each.key) for each in changes}
        super().commit(changes)
        self.world.watch.committed(changes, before)


class World:
    """All that is outside of the rules."""

    def __init__(
        self,
        random: Random,
        limits: Limits,
        watch: Callable[[World], Watching],
        execute: Callable[[World, Execution], Steps],
    ) -> None:
        self.random = random
        self.now_ms = START_MS
        self.limits = limits
        self.store = WatchedStore(self)
        self.objects: dict[str, list[Stored]] = {}
        self.queue: list[Message] = []
        self.dead_letters: list[Message] = []
        self.executions: dict[str, Execution] = {}
        self.manifests: dict[str, Manifest] = {}
        self.reports: dict[int, frozenset[str]] = {}
        self.notices: list[int] = []
        self.actors: list[Actor] = []
        self.broken_settings: set[int] = set()
        self.faults = True
        #: A pause at which this history's actors like to die.
        self.weak_point = ""
        self.counter = 0
        self.steps = 0
        self.depth = 0
        self.crashed_at: set[str] = set()
        self.lied_at: set[str] = set()
        self.execute = execute
        self.watch = watch(self)

    # -- time and chance ---------------------------------------------------------------

    def chance(self, share: float) -> bool:
        """Whether a fault of this share happens now; never once faults are off."""
        return self.faults and self.random.random() < share

    def number(self) -> int:
        """A number that never came before."""
        self.counter += 1
        return self.counter

    def tick(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms

    # -- S3 ----------------------------------------------------------------------------

    def put(self, name: str, *, bad: bool = False) -> ObjectVersion:
        """An object lands; whether its event arrives is decided apart."""
        key = f"incoming/{MODEL}/{name}"
        number = self.number()
        version = ObjectVersion(BUCKET, key, f"v{number}", f"e{number}", 100, self.now_ms)
        self.objects.setdefault(key, []).append(Stored(version, bad=bad))
        return version

    def delete(self, key: str) -> None:
        """The current version goes; earlier ones stay, as in a versioned bucket."""
        version = ObjectVersion(BUCKET, key, f"v{self.number()}", "", 0, self.now_ms)
        self.objects[key].append(Stored(version, marker=True))

    def current(self) -> list[ObjectVersion]:
        """What a listing of current versions shows."""
        tops = (history[-1] for history in self.objects.values())
        return [top.version for top in tops if not top.marker]

    def all_versions(self) -> list[tuple[ObjectVersion, bool, bool]]:
        """Every version: (version, is current, is its key overwritten rather than deleted)."""
        found = []
        for history in self.objects.values():
            top = history[-1]
            for each in history:
                if not each.marker:
                    found.append((each.version, each is top, not top.marker))
        return found

    def is_bad(self, version: ObjectVersion) -> bool:
        """Whether the check would refuse this version."""
        return any(s.bad for s in self.objects[version.key] if s.version == version)

    # -- the queue ---------------------------------------------------------------------

    def send(self, body: str, delay_ms: int = 0, *, ended: bool = False) -> None:
        """Put a message into the queue."""
        self.queue.append(Message(body, self.now_ms + delay_ms, ended=ended))

    def send_wake(self, due_ms: int, delay_s: int) -> None:
        """Wake the ledger later."""
        self.send(wake_body(MODEL, due_ms), delay_s * 1000)

    def announce(self, version: ObjectVersion) -> None:
        """S3's event for an object."""
        self.send(object_created(version))

    # -- Step Functions and SageMaker ----------------------------------------------------

    def start_execution(self, arn: str, document: str) -> None:
        """StartExecution: the same name twice is the same execution."""
        if arn in self.executions:
            return
        execution = Execution(arn, arn.rpartition(":")[2], document)
        self.executions[arn] = execution
        self.spawn_execution(execution)

    def stop_execution(self, arn: str) -> None:
        """StopExecution; jobs that it started go on until somebody stops them."""
        execution = self.executions.get(arn)
        if execution is not None and not execution.is_over:
            self.finish(execution, "ABORTED")

    def finish(self, execution: Execution, status: str, error: str = "", cause: str = "") -> None:
        """An execution ends and says so, unless the event gets lost."""
        execution.status, execution.error, execution.cause = status, error, cause
        if status not in ("ABORTED", "TIMED_OUT"):
            execution.jobs.clear()
        if not self.chance(0.2):
            self.send(execution.arn, ended=True)

    def spawn_execution(self, execution: Execution) -> None:
        """Let an execution work."""
        self.spawn("execution", self.execute(self, execution), execution=execution)

    # -- actors ------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        steps: Steps,
        message: Message | None = None,
        execution: Execution | None = None,
    ) -> Actor:
        """Something begins to work."""
        actor = Actor(name, steps, message, execution)
        self.actors.append(actor)
        return actor

    def step(self, actor: Actor) -> None:
        """Let an actor work up to its next pause."""
        if actor.busy:
            return
        self.steps += 1
        actor.busy = True
        try:
            actor.at = next(actor.steps)
            weak = actor.at == self.weak_point and self.chance(0.4)
        except StopIteration:
            self._leave(actor)
            weak = False
        except PerennialError:
            self._fail(actor)
            weak = False
        finally:
            actor.busy = False
        if weak:
            self.crash(actor)

    def crash(self, actor: Actor) -> None:
        """An actor dies where it pauses. Executions do not die; they are AWS's."""
        if actor.busy or actor.execution is not None:
            return
        self.steps += 1
        self.crashed_at.add(actor.at)
        actor.steps.close()
        self._fail(actor)

    def breathe(self) -> None:
        """Others act while somebody reads."""
        if self.depth or not self.faults or self.random.random() >= 0.04 or not self.actors:
            return
        self.depth += 1
        try:
            self.step(self.random.choice(self.actors))
        finally:
            self.depth -= 1

    def commit(self, name: str, changes: Sequence[Change]) -> Steps:
        """Write to the ledger, with a pause on each side and every fault of a write."""
        yield f"before {name}"
        if self.chance(0.01):
            raise Unavailable("throttled: nothing was written")
        self.store.commit(changes)
        if self.chance(0.02):
            self.lied_at.add(name)
            raise Unavailable("written, but the caller is told that it failed")
        yield f"after {name}"

    def _leave(self, actor: Actor) -> None:
        if actor in self.actors:
            self.actors.remove(actor)

    def _fail(self, actor: Actor) -> None:
        self._leave(actor)
        message = actor.message
        if message is None:
            return
        message.receives += 1
        message.visible_ms = self.now_ms + MINUTE
        place = self.queue if message.receives < MOST_RECEIVES else self.dead_letters
        place.append(message)


def object_created(version: ObjectVersion) -> str:
    """S3's event, as the signal queue gets it."""
    detail = {
        "bucket": {"name": version.bucket},
        "object": {
            "key": version.key,
            "size": version.size,
            "etag": version.etag,
            "version-id": version.version_id,
        },
    }
    return json.dumps(
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "time": "2026-11-20T10:00:00Z",
            "detail": detail,
        }
    )


def alarm_event(kind: str, number: int) -> str:
    """A monitor's alarm goes off."""
    state = {"value": "ALARM", "timestamp": f"2026-11-20T10:00:00.{number:03d}+0000"}
    detail = {"alarmName": f"perennial-monitor-{MODEL}-{kind}", "state": state}
    source = {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change"}
    return json.dumps({**source, "detail": detail})


def own_message(word: str, **fields: object) -> str:
    """A message in Perennial's own words."""
    return json.dumps({"perennial": word, "model": MODEL, **fields})
