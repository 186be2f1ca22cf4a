"""SageMaker, Step Functions and the ledger in memory, and who works on releases there.

Actors are generators that pause around each effect, as those of ``bench.ledger_actors``: at every
pause they may die, or sleep while others go on with their own readings. Every commit is watched.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perennial.domain.errors import Conflict, NotAllowed, NotClaimed, Withdrawn
from perennial.domain.ledger import release_claims, releases
from perennial.domain.ledger.rows import ModelRow, ReleaseRow, Wanted, release_key
from perennial.domain.ledger.store import (
    Change,
    MemoryStore,
    Transaction,
    Write,
    create,
    read_model,
    read_release,
)
from perennial.domain.release_truth import (
    CHANGING,
    GRACE_MS,
    SeenEndpoint,
    SeenExecution,
    is_stillborn,
    outcome_of,
)

MODEL, ENDPOINT = "census", "perennial-live-census"
Steps = Generator[None, None, None]


@dataclass
class Execution:
    """An execution of the release machine."""

    arn: str
    release: int
    status: str = "RUNNING"
    error: str = ""
    stopped_ms: int = 0


@dataclass
class Endpoint:
    """The endpoint, and what it is on its way to."""

    config: str
    status: str
    asked: str
    modified_ms: int


class Watched(MemoryStore):
    """A store that says what may never be written."""

    def __init__(self, world: ReleaseWorld) -> None:
        super().__init__()
        self.world = world

    def commit(self, changes: Sequence[Change]) -> None:
        """Look at each transaction that takes effect."""
        before = read_model(self, MODEL)
        super().commit(changes)
        put = [each.row for each in changes if isinstance(each, Write) and each.row is not None]
        ended = [each for each in put if isinstance(each, ReleaseRow) and each.state == "ended"]
        for row in ended:
            assert row.number not in self.world.ended, f"release {row.number} ended twice"
            self.world.ended[row.number] = str(row.outcome)
        after = read_model(self, MODEL)
        if before is None or after is None:
            return
        if (before.champion, before.live) != (after.champion, after.live):
            assert [row.outcome for row in ended] == ["released"], "what is live changed by itself"
        self._one_at_a_time(after)

    def _one_at_a_time(self, model: ModelRow) -> None:
        rows = self.query(f"model#{MODEL}", "release#")
        opened = [row.number for row in rows if isinstance(row, ReleaseRow) if row.state != "ended"]
        assert opened == ([model.open_release] if model.open_release else []), "not single flight"


@dataclass
class ReleaseWorld:
    """One model's releases, and all who work on them."""

    random: Random
    now_ms: int = 1_800_000_000_000
    statuses: dict[int, str] = field(default_factory=dict)
    decisions: list[tuple[int, int]] = field(default_factory=list)
    events: list[tuple[int, int]] = field(default_factory=list)
    executions: dict[str, Execution] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    actors: list[Steps] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)
    is_kind: bool = False

    def __post_init__(self) -> None:
        self.store = Watched(self)
        self.store.commit([create(ModelRow(MODEL, settings=1))])

    def model(self) -> ModelRow:
        """The model's row."""
        row = read_model(self.store, MODEL)
        assert row is not None
        return row

    def tick(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms

    # What people and SageMaker do.

    def decide(self, version: int, status: str) -> None:
        """Approve or reject a version; its event may come late, twice or never."""
        self.now_ms += 1
        self.statuses[version] = status
        self.decisions.append((self.now_ms, version))
        self.events.append((self.now_ms, version))

    def deliver(self, *, again: bool) -> None:
        """Deliver some event, perhaps not for the last time."""
        if self.events:
            index = self.random.randrange(len(self.events))
            event = self.events[index] if again else self.events.pop(index)
            self.actors.append(self.hear(*event))

    def settle_endpoint(self) -> None:
        """Let what the endpoint is on its way to come true, or be rolled back."""
        seen = self.endpoint
        if seen is None or seen.status not in CHANGING:
            return
        goes_well = self.is_kind or self.random.random() < 0.6
        if goes_well:
            seen.config, seen.status = seen.asked, "InService"
        elif seen.status == "Creating":
            seen.status = "Failed"
        else:
            seen.status = "InService"

    def cut_off(self, status: str) -> None:
        """Abort or time out an execution that runs."""
        running = [each for each in self.executions.values() if each.status == "RUNNING"]
        if running:
            self._end(self.random.choice(running), status)

    def tamper(self) -> None:
        """Somebody deletes the endpoint, or updates it by hand."""
        if self.endpoint is not None and self.endpoint.status == "InService":
            if self.random.random() < 0.5:
                self.endpoint = None
            else:
                self.endpoint.config, self.endpoint.modified_ms = "by-hand", self.now_ms

    # Who works on releases.

    def hear(self, decided_ms: int, version: int) -> Steps:
        """`on_version_approved`: note an approval, or take one back, by the registry's word."""
        for _ in range(30):
            book = self._book()
            yield
            if book is None:
                continue
            changes = self._heard(book, decided_ms, version)
            try:
                self._commit(changes)
            except Conflict:
                continue
            break
        yield
        yield from self.advance()

    def _heard(self, book: releases.ReleaseBook, decided_ms: int, version: int) -> Transaction:
        arn = f"arn:{version}"
        if self.statuses[version] == "Approved":
            wanted = Wanted("approval", version, arn, decided_ms)
            return releases.request(book, wanted).changes
        dropped = releases.forget_wish(book.model, arn)
        release = book.release
        if release is not None and release.arn == arn:
            return (*dropped, *release_claims.withdraw(release, "rejected"))
        return dropped

    def order(self, kind: str) -> Steps:
        """A person asks for a rollback, or for the champion's release again."""
        for _ in range(30):
            book = self._book()
            yield
            if book is None:
                continue
            try:
                self._commit(self._ordered(book, kind))
            except Conflict:
                continue
            except NotAllowed:
                return
            break
        yield
        yield from self.advance()

    def _ordered(self, book: releases.ReleaseBook, kind: str) -> Transaction:
        model = book.model
        if kind == "rollback":
            return releases.request_by_person(
                book, releases.rollback_of(model, "ann", "slow", self.now_ms)
            )
        champion = model.champion
        if champion is None:
            return ()
        wanted = Wanted("again", champion.version, champion.arn, self.now_ms)
        return releases.request_by_person(book, wanted)

    def advance(self, rounds: int = 40) -> Steps:
        """What events, sweeper and commands all run: the next step, until nothing is to be done."""
        for _ in range(rounds):
            book = self._book()
            yield
            if book is None:
                continue
            step = releases.next_step(book, self.now_ms)
            if isinstance(step, releases.Rest):
                return
            try:
                if (yield from self._carry_out(book.model, step)):
                    return
            except Conflict:
                continue

    def _carry_out(
        self, model: ModelRow, step: releases.ReleaseStep
    ) -> Generator[None, None, bool]:
        match step:
            case releases.OpenRelease(number=number):
                config = f"perennial-{MODEL}-r{number}"
                names = releases.ReleaseNames(f"arn:{config}", f"{number}", ENDPOINT, config)
                self._commit(releases.open_release(step, names, self.now_ms)[1])
            case releases.DropWish(changes=changes) | releases.RecordReleaseEnding(changes=changes):
                self._commit(changes)
            case releases.StartRelease(release=release):
                if release.execution not in self.executions:
                    self.executions[release.execution] = Execution(
                        release.execution, release.number
                    )
                    self.actors.append(self.execute(self.executions[release.execution]))
                yield
                self._commit(releases.mark_started(release, self.now_ms))
            case releases.WatchRelease(release=release):
                return self._watch(release)
            case releases.SettleRelease(release=release):
                yield from self._settle(model, release)
        yield
        return False

    def _watch(self, release: ReleaseRow) -> bool:
        execution = self.executions.get(release.execution)
        if release.stop is not None and execution is not None and execution.status == "RUNNING":
            self._end(execution, "ABORTED", "Withdrawn")
        found = outcome_of(release, self.seen(), self._seen_execution(execution), self.now_ms)
        if not isinstance(found, releases.ReleaseEnding):
            return True
        self._commit(releases.record_ending(release, found, self.now_ms))
        return False

    def _settle(self, model: ModelRow, release: ReleaseRow) -> Steps:
        seen = self.seen()
        if seen is not None and is_stillborn(release, seen):
            self.endpoint = None
        yield
        for config in releases.left_over(model, release):
            assert self.endpoint is None or config != self.endpoint.config, "in use"
        self._commit(releases.free(model, release, self.now_ms))

    def execute(self, execution: Execution) -> Steps:
        """The release machine: plan, perhaps fail, check again, change production, confirm."""
        for state in ("plan", "test", "check", "update", "wait", "confirm"):
            yield
            if execution.status != "RUNNING":
                return
            try:
                if self._do(execution, state):
                    return
            except NotClaimed:
                self._end(execution, "FAILED", "NotClaimed")
            except Withdrawn:
                self._end(execution, "FAILED", "Withdrawn")
            except Conflict:
                self._end(execution, "FAILED", "CheckReleaseFailed")

    def _do(self, execution: Execution, state: str) -> bool:
        """Carry out one state; True when the execution is over."""
        release = read_release(self.store, release_key(MODEL, execution.release))
        assert release is not None
        if state in ("plan", "check"):
            release_claims.check_release_claim(self.model(), release, execution.arn)
            if release.kind != "rollback" and self.statuses[release.version] != "Approved":
                self._end(execution, "FAILED", "Withdrawn")
        if state == "test" and not self.is_kind and self.random.random() < 0.2:
            self._end(execution, "FAILED", "SmokeTestNotPassed")
        if state == "check" and execution.status == "RUNNING":
            self._commit(release_claims.announce_update(release, self.now_ms))
        if state == "update":
            self._update(execution, release.config)
        if state == "confirm" and execution.status == "RUNNING":
            status = "SUCCEEDED" if self.is_live(release.config) else "FAILED"
            self._end(execution, status, "" if status == "SUCCEEDED" else "RolledBack")
        return execution.status != "RUNNING"

    def _update(self, execution: Execution, config: str) -> None:
        if self.endpoint is None:
            self.endpoint = Endpoint(config, "Creating", config, self.now_ms)
        elif self.endpoint.status == "InService":
            self.endpoint.asked, self.endpoint.status = config, "Updating"
            self.endpoint.modified_ms = self.now_ms
        else:
            self._end(execution, "FAILED", "UpdateEndpointFailed")

    # What is seen.

    def is_live(self, config: str) -> bool:
        """Whether production serves this configuration."""
        seen = self.endpoint
        return seen is not None and (seen.status, seen.config) == ("InService", config)

    def seen(self) -> SeenEndpoint | None:
        """DescribeEndpoint."""
        found = self.endpoint
        if found is None:
            return None
        return SeenEndpoint(found.status, found.config, "", found.modified_ms)

    def _seen_execution(self, found: Execution | None) -> SeenExecution | None:
        if found is None:
            return None
        return SeenExecution(
            found.status, found.status != "RUNNING", found.error, "", found.stopped_ms
        )

    def _end(self, execution: Execution, status: str, error: str = "") -> None:
        execution.status, execution.error = status, error
        execution.stopped_ms = self.now_ms

    def _book(self) -> releases.ReleaseBook | None:
        try:
            return releases.read_release_book(self.store, MODEL)
        except Conflict:
            return None

    def _commit(self, changes: Transaction) -> None:
        if changes:
            self.store.commit(changes)

    # How the world goes on.

    def work(self, chosen: int, steps: int) -> None:
        """Let one actor take some steps."""
        if not self.actors:
            return
        actor = self.actors[chosen % len(self.actors)]
        for _ in range(steps):
            try:
                next(actor)
            except StopIteration:
                self.actors.remove(actor)
                return

    def die(self, chosen: int) -> None:
        """Let one actor die where it stands; an execution that dies is aborted."""
        if self.actors:
            self.actors.pop(chosen % len(self.actors)).close()
            for each in self.executions.values():
                is_alive = any(
                    actor.gi_frame is not None and actor.gi_frame.f_locals.get("execution") is each
                    for actor in self.actors
                )
                if each.status == "RUNNING" and not is_alive:
                    self._end(each, "ABORTED")

    def calm_down(self) -> None:
        """No more faults: all that happened is heard of, and the sweeper comes again and again."""
        self.is_kind = True
        for event in self.decisions:
            self.actors.append(self.hear(*event))
        for _ in range(60):
            self.actors.append(self.advance())
            self._finish(self.actors)
            self.settle_endpoint()
            self._finish(self.actors)
            self.tick(GRACE_MS)

    def _finish(self, actors: Iterable[Any]) -> None:
        for _ in range(400):
            for actor in list(actors):
                self.work(self.actors.index(actor), 1)
            if not self.actors:
                return
