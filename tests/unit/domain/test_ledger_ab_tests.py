"""A/B tests in the ledger: single flight with releases, repeatable steps, an end that frees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.ab_rows import AbOutcome, AbShare, AbStop, AbTest
from perennial.domain.ledger.ab_tests import (
    ITSELF,
    AskFor,
    AtRest,
    Finish,
    Record,
    SeenFleet,
    SetWeights,
    Try,
    Wait,
    ab_words,
    finished,
    give_up,
    next_ab_step,
    open_one,
    open_test,
    percent,
    request_stop,
    shift,
    tried,
)
from perennial.domain.ledger.commands import forget
from perennial.domain.ledger.release_words import waiting_words
from perennial.domain.ledger.releases import (
    OpenRelease,
    ReleaseBook,
    Rest,
    adopt,
    forget_endpoint,
    next_step,
    request,
    request_by_person,
    rollback_of,
)
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction
from perennial.domain.release_truth import GRACE_MS, SeenEndpoint

from tests.unit.domain.ledger_builders import HOUR, NOW
from tests.unit.domain.release_builders import ENDPOINT, NAMES, live, served_model, wanted

MAIN_CONFIG, CONFIG = "perennial-census-r2", "perennial-census-ab1"
ALARM = "perennial-guard-census-ab1-errors"
BOTH = {"main": 0.9, "challenger": 0.1}


def ab(**fields: Any) -> AbTest:
    """Test 1 of census: version 5 beside version 4."""
    given = {
        "number": 1,
        "challenger": 5,
        "arn": "arn:5",
        "main": 4,
        "endpoint": ENDPOINT,
        "main_config": MAIN_CONFIG,
        "config": CONFIG,
        "opened_ms": NOW - HOUR,
        "by": "ann",
        "because": "newer data",
        "run": 6,
        "settings": 3,
        "digest": "d5",
        "permille": 100,
        **fields,
    }
    return AbTest(**given)


def running(permille: int = 100, **fields: Any) -> AbTest:
    """The test, at work."""
    shares = (AbShare(NOW - HOUR, permille, "ann", "the test begins"),)
    asked = {"asked_config": CONFIG, "asked_ms": NOW - HOUR, "touched_ms": NOW - 2 * HOUR}
    return ab(**{"state": "running", "shares": shares, "permille": permille, **asked, **fields})


def under_test(test: AbTest, **fields: Any) -> ModelRow:
    """Census with this open test."""
    return served_model(ab=test, last_ab=1, **fields)


def seen(config: str = MAIN_CONFIG, status: str = "InService", **fields: Any) -> SeenFleet:
    """The endpoint, untouched since two hours unless said otherwise."""
    weights = fields.pop("weights", BOTH if config == CONFIG else {"main": 1.0})
    given = {"modified_ms": NOW - 2 * HOUR, **fields}
    return SeenFleet(SeenEndpoint(status, config, **given), weights)


def row_of(changes: Transaction) -> ModelRow:
    """The one row that a transaction writes."""
    (write,) = changes
    assert isinstance(write.row, ModelRow)
    return write.row


def test_a_test_takes_the_model_once() -> None:
    """Again with the same version asks for nothing; with another it is refused by name."""
    row = row_of(open_test(served_model(), ab()))
    assert (row.last_ab, row.ab, row.live) == (1, ab(), live())
    assert open_test(row, ab(number=2)) == ()
    assert row_of(open_test(served_model(), ab(permille=0))).ab == ab(permille=0)
    with pytest.raises(NotAllowed, match=r"A/B test 1 of census is open \(main 4, challenger 5\)"):
        open_test(row, ab(number=2, arn="arn:6"))
    stopping = replace(row, ab=ab(stop=AbStop("main", "ann", "x")))
    with pytest.raises(NotAllowed, match="another test would end it unseen"):
        open_test(stopping, ab(number=2))


@pytest.mark.parametrize(
    ("fields", "test", "words"),
    [
        ({"open_release": 3}, {}, "release 3 of census is at work"),
        ({"waiting": wanted()}, {}, "a release of census 5 is about to open"),
        ({"live": None}, {}, "nothing of census is live"),
        ({"live": live(arn="arn:5")}, {}, "census 5 is live already, as main"),
        ({}, {"permille": 501}, r"a share of 50\.1% is not from 0% to 50%"),
        ({}, {"permille": -1}, r"a share of -0\.1%"),
        ({"last_ab": 1}, {}, "changed meanwhile"),
        ({"live": live(release=3)}, {}, "changed meanwhile"),
    ],
)
def test_what_cannot_be_tested(fields: Any, test: Any, words: str) -> None:
    """Each is refused, in words."""
    with pytest.raises(NotAllowed, match=words):
        open_test(served_model(**fields), ab(**test))


def test_nothing_else_changes_the_endpoint_meanwhile() -> None:
    """A release, a rollback, an adoption, a removal: each refused, and the words name the test."""
    row = under_test(running(), previous=live(1, 3))
    book = ReleaseBook(row)
    for act in (
        lambda: request_by_person(book, wanted(kind="again", decided_ms=NOW)),
        lambda: request_by_person(book, rollback_of(row, "ann", "x", NOW)),
        lambda: adopt(row, wanted(kind="adopt"), NAMES, NOW),
        lambda: forget_endpoint(row),
        lambda: forget(row, NOW),
    ):
        with pytest.raises(NotAllowed, match="A/B test 1 of census is open"):
            act()


def test_an_approval_waits_for_the_end_of_the_test() -> None:
    """It is noted, opens nothing, and `why` says what it waits for; then it goes on."""
    row = row_of(request(ReleaseBook(under_test(running())), wanted(6, decided_ms=NOW)).changes)
    assert row.waiting is not None
    assert next_step(ReleaseBook(row), NOW) == Rest()
    assert waiting_words(ReleaseBook(row)) == (
        "A/B test 1 of census (main 4, challenger 5) runs; the challenger gets 10% of the traffic",
        "version 6 of census waits for the end of A/B test 1",
    )
    after = row_of(finished(replace(row, ab=running(stop=AbStop("main", "ann", "x"))), NOW))
    assert isinstance(next_step(ReleaseBook(after), NOW), OpenRelease)
    assert forget(replace(after, waiting=None), NOW)[0].row.last_ab == 1


def test_the_challenger_joins_at_weight_0_and_then_gets_its_share() -> None:
    """Asked for once, waited for, recorded, weighed, at rest."""
    row = under_test(ab())
    step = next_ab_step(row, seen(), (), NOW)
    assert isinstance(step, AskFor)
    assert (step.config, step.test) == (CONFIG, ab())
    asked = row_of(step.changes)
    assert asked.ab == ab(asked_config=CONFIG, asked_ms=NOW, touched_ms=NOW - 2 * HOUR)
    late = next_ab_step(asked, seen(), (), NOW + GRACE_MS - 1)
    assert late == Wait(f"endpoint {ENDPOINT} is asked to serve {CONFIG}")
    assert isinstance(next_ab_step(asked, seen(), (), NOW + GRACE_MS), AskFor)
    busy = next_ab_step(asked, seen(status="Updating", modified_ms=NOW), (), NOW)
    assert busy == Wait(f"endpoint {ENDPOINT} is Updating")
    joined = seen(CONFIG, weights={"main": 1.0, "challenger": 0.0}, modified_ms=NOW)
    assert next_ab_step(asked, joined, (), NOW) == Try(open_one(asked))
    proven = row_of(tried(asked, "it answered 50 of 50"))
    assert tried(proven, "it answered 49 of 49") == ()
    assert open_one(proven) == replace(open_one(asked), tried="it answered 50 of 50")
    step = next_ab_step(proven, joined, (), NOW)
    assert isinstance(step, Record)
    begun = row_of(step.changes)
    assert begun.ab is not None
    assert (begun.ab.state, begun.ab.share, step.notice) == ("running", 100, "")
    assert begun.ab.shares == (AbShare(NOW, 100, "ann", "the test begins"),)
    step = next_ab_step(begun, joined, (), NOW)
    assert step == SetWeights(begun.ab, {"main": 0.9, "challenger": 0.1})
    rest = next_ab_step(begun, seen(CONFIG), (), NOW)
    assert rest == AtRest("the challenger gets 10% of the traffic")


def test_a_weight_may_be_rounded_on_its_way() -> None:
    """SageMaker keeps weights in single precision; that is no reason to set them again."""
    near = seen(CONFIG, weights={"main": 0.90040, "challenger": 0.0996})
    assert isinstance(next_ab_step(under_test(running()), near, (), NOW), AtRest)
    far = seen(CONFIG, weights={"main": 0.901, "challenger": 0.099})
    assert isinstance(next_ab_step(under_test(running()), far, (), NOW), SetWeights)
    none = seen(CONFIG, weights={})
    assert (none.permille, far.permille, near.permille) == (0, 99, 100)
    assert isinstance(next_ab_step(under_test(running()), none, (), NOW), SetWeights)


def test_an_alarm_takes_the_challengers_traffic_away() -> None:
    """Recorded with the alarm's name and told to people; without traffic it changes nothing."""
    step = next_ab_step(under_test(running()), seen(CONFIG), (ALARM,), NOW)
    assert isinstance(step, Record)
    assert step.notice == f"{ALARM} sounds: the challenger gets nothing any more"
    halted = row_of(step.changes)
    assert halted.ab is not None
    assert halted.ab.shares[1:] == (AbShare(NOW, 0, ITSELF, step.notice),)
    step = next_ab_step(halted, seen(CONFIG), (ALARM,), NOW)
    assert step == SetWeights(halted.ab, {"main": 1.0, "challenger": 0.0})
    quiet = seen(CONFIG, weights={"main": 1.0, "challenger": 0.0})
    assert next_ab_step(halted, quiet, (ALARM,), NOW) == AtRest(
        "the challenger gets 0% of the traffic"
    )


def test_shares_are_shifted() -> None:
    """With who and why; the same again is nothing; a test that begins takes its first share."""
    row = under_test(running())
    shifted = row_of(shift(row, 500, "bob", "looks good", NOW)).ab
    assert shifted is not None
    assert shifted.shares[1] == AbShare(NOW, 500, "bob", "looks good")
    assert (shifted.share, shifted.permille) == (500, 500)
    assert shift(row, 100, "bob", "x", NOW) == ()
    early = row_of(shift(under_test(ab()), 200, "bob", "x", NOW)).ab
    assert early == ab(permille=200)
    assert shift(under_test(ab()), 100, "bob", "x", NOW) == ()
    with pytest.raises(NotAllowed, match="not from 0% to 50%"):
        shift(row, 501, "bob", "x", NOW)
    with pytest.raises(NotAllowed, match="is being stopped: enough"):
        shift(under_test(running(stop=AbStop("main", "ann", "enough"))), 10, "bob", "x", NOW)
    with pytest.raises(NotAllowed, match="no A/B test of census is open"):
        shift(served_model(), 10, "bob", "x", NOW)


@pytest.mark.parametrize("outcome", ["challenger", "main", "undecided"])
def test_a_stopped_test_goes_back_to_main_alone_and_frees_the_model(outcome: AbOutcome) -> None:
    """Only the challenger that won is wanted in production, by a release of its own."""
    row = row_of(request_stop(under_test(running()), outcome, "ann", "enough"))
    assert row.ab is not None
    assert (row.ab.stop, row.ab.state) == (AbStop(outcome, "ann", "enough"), "stopping")
    assert request_stop(row, outcome, "bob", "again") == ()
    other: AbOutcome = "main" if outcome != "main" else "undecided"
    with pytest.raises(NotAllowed, match=f"is being stopped already, as {outcome}: enough"):
        request_stop(row, other, "bob", "no")
    step = next_ab_step(row, seen(CONFIG), (ALARM,), NOW)
    assert isinstance(step, AskFor)
    assert step.config == MAIN_CONFIG
    back = row_of(step.changes)
    assert isinstance(next_ab_step(back, seen(CONFIG), (), NOW), Wait)
    done = next_ab_step(back, seen(modified_ms=NOW), (), NOW)
    assert done == Finish(back.ab)
    freed = row_of(finished(back, NOW))
    assert (freed.ab, freed.live, freed.last_ab) == (None, live(), 1)
    (last,) = freed.ended_abs
    assert (last.state, last.outcome, last.ended_ms) == ("ended", outcome, NOW)
    assert last.words == f"{outcome}, by ann: enough"
    if outcome != "challenger":
        assert (freed.waiting, freed.decided_ms) == (None, 0)
        return
    assert freed.waiting == wanted(
        5,
        kind="again",
        decided_ms=NOW,
        by="ann",
        because="it won A/B test 1: enough",
    )
    assert (freed.decided_ms, freed.decided_version) == (NOW, 5)
    assert isinstance(next_step(ReleaseBook(freed), NOW), OpenRelease)
    heard = row_of(finished(replace(back, decided_ms=NOW, decided_version=6), NOW))
    assert (heard.decided_ms, heard.decided_version) == (NOW, 6)
    heard = row_of(finished(replace(back, decided_ms=NOW + 1, decided_version=1), NOW))
    assert (heard.decided_ms, heard.decided_version) == (NOW + 1, 1)


def test_a_test_that_never_ran_has_no_winner() -> None:
    """It can be stopped; then nothing is left of it."""
    with pytest.raises(NotAllowed, match="has not served yet"):
        request_stop(under_test(ab()), "challenger", "ann", "x")
    row = row_of(request_stop(under_test(ab()), "undecided", "ann", "x"))
    assert next_ab_step(row, seen(), (), NOW) == Finish(row.ab)
    with pytest.raises(NotAllowed, match="no A/B test of census is open"):
        request_stop(served_model(), "main", "ann", "x")
    with pytest.raises(NotAllowed, match="is not to be stopped"):
        finished(under_test(ab()), NOW)


def test_a_challenger_that_does_not_come_up_ends_the_test() -> None:
    """SageMaker went back by itself; people are told why."""
    asked = ab(asked_config=CONFIG, asked_ms=NOW, touched_ms=NOW - 2 * HOUR)
    back = seen(modified_ms=NOW, reason="/ping failed")
    step = next_ab_step(under_test(asked), back, (), NOW + 1)
    assert isinstance(step, Record)
    assert step.notice == "the challenger did not come up: /ping failed"
    row = row_of(step.changes)
    assert isinstance(next_ab_step(row, back, (), NOW + 1), Finish)
    silent = next_ab_step(under_test(asked), seen(modified_ms=NOW), (), NOW)
    assert isinstance(silent, Record)
    assert silent.notice.endswith("the endpoint went back to main alone")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, f"endpoint {ENDPOINT} was deleted by someone"),
        (seen("other"), f"{ENDPOINT} was changed by someone else to other"),
        (seen(CONFIG, "Failed"), f"{ENDPOINT} was changed by someone else to {CONFIG}"),
        (seen(), f"{ENDPOINT} was put back to main alone by someone else"),
    ],
)
def test_what_others_did_to_the_endpoint_ends_the_test(found: Any, words: str) -> None:
    """What it serves now is not touched: the test is failed, and its remains are removed."""
    step = next_ab_step(under_test(running()), found, (), NOW)
    assert isinstance(step, Record)
    assert step.notice == words
    row = row_of(step.changes)
    assert row.ab is not None
    assert (row.ab.stop, row.ab.state) == (AbStop("failed", "Perennial", words), "stopping")
    assert next_ab_step(row, found, (), NOW) == Finish(row.ab)
    won = under_test(running(state="stopping", stop=AbStop("challenger", "ann", "x")))
    if found is not None and found.endpoint.config == MAIN_CONFIG:
        return
    step = next_ab_step(won, found, (), NOW)
    assert isinstance(step, Record)
    ended = row_of(finished(row_of(step.changes), NOW))
    assert ended.waiting is None


def test_a_broken_endpoint_is_taken_back_to_main() -> None:
    """After an update whose rollback failed too, another update is the repair."""
    broken = seen(CONFIG, "UpdateRollbackFailed", reason="machines of both")
    step = next_ab_step(under_test(running()), broken, (), NOW)
    assert isinstance(step, Record)
    assert step.notice == f"{ENDPOINT} is UpdateRollbackFailed: machines of both"
    row = row_of(step.changes)
    repair = next_ab_step(row, broken, (), NOW)
    assert isinstance(repair, AskFor)
    assert repair.config == MAIN_CONFIG
    alone = seen(MAIN_CONFIG, "UpdateRollbackFailed")
    assert isinstance(next_ab_step(row, alone, (), NOW), AskFor)


def test_giving_up_is_recorded_once() -> None:
    """The first reason stays; one that won cannot be released from an endpoint that is gone."""
    row = row_of(give_up(under_test(running()), "refused"))
    assert give_up(row, "again") == ()
    won = row_of(request_stop(under_test(running()), "challenger", "ann", "x"))
    assert row_of(give_up(won, "gone")).ab.stop.outcome == "failed"
    assert next_ab_step(served_model(), seen(), (), NOW) == AtRest("no A/B test is open")
    assert open_one(row) is row.ab


def test_only_the_last_tests_are_kept() -> None:
    """Twenty that ended, and two hundred shifts of one."""
    row = under_test(running(stop=AbStop("main", "ann", "x")), ended_abs=(ab(),) * 20)
    assert len(row_of(finished(row, NOW)).ended_abs) == 20
    many = under_test(running(shares=tuple(AbShare(n, n % 2) for n in range(200))))
    assert len(row_of(shift(many, 300, "ann", "x", NOW)).ab.shares) == 200


def test_what_why_says() -> None:
    """How far the test is, and what to do when it stands still."""
    assert ab_words(served_model()) == ()
    (line,) = ab_words(under_test(ab()))
    assert line.startswith("A/B test 1 of census (main 4, challenger 5) is being started; should")
    assert line.endswith('happen: perennial ab start census --version 5 --because "..."')
    stop = AbStop("main", "ann", "enough")
    (line,) = ab_words(under_test(running(stop=stop)))
    assert line.endswith("is being stopped: enough")
    assert [percent(each) for each in (0, 1, 25, 500)] == ["0%", "0.1%", "2.5%", "50%"]


@given(
    st.lists(
        st.sampled_from(
            ["look", "lose", "fail", "bad", "alarm", "calm", "shift", "stop", "late", "steal"]
        ),
        max_size=25,
    )
)
def test_whatever_happens_the_test_comes_to_rest(events: list[str]) -> None:
    """Crashes between any two steps, lost requests, alarms, other hands: main serves in the end.

    And while an alarm sounds, a pass leaves the challenger without traffic.
    """
    world = World()
    for event in events:
        world.happen(event)
        if event == "look":
            world.settle()
            if world.sounding and world.row.ab is not None and world.config == CONFIG:
                assert world.weights["challenger"] == 0
    if world.row.ab is not None and world.row.ab.stop is None:
        world.row = row_of(request_stop(world.row, "main", "ann", "enough"))
    world.settle()
    assert world.row.ab is None
    assert world.config in (MAIN_CONFIG, "stolen")
    assert CONFIG not in world.configs


class World:
    """An endpoint and a ledger, and everything that may happen to them."""

    def __init__(self) -> None:
        self.now = NOW
        self.row = row_of(open_test(served_model(), ab()))
        self.config, self.modified = MAIN_CONFIG, NOW - HOUR
        self.weights: dict[str, float] = {"main": 1.0}
        self.configs = {MAIN_CONFIG}
        self.sounding: tuple[str, ...] = ()
        self.loses = self.fails = self.is_bad = False

    def happen(self, event: str) -> None:
        """One thing that is nobody's step."""
        self.now += 1000
        test = self.row.ab
        match event:
            case "lose":
                self.loses = True
            case "fail":
                self.fails = True
            case "bad":
                self.is_bad = True
            case "alarm" | "calm":
                self.sounding = (ALARM,) if event == "alarm" else ()
            case "late":
                self.now += GRACE_MS
            case "steal":
                self.config, self.modified = "stolen", self.now
            case "shift" if test is not None and test.stop is None:
                for write in shift(self.row, 300, "ann", "more", self.now):
                    self.row = row_of((write,))
            case "stop" if test is not None and test.stop is None:
                self.row = row_of(request_stop(self.row, "undecided", "ann", "enough"))

    def settle(self) -> None:
        """Take steps until nothing is to be done."""
        for _ in range(60):
            self.now += 1000
            found = SeenFleet(
                SeenEndpoint("InService", self.config, modified_ms=self.modified), self.weights
            )
            match next_ab_step(self.row, found, self.sounding, self.now):
                case Record(changes):
                    self.row = row_of(changes)
                case AskFor(config=config, changes=changes):
                    self.row = row_of(changes)
                    self.update(config)
                case Try():
                    assert self.weights["challenger"] == 0
                    words = "it failed"
                    did = give_up(self.row, words) if self.is_bad else tried(self.row, "well")
                    self.row = row_of(did)
                case SetWeights(weights=weights):
                    assert self.row.ab is not None
                    assert self.row.ab.tried
                    self.weights = dict(weights)
                case Finish():
                    self.configs.discard(CONFIG)
                    self.row = row_of(finished(self.row, self.now))
                case Wait():
                    self.now += GRACE_MS
                case AtRest():
                    return
        raise AssertionError("it does not come to rest")

    def update(self, config: str) -> None:
        """UpdateEndpoint: lost on its way, rolled back, or done."""
        if self.loses:
            self.loses = False
            return
        self.configs.add(config)
        self.modified = self.now
        if self.fails:
            self.fails = False
            return
        self.config = config
        self.weights = {"main": 1.0, **({"challenger": 0.0} if config == CONFIG else {})}
