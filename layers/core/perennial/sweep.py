"""One pass of the sweeper: repeat every step that was lost, find what no event announced.

The sweeper decides nothing of its own. It ends runs whose event was lost, opens what a lost wake
missed, sends notices again, and lists the landed object versions, page by page from where the
last pass stopped.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from perennial.admit_signal import admit_signal
from perennial.advance import Advance
from perennial.advance_ab import advance_ab
from perennial.advance_releases import ReleaseAdvance
from perennial.aws.objects import Listed, find_current, list_versions
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain import naming
from perennial.domain.errors import PerennialError
from perennial.domain.ledger.admit import forget_gone, observe_old, read_known
from perennial.domain.ledger.limits import REMEMBER_MS
from perennial.domain.ledger.rows import DONE_SK, OPEN_SK, ModelRow, SignalRow
from perennial.domain.ledger.store import Transaction, change, read_model, read_signals
from perennial.domain.manifest import is_selected
from perennial.domain.signals import DATA, data_signal, is_folder_mark
from perennial.end_release import look_after_releases
from perennial.forget_model import purge_removed
from perennial.keep_scaling import is_scaling_due
from perennial.look_after import look_after
from perennial.look_after_monitors import look_after_monitors
from perennial.note_labels import note_new_labels
from perennial.tell_people import tell_people
from perennial.tell_proposal import tell_proposal

if TYPE_CHECKING:
    from perennial.wiring import Ports


#: Weights take some seconds to change, and an alarm may sound meanwhile.
TEST_PATIENCE_S = 10.0


@dataclass
class ModelSweep:
    """What a pass did for one model; `failure` is why it stopped there, in words.

    `ab`: how its A/B test stands, empty without one. `monitors`: those that were made up for.
    """

    model: str
    advances: list[Advance] = field(default_factory=list)
    releases: ReleaseAdvance | None = None
    ab: str = ""
    told: tuple[int, ...] = ()
    listed: int = 0
    admitted: int = 0
    retired: int = 0
    purged: int = 0
    monitors: tuple[str, ...] = ()
    finished: bool = False
    failure: str = ""


@dataclass
class _Listing:
    """One model's listing under way: what the ledger knows, and what was seen."""

    ports: Ports
    model: ModelRow
    select: tuple[str, ...]
    known: dict[str, SignalRow]
    sweep: ModelSweep
    seen: set[str] = field(default_factory=set)
    current: dict[str, bool] = field(default_factory=dict)


def sweep(ports: Ports, *, deadline: float) -> list[ModelSweep]:
    """Sweep every model until the monotonic `deadline`; one model's failure stops no other.

    Runs come first, for they are few and people wait for them; then the listings, in an order
    that differs from pass to pass, so that no model is always last.
    """
    found = [ModelSweep(model) for model in ports.ledger.models()]
    random.shuffle(found)
    for step in (_look, _list):
        for each in found:
            if time.monotonic() > deadline:
                break
            try:
                if not each.failure:
                    step(ports, each, deadline)
            except PerennialError as error:
                each.failure = f"{type(error).__name__}: {error}"
    return found


def find_landed(ports: Ports, model: str, *, deadline: float) -> ModelSweep:
    """List one model's landed objects and look at what that brings, until the `deadline`."""
    found = ModelSweep(model)
    _list(ports, found, deadline)
    return found


def _look(ports: Ports, found: ModelSweep, _deadline: float) -> None:
    """Repeat the steps of a model's runs and releases, and its notices."""
    row = read_model(ports.ledger, found.model)
    if row is None:
        found.purged = purge_removed(ports, found.model)
        return
    found.advances.append(look_after(ports, found.model, watch=True))
    found.told = tell_people(ports, found.model)
    note_new_labels(ports, found.model)
    found.monitors = look_after_monitors(ports, row)
    tell_proposal(ports, row)
    if row.ab is not None:
        row = look_after_test(ports, found) or row
    is_at_work = row.open_release is not None or row.waiting is not None
    if is_at_work or row.release_notices or is_scaling_due(row):
        found.releases = look_after_releases(ports, found.model)


def sweep_test(ports: Ports, model: str) -> ModelSweep:
    """Look after one model's A/B test alone, for an alarm of its challenger sounds."""
    found = ModelSweep(model)
    look_after_test(ports, found)
    return found


def look_after_test(ports: Ports, found: ModelSweep) -> ModelRow | None:
    """Let an A/B test go on as far as the sweeper may; the model's row as it is then."""
    found.ab = advance_ab(ports, found.model, may_deploy=False, patience_s=TEST_PATIENCE_S).words
    return read_model(ports.ledger, found.model)


def _list(ports: Ports, found: ModelSweep, deadline: float) -> None:
    """Go on with the model's listing, and look at what it brought."""
    row = read_model(ports.ledger, found.model)
    if row is None:
        return
    listing = _Listing(
        ports,
        row,
        read_settings_of(ports.ledger, row).data.select,
        {
            signal.id: signal
            for family in (OPEN_SK, DONE_SK)
            for signal in read_signals(ports.ledger, row.model, family)
            if signal.kind == DATA
        },
        found,
    )
    began_ms, from_start = ports.clock(), not row.cursor
    cursor: str | None = row.cursor or None
    while not found.finished and time.monotonic() < deadline:
        cursor = _page(listing, cursor)
        found.finished = cursor is None
        _note_cursor(ports, row.model, cursor or "")
    if found.finished and from_start:
        _account_for_gone(listing, began_ms)
    if found.admitted:
        found.advances.append(look_after(ports, row.model))


def _page(listing: _Listing, cursor: str | None) -> str | None:
    """Account for one page of versions; the cursor of the next one."""
    bucket = listing.ports.deployment.landing_bucket
    page = list_versions(bucket, naming.landing_prefix(listing.model.model), cursor=cursor)
    for listed in page.versions:
        if listed.is_latest:
            listing.current[listed.version.key] = not listed.is_delete_marker
    for listed in page.versions:
        listing.sweep.listed += 1
        if not listed.is_delete_marker:
            listing.seen.add(listed.version.id)
            _account_for(listing, listed)
    return page.cursor


def _account_for(listing: _Listing, listed: Listed) -> None:
    """See that a listed version is in the ledger: a current one admitted, an old one settled."""
    version = listed.version
    known = listing.known.get(version.id)
    is_ours = is_selected(version.key, listing.model.model, listing.select)
    if not is_ours or is_folder_mark(version.key, version.size):
        return
    signal = data_signal(listing.model.model, version)
    if listed.is_latest:
        if known is None and admit_signal(listing.ports, signal).decision == "new":
            listing.sweep.admitted += 1
        return
    if known is not None and (not known.is_open or known.state == "claimed"):
        return
    is_overwritten = _is_current(listing, version.key)

    def decide() -> Transaction:
        return observe_old(
            signal,
            read_known(listing.ports.ledger, signal),
            listing.ports.clock(),
            is_overwritten=is_overwritten,
        )

    listing.sweep.retired += commit_change(listing.ports, decide)


def _is_current(listing: _Listing, key: str) -> bool:
    """Whether a key has a current version; its newest entry may lie on an earlier page."""
    if key not in listing.current:
        bucket = listing.ports.deployment.landing_bucket
        listing.current[key] = find_current(bucket, key) is not None
    return listing.current[key]


def _account_for_gone(listing: _Listing, began_ms: int) -> None:
    """Settle what waits for a version that a whole listing did not show: it was removed.

    Settled rows of removed versions may expire; as long as a version exists its row must not,
    or the next listing would take it for new.
    """
    ports = listing.ports
    for row in listing.known.values():
        if row.id in listing.seen or row.admitted_ms >= began_ms:
            continue

        def decide(gone: SignalRow = row) -> Transaction:
            known = read_known(ports.ledger, gone.signal)
            if known.done is not None:
                return forget_gone(known.done, ports.clock(), REMEMBER_MS)
            return observe_old(gone.signal, known, ports.clock(), is_overwritten=False)

        listing.sweep.retired += commit_change(ports, decide)


def _note_cursor(ports: Ports, model: str, cursor: str) -> None:
    def decide() -> Transaction:
        row = read_model(ports.ledger, model)
        return () if row is None or row.cursor == cursor else (change(row, cursor=cursor),)

    commit_change(ports, decide)
