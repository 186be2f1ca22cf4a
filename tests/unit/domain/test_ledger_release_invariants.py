"""What holds of releases under every fault, by the real rules and the real truth.

1. at most one release a model; 2. each ends exactly once; 3. champion and live change only in the
transaction of a release that ended ``released`` (all three: :class:`release_world.Watched`, at
every commit); 4. once all is calm what the ledger says is live is what is live; 5. the newest
decision won; 6. any write may be the last that its writer makes, for anybody repeats it.
"""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from perennial.domain.ledger.rows import ReleaseRow

from tests.unit.domain.release_world import ReleaseWorld

VERSIONS = st.integers(1, 4)


def once_each(world: ReleaseWorld) -> bool:
    """Whether no approval was carried out by two releases, however often it was heard of."""
    rows = world.store.query("model#census", "release#")
    approvals = [
        (row.decided_ms, row.version)
        for row in rows
        if isinstance(row, ReleaseRow) and row.kind == "approval"
    ]
    return len(set(approvals)) == len(approvals) and set(approvals) <= set(world.decisions)


class Releases(RuleBasedStateMachine):
    """Whatever may happen to one model's releases, one happening at a time."""

    @initialize(random=st.randoms(use_true_random=False))
    def begin(self, random: Random) -> None:
        """A model with settings that ask for an endpoint."""
        self.world = ReleaseWorld(random)
        self.tampered = False

    @rule(version=VERSIONS)
    def approve(self, version: int) -> None:
        """A version is approved, perhaps again."""
        self.world.decide(version, "Approved")

    @rule(version=VERSIONS)
    def reject(self, version: int) -> None:
        """An approval is taken back, or never was."""
        self.world.decide(version, "Rejected")

    @rule(again=st.booleans())
    def deliver(self, *, again: bool) -> None:
        """An event comes, in any order, perhaps twice."""
        self.world.deliver(again=again)

    @rule(actor=st.integers(0, 9), steps=st.integers(1, 12))
    def work(self, actor: int, steps: int) -> None:
        """Somebody works on for a while, perhaps with old readings."""
        self.world.work(actor, steps)

    @rule(actor=st.integers(0, 9))
    def die(self, actor: int) -> None:
        """Somebody dies between two writes."""
        self.world.die(actor)

    @rule()
    def sweep(self) -> None:
        """The sweeper starts."""
        self.world.actors.append(self.world.advance())

    @rule(kind=st.sampled_from(["rollback", "again"]))
    def order(self, kind: str) -> None:
        """A person asks for a release."""
        self.world.actors.append(self.world.order(kind))

    @rule()
    def settle_endpoint(self) -> None:
        """A deployment comes to its end, good or bad."""
        self.world.settle_endpoint()

    @rule(status=st.sampled_from(["ABORTED", "TIMED_OUT"]))
    def cut_off(self, status: str) -> None:
        """An execution is ended by another hand."""
        self.world.cut_off(status)

    @rule()
    def tamper(self) -> None:
        """Somebody else changes or deletes the endpoint."""
        self.tampered = True
        self.world.tamper()

    @rule(ms=st.sampled_from([1, 1000, 60_000]))
    def pass_time(self, ms: int) -> None:
        """Time passes."""
        self.world.tick(ms)

    @invariant()
    def champion_is_what_is_live(self) -> None:
        """Both say the same version, at any time."""
        model = self.world.model()
        assert (model.champion is None) == (model.live is None)
        if model.champion is not None and model.live is not None:
            assert model.champion.arn == model.live.arn

    def teardown(self) -> None:
        """Calm returns: nothing is left at work, and the ledger tells the truth."""
        if not hasattr(self, "world"):
            return
        self.world.calm_down()
        model = self.world.model()
        assert model.open_release is None
        assert model.waiting is None
        assert set(self.world.ended) == set(range(1, model.last_release + 1))
        if not self.tampered:
            live, seen = model.live, self.world.endpoint
            assert (live.config if live else None) == (seen.config if seen else None)
        assert once_each(self.world)


TestReleases = Releases.TestCase
TestReleases.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def in_peace(*decisions: tuple[int, str], shuffled: int = 0) -> ReleaseWorld:
    """A world where these were decided and all goes well; events come in another order."""
    world = ReleaseWorld(Random(shuffled))
    world.is_kind = True
    for version, status in decisions:
        world.decide(version, status)
    world.random.shuffle(world.decisions)
    world.calm_down()
    return world


def test_the_newest_approval_wins_in_whatever_order_it_is_heard_of() -> None:
    """Three approvals, sixty orders: always the last one is live."""
    for seed in range(60):
        world = in_peace((1, "Approved"), (2, "Approved"), (3, "Approved"), shuffled=seed)
        champion, live = world.model().champion, world.model().live
        assert champion is not None
        assert live is not None
        assert champion.version == 3
        assert world.is_live(live.config)


def test_approve_reject_approve_is_two_releases_at_most() -> None:
    """And the last decision counts."""
    for seed in range(60):
        world = in_peace((1, "Approved"), (1, "Rejected"), (1, "Approved"), shuffled=seed)
        champion = world.model().champion
        assert champion is not None
        assert champion.version == 1
        assert len(world.ended) <= 2


def test_a_version_whose_approval_was_taken_back_never_goes_live() -> None:
    """Whichever event is heard of first: the registry's word counts."""
    for seed in range(60):
        world = in_peace((1, "Approved"), (2, "Approved"), (2, "Rejected"), shuffled=seed)
        champion = world.model().champion
        assert champion is None or champion.version == 1


def test_histories_at_random() -> None:
    """Some hundred more, longer than hypothesis tries them, with a death at every fifth step."""
    met: set[str] = set()
    for seed in range(400):
        random = Random(seed)
        world = ReleaseWorld(random)
        for _ in range(120):
            chosen = random.random()
            if chosen < 0.1:
                world.decide(random.randint(1, 4), random.choice(["Approved"] * 3 + ["Rejected"]))
            elif chosen < 0.2:
                world.deliver(again=random.random() < 0.3)
            elif chosen < 0.3:
                world.settle_endpoint()
            elif chosen < 0.4:
                world.die(random.randrange(10))
            elif chosen < 0.45:
                world.actors.append(world.advance())
            elif chosen < 0.48:
                world.actors.append(world.order(random.choice(["rollback", "again"])))
            else:
                world.work(random.randrange(10), random.randint(1, 8))
            world.tick(random.choice([1, 1000, 40_000]))
        world.calm_down()
        model, seen = world.model(), world.endpoint
        assert model.open_release is None
        assert once_each(world)
        assert (model.live.config if model.live else None) == (seen.config if seen else None)
        met |= set(world.ended.values())
    assert met >= {"released", "rolled_back", "failed", "withdrawn", "stopped"}
