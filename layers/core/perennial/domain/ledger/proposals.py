"""Earlier versions that are better than the live one: what is proposed, and asked for, once.

An earlier version is proposed once for each release that it would replace. Where the settings let
a machine decide, its release is asked for in the same transaction, once for each such release too:
if that does not go live, people decide about every further one.
"""

from __future__ import annotations

from dataclasses import replace

from perennial.domain.ledger.monitor_rows import MonitorRow, Proposal
from perennial.domain.ledger.releases import ReleaseBook, request_by_person
from perennial.domain.ledger.rows import ModelRow, Wanted
from perennial.domain.ledger.store import Transaction, change, unchanged

TRIED = "an earlier version was released for this before, and did not go live"


def may_propose(model: ModelRow, release: int) -> bool:
    """Whether the release is live, and nothing is at work that may bring another version."""
    live = model.live
    return (
        live is not None
        and live.release == release
        and model.paused is None
        and model.open_run is None
        and model.open_release is None
        and model.waiting is None
        and model.ab is None
    )


def propose(row: MonitorRow, model: ModelRow, proposal: Proposal, wanted: Wanted) -> Transaction:
    """Note a proposal, and ask for its release unless there is an objection; empty if it is known.

    `wanted` is the release as the policy would ask for it. Empty too where `may_propose` says no.
    """
    known, release = row.proposal, proposal.release
    if known is not None and (known.version, known.release) == (proposal.version, release):
        return ()
    if not may_propose(model, release):
        return ()
    if row.asked == release and not proposal.objection:
        proposal = replace(proposal, objection=TRIED)
    if proposal.objection:
        return (change(row, proposal=proposal), unchanged(model))
    noted = change(row, proposal=proposal, asked=release)
    return (noted, *request_by_person(ReleaseBook(model), wanted))


def take_back(row: MonitorRow, release: int) -> Transaction:
    """Drop what was proposed to people, for newer windows do not say so; empty without any.

    What was asked for stays noted, for people to see.
    """
    known = row.proposal
    if known is None or known.release != release or not known.objection:
        return ()
    return (change(row, proposal=None),)


def mark_told(row: MonitorRow, version: int, release: int) -> Transaction:
    """Note that people were told of a proposal; empty if it is another one by now."""
    known = row.proposal
    if known is None or (known.version, known.release) != (version, release) or known.is_told:
        return ()
    return (change(row, proposal=replace(known, is_told=True)),)


def standing(row: MonitorRow | None, model: ModelRow) -> Proposal | None:
    """The proposal that is about what is live now; None without one."""
    known = None if row is None else row.proposal
    if known is None or model.live is None or known.release != model.live.release:
        return None
    return known
