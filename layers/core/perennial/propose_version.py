"""Propose an earlier version that is surely better than the live one, or ask for its release.

What is proposed rests on labelled rows that both versions answered (`retrain_policy`), never on an
alarm. Where the settings let a machine decide, the release goes the way of every other one: tested,
guarded, rolled back. Else people are told, with the command to give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.approve_candidate import code_objection
from perennial.aws import registry
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings, read_settings_of
from perennial.domain.ledger import proposals
from perennial.domain.ledger.monitor_rows import Proposal, WindowRow
from perennial.domain.ledger.rows import ModelRow, RunRow, Wanted
from perennial.domain.ledger.store import Transaction, read_model
from perennial.domain.retrain_history import is_labelled, trained_ms
from perennial.domain.retrain_policy import Better, better_version
from perennial.tell_proposal import read_quality
from perennial.weigh_training import history_of, runs_of, windows_of

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Who asks for a release that the policy decided on.
BY = "the retrain policy"


@dataclass(frozen=True)
class Found:
    """An earlier version that should serve, the run that made it, and what says so."""

    run: RunRow
    version: int
    better: Better
    until_ms: int


def propose_version(ports: Ports, model: str) -> Proposal | None:
    """Look at the newest windows; what was newly proposed, None for nothing new.

    Nothing is proposed on windows of a version that is not live any more, nor while something is
    at work that may bring another version. What the newest windows do not say any more is dropped.
    """
    row = read_model(ports.ledger, model)
    if row is None or row.live is None or not proposals.may_propose(row, row.live.release):
        return None
    release = row.live.release
    windows = [each for each in windows_of(ports, model) if is_labelled(each)]
    if not windows or windows[-1].release != release:
        return None
    found = find_better(ports, row, windows)
    if found is None:
        _take_back(ports, model, release)
        return None
    objection, wanted = _decision(ports, row, found)
    words = words_of(found, row.live.version)
    proposal = Proposal(found.version, release, found.until_ms, words, objection)

    def decide() -> Transaction:
        now = read_model(ports.ledger, model)
        head = read_quality(ports, model)
        if now is None or head is None:
            return ()
        return proposals.propose(head, now, proposal, wanted)

    return proposal if commit_change(ports, decide) else None


def find_better(ports: Ports, row: ModelRow, windows: list[WindowRow]) -> Found | None:
    """The version that erred surely less than the live one over the newest of these windows."""
    runs = runs_of(ports, row)
    history = history_of(ports, row, read_settings_of(ports.ledger, row), runs)
    better = None if history is None else better_version(history)
    if better is None or row.live is None:
        return None
    for run in runs:
        if trained_ms(run) == better.trained_ms and run.version and run.number != row.live.run:
            return Found(run, run.version.number, better, windows[-1].end_ms)
    return None


def words_of(found: Found, live: int) -> str:
    """What was found, for people."""
    better = found.better
    return (
        f"version {found.version} errs {better.gain:.3g} less than version {live}, which is live, "
        f"on {better.rows:,} newest labelled rows (standard error {better.error:.2g})"
    )


def _decision(ports: Ports, row: ModelRow, found: Found) -> tuple[str, Wanted]:
    """Why a person must decide, empty: nobody must; and the release as the policy asks for it."""
    version = registry.describe_version(found.run.version.arn if found.run.version else "")
    wanted = Wanted(
        kind="again",
        version=found.version,
        arn=version.arn,
        decided_ms=ports.clock(),
        run=found.run.number,
        settings=found.run.settings,
        digest=version.metadata.get("perennial:artifact_digest", ""),
        by=BY,
        because=words_of(found, row.live.version if row.live else 0),
    )
    return _objection(ports, row, found, version.status), wanted


def _objection(ports: Ports, row: ModelRow, found: Found, status: str) -> str:
    """By the present settings. What no person and no policy approved may break other gates."""
    release = read_settings_of(ports.ledger, row).release
    if status != registry.APPROVED:
        return f"version {found.version} is {status}, not {registry.APPROVED}"
    if release.approval != "policy":
        return "release.approval is person"
    if release.endpoint is None:
        return "the settings have no release.endpoint any more"
    if release.approve_code_changes:
        return ""
    champion = row.champion
    champions = None if champion is None else read_settings(ports.ledger, row, champion.settings)
    return code_objection(read_settings(ports.ledger, row, found.run.settings), champions)


def _take_back(ports: Ports, model: str, release: int) -> None:
    def decide() -> Transaction:
        head = read_quality(ports, model)
        return () if head is None else proposals.take_back(head, release)

    commit_change(ports, decide)
