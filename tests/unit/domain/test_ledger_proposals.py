"""What is proposed of earlier versions, and asked for: once for each release, never in a race."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.errors import Conflict
from perennial.domain.ledger import proposals
from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.monitor_rows import MonitorRow, Proposal
from perennial.domain.ledger.rows import Live, ModelRow, Paused, Wanted
from perennial.domain.ledger.store import MemoryStore, change, create

from tests.unit.domain.ledger_builders import NOW, model

LIVE = Live("e", "c", 7, 5, "arn:5", 100, run=6)
PERSON = Proposal(3, 7, 99, "version 3 errs less", "release.approval is person")
POLICY = replace(PERSON, objection="")


def wanted(version: int = 3) -> Wanted:
    """The release as the policy asks for it."""
    return Wanted("again", version, f"arn:{version}", NOW, run=4, by="the retrain policy")


def stored(proposal: Proposal | None = None, **fields: Any) -> MemoryStore:
    """A ledger with a model whose release 7 is live, and its monitor."""
    store = MemoryStore()
    row = model(**{"live": LIVE, **fields})
    asked = proposal.release if proposal is not None and not proposal.objection else 0
    head = MonitorRow("census", "model-quality", proposal=proposal, asked=asked)
    store.commit([create(row), create(head)])
    return store


def read(store: MemoryStore) -> tuple[MonitorRow, ModelRow]:
    """Both rows."""
    head, row = (store.get(key) for key in (MonitorRow("census", "model-quality").key, model().key))
    assert isinstance(head, MonitorRow)
    assert isinstance(row, ModelRow)
    return head, row


def test_a_person_is_asked_and_nothing_is_released():
    """With an objection there is a proposal alone, once."""
    store = stored()
    store.commit(proposals.propose(*read(store), PERSON, wanted()))
    head, row = read(store)
    assert (head.proposal, head.asked, row.waiting) == (PERSON, 0, None)
    assert proposals.propose(head, row, replace(PERSON, until_ms=200), wanted()) == ()


def test_by_policy_the_release_is_asked_for_at_once():
    """Proposal and wish are one transaction; nobody can have the one without the other."""
    store = stored()
    store.commit(proposals.propose(*read(store), POLICY, wanted()))
    head, row = read(store)
    assert (head.proposal, head.asked, row.waiting) == (POLICY, 7, wanted())


def test_a_race_with_another_decision_is_lost_whole():
    """The model's row changed meanwhile: nothing is noted, nobody is told."""
    for proposal in (PERSON, POLICY):
        store = stored()
        changes = proposals.propose(*read(store), proposal, wanted())
        store.commit([change(read(store)[1], labels_ms=5)])
        with pytest.raises(Conflict):
            store.commit(changes)
        assert read(store)[0].proposal is None


@pytest.mark.parametrize(
    "fields",
    [
        {"live": None},
        {"live": replace(LIVE, release=8)},
        {"paused": Paused("ann", "stop", 1)},
        {"open_run": 9},
        {"open_release": 8},
        {"waiting": wanted(9)},
        {"ab": AbTest(1, 8, "arn:8", 5, "e", "c", "d", NOW)},
    ],
)
def test_while_something_is_at_work_nothing_is_proposed(fields: dict[str, Any]):
    """A run, a release, an A/B test or a pause; or windows of what is not live any more."""
    head, row = read(stored(**fields))
    assert not proposals.may_propose(row, 7)
    for proposal in (PERSON, POLICY):
        assert proposals.propose(head, row, proposal, wanted()) == ()


def test_what_was_released_for_this_and_did_not_go_live_is_left_to_people():
    """The same version is not asked for again, another one is proposed with the reason."""
    store = stored(POLICY)
    assert proposals.propose(*read(store), POLICY, wanted()) == ()
    other = replace(POLICY, version=2)
    store.commit(proposals.propose(*read(store), other, wanted(2)))
    head, row = read(store)
    assert (head.proposal, row.waiting) == (replace(other, objection=proposals.TRIED), None)
    unfit = replace(other, version=1, objection="version 1 is Rejected, not Approved")
    store.commit(proposals.propose(*read(store), unfit, wanted(1)))
    assert read(store)[0].proposal == unfit


def test_after_another_release_everything_is_open_again():
    """What was proposed to replace another release says nothing of this one."""
    for before in (replace(POLICY, release=6), replace(PERSON, release=6)):
        store = stored(before)
        store.commit(proposals.propose(*read(store), POLICY, wanted()))
        assert read(store)[0].proposal == POLICY
        assert read(store)[1].waiting == wanted()


def test_a_person_s_proposal_does_not_keep_the_policy_from_another_one():
    """Only what was really asked for counts as tried."""
    store = stored(PERSON)
    store.commit(proposals.propose(*read(store), replace(POLICY, version=2), wanted(2)))
    assert read(store)[1].waiting == wanted(2)


def test_what_newer_windows_do_not_say_is_taken_back():
    """From people; what was asked for stays known. Others' releases are not touched."""
    head, _ = read(store := stored(PERSON))
    assert proposals.take_back(head, 6) == ()
    store.commit(proposals.take_back(head, 7))
    assert read(store)[0].proposal is None
    assert proposals.take_back(read(store)[0], 7) == ()
    assert proposals.take_back(read(stored(POLICY))[0], 7) == ()


def test_people_are_told_once():
    """Of this proposal; one that took its place meanwhile is still to be told."""
    head, row = read(store := stored(PERSON))
    assert proposals.standing(head, row) == PERSON
    assert proposals.mark_told(head, 2, 7) == ()
    assert proposals.mark_told(head, 3, 8) == ()
    assert proposals.mark_told(replace(head, proposal=None), 3, 7) == ()
    store.commit(proposals.mark_told(head, 3, 7))
    assert read(store)[0].proposal == replace(PERSON, is_told=True)
    assert proposals.mark_told(read(store)[0], 3, 7) == ()


def test_a_proposal_stands_as_long_as_the_release_it_is_about():
    """After another release it is history."""
    head, row = read(stored(PERSON))
    assert proposals.standing(None, row) is None
    assert proposals.standing(replace(head, proposal=None), row) is None
    assert proposals.standing(head, replace(row, live=None)) is None
    assert proposals.standing(head, replace(row, live=replace(LIVE, release=8))) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=12))
def test_a_release_is_asked_for_at_most_once_for_each_live_one(steps: list[tuple[int, bool]]):
    """Whatever is proposed, in whatever order, if no release goes live."""
    store, asked = stored(), 0
    for version, by_policy in steps:
        proposal = replace(POLICY if by_policy else PERSON, version=version)
        changes = proposals.propose(*read(store), proposal, wanted(version))
        if changes:
            store.commit(changes)
        _, row = read(store)
        if row.waiting is not None:
            asked += 1
            store.commit([change(row, waiting=None)])  # its release was opened, and failed
    assert asked <= 1
